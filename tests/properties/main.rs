//! What holds for any bytes: for those that the fuzzer found worth keeping, and for some that are put
//! together anew in every run. The assertions are the fuzzer's own: `tests/fuzz/README.md`.
//!
//! What concerns types that only the crate itself sees is in `src/net/fuzz.rs` and `src/app/fuzz.rs`.

#[expect(unreachable_pub, reason = "it is another package's library, too")]
#[path = "../fuzz/src/lib.rs"]
mod checks;
mod corpora;
mod generated;
