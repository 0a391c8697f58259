//! Passwords: Argon2id (RFC 9106) in PHC strings, `$argon2id$v=19$m=19456,t=2,p=1$salt$digest`.
//!
//! This file makes a promise about time: a wrong password, an unknown user and a damaged line in the store all cost
//! the same hashes in the same order, so that timing does not reveal which names exist. They are one of each kind that
//! the store has (`kinds`), which is one hash unless some were imported. A hash at the default cost takes some 15 ms
//! and 19 MiB, which is why it never runs on the loop.

mod kinds;

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::findings::Findings;
pub use super::verdict::{Checked, Verdict};
use crate::config::HashCost;

pub use kinds::{Kind, Kinds, WORK_OF_ALL_KIB_MAX, check_phc};

/// Most memory, in KiB, that a PHC string in the store may ask for: 1 GiB.
pub const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Most lanes that a PHC string in the store may ask for.
pub const LANES_MAX: u32 = 64;
/// Most work, in KiB filled (memory times passes), that a PHC string in the store may ask for: 4 GiB, some seconds
/// of one core. Hashes that are imported today may ask for less, [`WORK_OF_ALL_KIB_MAX`].
pub const WORK_KIB_MAX: u64 = 4 * MEMORY_KIB_MAX as u64;

const DIGEST_BYTES: usize = 32;

/// Blocks of 1 KiB that a thread keeps from one hash to the next: only imported hashes need more.
const KEPT_BLOCKS_MAX: usize = 64 * 1024;

/// Smallest allocation, in KiB: glibc returns allocations of more than 32 MiB to the system at once (mallopt(3),
/// `M_MMAP_THRESHOLD`), and may keep several times 19 MiB of smaller ones. The part that is not written takes no
/// memory.
const MAPPED_BLOCKS_MIN: usize = 33 * 1024;

/// A password and the hash to compare it with.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The password.
    pub password: &'a [u8],
    /// The PHC string that it may have been made into.
    pub phc: &'a str,
    /// The kinds of hashes in the store.
    pub kinds: &'a [Kind],
    /// Today's cost of a hash.
    pub cost: HashCost,
    /// For a new hash.
    pub salt: [u8; 16],
}

/// The seam through which passwords are checked. A replay need not repeat a second of computing, and cannot where
/// the passwords are not known.
pub trait Hasher: Send + Sync {
    /// Whether the PHC string was made from the password, in a store that has hashes of these kinds; if so, and if
    /// today's cost is higher, a new PHC string with that salt. Call it on a worker thread: it takes as long as
    /// [`verify`] and [`hash`]. `found` is that of the [worker](super::Worker::work).
    fn check(&self, asked: Asked<'_>, found: &mut Findings) -> Checked;
}

/// The real hasher: hashes, and compares.
#[derive(Clone, Copy, Debug, Default)]
pub struct Argon2id;

impl Argon2id {
    /// The hasher that all servers share.
    #[must_use]
    pub fn shared() -> Arc<dyn Hasher> {
        Arc::new(Self)
    }
}

impl Hasher for Argon2id {
    fn check(&self, asked: Asked<'_>, _: &mut Findings) -> Checked {
        let Asked {
            password,
            phc,
            kinds,
            cost,
            salt,
        } = asked;
        let verdict = verify(password, phc, kinds, cost);
        let weak = matches!(verdict, Verdict::RightButWeak);
        Checked {
            verdict,
            rehashed: weak.then(|| hash(password, salt, cost)),
        }
    }
}

/// Hashes `password`; returns a PHC string of Argon2id, version 19.
///
/// The salt must come from a random generator, a new one for each call.
///
/// # Panics
/// If Argon2 rejects `cost` (less than 8 KiB a lane, no pass, no lane), or if `cost` wants more
/// memory than there is.
#[must_use]
pub fn hash(password: &[u8], salt: [u8; 16], cost: HashCost) -> String {
    phc(cost, salt, digest(password, salt, cost))
}

/// Whether `phc` was made from `password`, in a store that has hashes of these `kinds`.
///
/// A wrong password costs a hash of each kind, [`steps`], for any `phc`. A right one costs those up to its own
/// kind: a user who knows the password learns nothing new from that.
///
/// A string that does not parse, or asks for more than both `cost` and the limits of this file, costs as much as one
/// at `cost`, and is [`Verdict::Wrong`]. So is every string when memory runs out.
///
/// # Panics
/// Like [`hash`], if Argon2 rejects `cost`.
#[must_use]
pub fn verify(password: &[u8], phc: &str, kinds: &[Kind], cost: HashCost) -> Verdict {
    let usable = |stored: &Stored| stored.kind().is_affordable() || stored.kind().is_within(cost);
    let stored = Stored::parse(phc).ok().filter(usable);
    let own = stored.as_ref().map_or(Kind::at(cost), Stored::kind);
    for kind in steps(kinds, own, cost) {
        match &stored {
            Some(stored) if kind == own => {
                if stored.matches(password) {
                    return if stored.is_weaker_than(cost) {
                        Verdict::RightButWeak
                    } else {
                        Verdict::Right
                    };
                }
            }
            _ => imitate(kind, password),
        }
    }
    Verdict::Wrong
}

/// The hashes of a failed login, in this order: one of each kind that the store has, one at today's cost, and one of
/// its own kind if that is none of these. The cheapest come first, so that few logins pay for an expensive one.
#[must_use]
pub fn steps(kinds: &[Kind], own: Kind, cost: HashCost) -> Vec<Kind> {
    let mut steps = kinds.to_vec();
    steps.extend([own, Kind::at(cost)]);
    steps.sort_unstable();
    steps.dedup();
    steps
}

/// Takes as long as a hash of that kind.
fn imitate(kind: Kind, password: &[u8]) {
    let mut digest = [0; DIGEST_BYTES];
    // If memory runs out here, it would run out for a real hash, too.
    let _ = hash_into(&kind.argon2(DIGEST_BYTES), password, &[0; 16], &mut digest);
    black_box(digest);
}

/// A PHC string that no password matches and whose check costs what a real one costs: for unknown
/// users.
#[must_use]
pub fn decoy(cost: HashCost) -> String {
    // SHA-256 of the empty string: 256 bits that were not chosen for a purpose. A password that hashes to
    // exactly these is as unlikely as a guessed key.
    const DIGEST: [u8; DIGEST_BYTES] = [
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ];
    phc(cost, *b"loopgate's decoy", DIGEST)
}

fn digest(password: &[u8], salt: [u8; 16], cost: HashCost) -> [u8; DIGEST_BYTES] {
    let mut digest = [0; DIGEST_BYTES];
    let argon2 = Kind::at(cost).argon2(DIGEST_BYTES);
    hash_into(&argon2, password, &salt, &mut digest)
        .expect("lengths are fixed, and the configured hash cost fits into memory");
    digest
}

thread_local! {
    /// The memory of this thread's last hash, for the next one: getting 19 MiB from the system again,
    /// page by page, takes a third as long as hashing in them.
    static MEMORY: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// Hashes in the thread's memory, which grows if it is too small.
fn hash_into(
    argon2: &Argon2<'_>,
    password: &[u8],
    salt: &[u8],
    digest: &mut [u8],
) -> Result<(), argon2::Error> {
    MEMORY.with_borrow_mut(|memory| {
        let count = argon2.params().block_count();
        if let Some(missing @ 1..) = count.checked_sub(memory.len()) {
            let room = missing.max(MAPPED_BLOCKS_MIN);
            let reserved = memory.try_reserve_exact(room);
            reserved.map_err(|_| argon2::Error::OutOfMemory)?;
            memory.resize(count, Block::default());
        }
        let hashed =
            argon2.hash_password_into_with_memory(password, salt, digest, &mut memory[..count]);
        if memory.len() > KEPT_BLOCKS_MAX {
            *memory = Vec::new();
        }
        hashed
    })
}

/// Whether this thread keeps memory for its next hash.
pub(super) fn keeps_memory() -> bool {
    MEMORY.with_borrow(|memory| !memory.is_empty())
}

/// Gives that memory back.
pub(super) fn release_memory() {
    MEMORY.take();
}

fn phc(cost: HashCost, salt: [u8; 16], digest: [u8; DIGEST_BYTES]) -> String {
    format!(
        "$argon2id$v=19$m={},t={},p={}${}${}",
        cost.memory_kib,
        cost.passes,
        cost.lanes,
        STANDARD_NO_PAD.encode(salt),
        STANDARD_NO_PAD.encode(digest)
    )
}

/// A parsed PHC string, with everything that Argon2 needs, within range.
struct Stored {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Vec<u8>,
    digest: Output,
}

impl Stored {
    fn parse(phc: &str) -> Result<Self, String> {
        let parts = PasswordHash::new(phc).map_err(|why| format!("not a PHC string: {why}"))?;
        let algorithm = Algorithm::try_from(parts.algorithm.as_str())
            .map_err(|_| format!("{} is not Argon2", parts.algorithm))?;
        // A PHC string without a version means the first one, 16.
        let version = Version::try_from(parts.version.unwrap_or(0x10))
            .map_err(|_| "not a version of Argon2 that is known".to_owned())?;
        let params = Params::try_from(&parts).map_err(|why| why.to_string())?;
        let (Some(salt), Some(digest)) = (parts.salt, parts.hash) else {
            return Err("the PHC string has no salt or no digest".into());
        };
        Ok(Self {
            algorithm,
            version,
            params,
            salt: salt.to_vec(),
            digest,
        })
    }

    fn kind(&self) -> Kind {
        Kind::new(self.algorithm, self.version, &self.params)
    }

    fn matches(&self, password: &[u8]) -> bool {
        let mut bytes = [0; Output::MAX_LENGTH];
        let computed = &mut bytes[..self.digest.len()];
        let argon2 = Argon2::new(self.algorithm, self.version, self.params.clone());
        hash_into(&argon2, password, &self.salt, computed).is_ok_and(|()| {
            // Outputs compare in constant time.
            Output::new(computed).is_ok_and(|computed| computed == self.digest)
        })
    }

    fn is_weaker_than(&self, cost: HashCost) -> bool {
        self.kind().is_weaker_than(cost) || self.digest.len() < DIGEST_BYTES
    }
}

#[cfg(test)]
mod tests;
