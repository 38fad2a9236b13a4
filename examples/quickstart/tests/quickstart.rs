//! The quickstart is as short as it says, does what it says, and is what the README shows.

use std::path::Path;
use std::process::Command;

const SOURCE: &str = include_str!("../src/main.rs");

#[test]
fn it_has_at_most_20_lines() {
    assert!(SOURCE.lines().count() <= 20);
}

#[test]
fn it_seals_opens_and_keeps_the_value_out_of_logs() {
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    // 12 bytes of name, and 57 of suite, key name, salt, nonce and tag.
    assert_eq!(said, "stored: 69 bytes, logged: [PHI], shown: Ada Lovelace\n");
}

#[test]
fn the_readme_shows_it_byte_for_byte() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    assert!(readme.contains(&format!("```rust\n{SOURCE}```")), "copy examples/quickstart/src/main.rs into README.md");
}
