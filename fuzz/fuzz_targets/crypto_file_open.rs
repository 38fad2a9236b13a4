#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| phi_fuzz::run("crypto_file_open", input));
