//! The floor of a password check: Argon2id at the server's default cost, and nothing else.
//!
//! `argon2_loop THREADS SECONDS`: every thread hashes until the time is over. The crate, its features
//! and the calls are those of `src/work/password.rs`, which keeps its 19 MiB from one hash to the next;
//! so does this. The system's allocator, as in the server.

use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};
use std::{env, thread};

use argon2::{Algorithm, Argon2, Block, Params, Version};

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const DIGEST_BYTES: usize = 32;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = env::args().skip(1).collect();
    let [threads, seconds] = args.as_slice() else {
        return Err("usage: argon2_loop THREADS SECONDS".into());
    };
    let threads: usize = threads.parse()?;
    let time = Duration::try_from_secs_f64(seconds.parse()?)?;

    let start = Instant::now();
    let workers: Vec<_> = (0..threads)
        .map(|_| thread::spawn(move || hash_until(start, time)))
        .collect();
    let (mut hashes, mut elapsed) = (0, Duration::ZERO);
    for worker in workers {
        let (counted, ended) = worker.join().map_err(|_| "a thread panicked")?;
        hashes += counted;
        elapsed = elapsed.max(ended);
    }
    println!("hashes {hashes} seconds {:.6}", elapsed.as_secs_f64());
    Ok(())
}

/// Returns how many hashes it finished, and when it finished the last: the one that the end of the
/// time falls into is finished and counts, and so does the time it took.
fn hash_until(start: Instant, time: Duration) -> (u64, Duration) {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(DIGEST_BYTES)).expect("valid");
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut hashes = 0;
    loop {
        let elapsed = start.elapsed();
        if elapsed >= time {
            return (hashes, elapsed);
        }
        hash(&argon2, &mut memory);
        hashes += 1;
    }
}

fn hash(argon2: &Argon2, memory: &mut [Block]) {
    let mut digest = [0; DIGEST_BYTES];
    argon2
        .hash_password_into_with_memory(
            black_box(b"correct horse battery staple"),
            black_box(b"0123456789abcdef"),
            &mut digest,
            memory,
        )
        .expect("the lengths are valid, and there is memory");
    black_box(digest);
}
