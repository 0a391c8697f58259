#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| loopgate_fuzz::head(data));
