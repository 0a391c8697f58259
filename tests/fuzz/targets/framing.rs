#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| loopgate::net::fuzz::requests(data));
