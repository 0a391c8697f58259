//! Passwords: Argon2id (RFC 9106) in PHC strings, `$argon2id$v=19$m=19456,t=2,p=1$salt$digest`.
//!
//! The promise of this file is about time: a wrong password, an unknown user and a damaged line in
//! the store all cost one full hash, so that a stopwatch cannot tell which names exist. One hash at
//! the default cost takes some 15 ms and 19 MiB, which is why it never runs on the loop.

use std::cell::RefCell;
use std::hint::black_box;
use std::sync::Arc;

use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::config::HashCost;

/// Most memory, in KiB, that a PHC string from outside may ask for: 1 GiB.
pub const MEMORY_KIB_MAX: u32 = 1024 * 1024;
/// Most lanes that a PHC string from outside may ask for.
pub const LANES_MAX: u32 = 64;
/// Most work, in KiB filled (memory times passes), that a PHC string from outside may ask for:
/// 4 GiB, some seconds of one core.
pub const WORK_KIB_MAX: u64 = 4 * MEMORY_KIB_MAX as u64;

const DIGEST_BYTES: usize = 32;

/// Blocks of 1 KiB that a thread keeps from one hash to the next: more is for imported hashes only.
const KEPT_BLOCKS_MAX: usize = 64 * 1024;

/// Room that is asked for at least, in KiB: glibc gives back at once what is larger than 32 MiB (mallopt(3),
/// `M_MMAP_THRESHOLD`), and may keep several times 19 MiB of what is smaller. What is not written takes no
/// memory.
const MAPPED_BLOCKS_MIN: usize = 33 * 1024;

/// What [`verify`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not the password.
    Wrong,
    /// The password.
    Right,
    /// The password, but hashed at less than today's cost: hash it again while it is at hand.
    RightButWeak,
}

/// What was found out about a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Whether it is the one.
    pub verdict: Verdict,
    /// The same password, hashed anew, where the stored hash is weaker than it should be.
    pub rehashed: Option<String>,
}

/// The seam through which passwords are judged: what takes a second of the processor's time need not be done
/// twice, nor be possible where the passwords are not known.
pub trait Hasher: Send + Sync {
    /// Whether `phc` was made from `password`; if so, and if today's `cost` is more, a new PHC string with
    /// that salt. On a worker thread: it takes as long as [`verify`] and [`hash`] do.
    fn check(&self, password: &[u8], phc: &str, cost: HashCost, salt: [u8; 16]) -> Checked;
}

/// Hashes, and compares.
#[derive(Clone, Copy, Debug, Default)]
pub struct Argon2id;

impl Argon2id {
    /// The one that everybody asks.
    #[must_use]
    pub fn shared() -> Arc<dyn Hasher> {
        Arc::new(Self)
    }
}

impl Hasher for Argon2id {
    fn check(&self, password: &[u8], phc: &str, cost: HashCost, salt: [u8; 16]) -> Checked {
        let verdict = verify(password, phc, cost);
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
/// When Argon2 does not take `cost` (less than 8 KiB a lane, no pass, no lane), or when `cost`
/// wants more memory than there is.
#[must_use]
pub fn hash(password: &[u8], salt: [u8; 16], cost: HashCost) -> String {
    phc(cost, salt, digest(password, salt, cost))
}

/// Whether `phc` was made from `password`. Costs one full hash, whatever it finds: at the cost
/// written in `phc`, which is `cost` unless the cost was changed or the hash was imported.
///
/// A string that does not parse, or asks for more than both `cost` and the limits of this file,
/// costs one hash at `cost` and is [`Verdict::Wrong`]. So is everything when memory runs out.
///
/// # Panics
/// Like [`hash`], when `phc` is unusable and `cost` is, too.
#[must_use]
pub fn verify(password: &[u8], phc: &str, cost: HashCost) -> Verdict {
    match Stored::parse(phc) {
        Ok(stored) if stored.is_affordable() || stored.is_within(cost) => {
            if !stored.matches(password) {
                Verdict::Wrong
            } else if stored.is_weaker_than(cost) {
                Verdict::RightButWeak
            } else {
                Verdict::Right
            }
        }
        _ => {
            black_box(digest(password, [0; 16], cost));
            Verdict::Wrong
        }
    }
}

/// A PHC string that no password matches and whose check costs what a real one costs: for unknown
/// users.
#[must_use]
pub fn decoy(cost: HashCost) -> String {
    // SHA-256 of the empty string: 256 bits that nobody chose. That a password hashes to exactly
    // these is as likely as guessing a key.
    const DIGEST: [u8; DIGEST_BYTES] = [
        0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9,
        0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52,
        0xb8, 0x55,
    ];
    phc(cost, *b"loopgate's decoy", DIGEST)
}

/// Whether a password that was hashed elsewhere may be imported as it is.
///
/// # Errors
/// One sentence for the user: not a PHC string of Argon2, or more expensive than this file allows.
pub fn check_phc(phc: &str) -> Result<(), String> {
    let stored = Stored::parse(phc)?;
    if stored.is_affordable() {
        Ok(())
    } else {
        Err(format!(
            "the hash costs too much to check: at most m={MEMORY_KIB_MAX}, p={LANES_MAX} \
             and m times t={WORK_KIB_MAX} are accepted"
        ))
    }
}

fn params(cost: HashCost) -> Result<Params, argon2::Error> {
    Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(DIGEST_BYTES))
}

fn digest(password: &[u8], salt: [u8; 16], cost: HashCost) -> [u8; DIGEST_BYTES] {
    let params = params(cost).expect("the configured hash cost is one that Argon2 takes");
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut digest = [0; DIGEST_BYTES];
    hash_into(&argon2, password, &salt, &mut digest)
        .expect("lengths are fixed, and the configured hash cost fits into memory");
    digest
}

thread_local! {
    /// What the last hash of this thread filled, for its next one: getting 19 MiB from the system anew,
    /// page by page, takes a third as long as hashing in them.
    static MEMORY: RefCell<Vec<Block>> = const { RefCell::new(Vec::new()) };
}

/// Hashes in the thread's memory, which grows where it is too small.
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

/// A PHC string taken apart; everything that Argon2 needs is there and in its range.
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

    fn matches(&self, password: &[u8]) -> bool {
        let mut bytes = [0; Output::MAX_LENGTH];
        let computed = &mut bytes[..self.digest.len()];
        let argon2 = Argon2::new(self.algorithm, self.version, self.params.clone());
        hash_into(&argon2, password, &self.salt, computed).is_ok_and(|()| {
            // Outputs compare in constant time.
            Output::new(computed).is_ok_and(|computed| computed == self.digest)
        })
    }

    fn is_affordable(&self) -> bool {
        let (memory_kib, passes) = (self.params.m_cost(), self.params.t_cost());
        memory_kib <= MEMORY_KIB_MAX
            && self.params.p_cost() <= LANES_MAX
            && u64::from(memory_kib) * u64::from(passes) <= WORK_KIB_MAX
    }

    fn is_within(&self, cost: HashCost) -> bool {
        self.params.m_cost() <= cost.memory_kib
            && self.params.t_cost() <= cost.passes
            && self.params.p_cost() <= cost.lanes
    }

    /// More lanes are not more work, so they do not count.
    fn is_weaker_than(&self, cost: HashCost) -> bool {
        self.params.m_cost() < cost.memory_kib
            || self.params.t_cost() < cost.passes
            || self.algorithm != Algorithm::Argon2id
            || self.version != Version::V0x13
            || self.digest.len() < DIGEST_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: [u8; 16] = *b"0123456789abcdef";
    const LOW: HashCost = HashCost::TOKEN;
    const HIGH: HashCost = HashCost {
        memory_kib: 64,
        passes: 2,
        lanes: 1,
    };

    #[test]
    fn a_hash_is_the_phc_string_that_other_tools_make() {
        let cost = HashCost {
            memory_kib: 256,
            passes: 2,
            lanes: 1,
        };
        let made = hash(b"password", SALT, cost);
        assert!(made.starts_with("$argon2id$v=19$m=256,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$"));
        // A test vector of the reference implementation (test.c, Argon2id, version 19).
        let vector =
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert_eq!(verify(b"password", vector, cost), Verdict::Right);
    }

    #[test]
    fn verdicts() {
        let (low, high) = (hash(b"secret", SALT, LOW), hash(b"secret", SALT, HIGH));
        for (password, phc, cost, verdict) in [
            ("secret", &low, LOW, Verdict::Right),
            ("secret", &high, HIGH, Verdict::Right),
            ("secret", &high, LOW, Verdict::Right),
            ("secret", &low, HIGH, Verdict::RightButWeak),
            ("Secret", &low, LOW, Verdict::Wrong),
            ("Secret", &low, HIGH, Verdict::Wrong),
            ("", &high, HIGH, Verdict::Wrong),
        ] {
            assert_eq!(verify(password.as_bytes(), phc, cost), verdict, "{phc}");
        }
    }

    #[test]
    fn an_older_kind_of_argon2_is_right_but_weak() {
        let params = params(HIGH).unwrap();
        let mut digest = [0; DIGEST_BYTES];
        Argon2::new(Algorithm::Argon2i, Version::V0x13, params)
            .hash_password_into(b"secret", &SALT, &mut digest)
            .unwrap();
        let older = phc(HIGH, SALT, digest).replace("argon2id", "argon2i");
        assert_eq!(verify(b"secret", &older, HIGH), Verdict::RightButWeak);
    }

    #[test]
    fn a_decoy_costs_what_a_real_hash_costs_and_matches_nothing() {
        for cost in [LOW, HIGH] {
            let (decoy, real) = (decoy(cost), hash(b"secret", SALT, cost));
            let (decoyed, stored) = (
                Stored::parse(&decoy).unwrap(),
                Stored::parse(&real).unwrap(),
            );
            assert_eq!(decoyed.params, stored.params);
            assert_eq!(decoyed.salt.len(), stored.salt.len());
            assert_eq!(decoyed.digest.len(), stored.digest.len());
            assert!(!decoyed.is_weaker_than(cost));
            for password in ["", "secret", "loopgate's decoy"] {
                assert_eq!(verify(password.as_bytes(), &decoy, cost), Verdict::Wrong);
            }
        }
    }

    #[test]
    fn a_hash_that_cannot_be_used_is_wrong_and_not_imported() {
        let digest = "MDEyMzQ1Njc4OWFiY2RlZg$MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
        for unusable in [
            String::new(),
            "secret".into(),
            "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW".into(),
            "$argon2id$v=19$m=64,t=1,p=1".into(),
            format!("$argon2id$v=18$m=64,t=1,p=1${digest}"),
            format!("$argon2id$v=19$m=7,t=1,p=1${digest}"),
            format!("$argon2id$v=19$m=64,t=0,p=1${digest}"),
            format!("$argon2id$v=19$m=4294967295,t=1,p=1${digest}"),
            format!("$argon2id$v=19$m=1048577,t=1,p=1${digest}"),
            format!("$argon2id$v=19$m=1048576,t=5,p=1${digest}"),
            format!("$argon2id$v=19$m=64,t=4294967295,p=1${digest}"),
            format!("$argon2id$v=19$m=1024,t=1,p=65${digest}"),
        ] {
            assert_eq!(verify(b"secret", &unusable, LOW), Verdict::Wrong);
            assert!(check_phc(&unusable).is_err(), "{unusable:?} was accepted");
        }
        assert_eq!(check_phc(&hash(b"secret", SALT, HashCost::TOKEN)), Ok(()));
        assert_eq!(check_phc(&decoy(HashCost::DEFAULT)), Ok(()));
    }

    #[test]
    fn a_cost_above_the_limits_is_fine_when_it_is_our_own() {
        let lanes = HashCost {
            memory_kib: 8 * (LANES_MAX + 1),
            passes: 1,
            lanes: LANES_MAX + 1,
        };
        let phc = hash(b"secret", SALT, lanes);
        assert_eq!(verify(b"secret", &phc, lanes), Verdict::Right);
        assert_eq!(verify(b"secret", &phc, LOW), Verdict::Wrong);
    }

    #[test]
    fn a_thread_keeps_the_memory_of_one_hash_until_it_is_released() {
        let capacity = || MEMORY.with_borrow(Vec::capacity);
        for _ in 0..3 {
            let _ = hash(b"password", SALT, HashCost::DEFAULT);
            assert!(keeps_memory());
            // More than glibc ever keeps for itself, and not more with each hash.
            assert!(
                (32 * 1024 + 1..40 * 1024).contains(&capacity()),
                "{}",
                capacity()
            );
        }
        release_memory();
        assert_eq!(capacity(), 0);
    }
}
