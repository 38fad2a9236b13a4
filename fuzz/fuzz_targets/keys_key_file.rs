#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| phi_fuzz::run("keys_key_file", input));
