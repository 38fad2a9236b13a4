//! The quickstart does what it says, and is the README's first code block.

use std::process::Command;

#[test]
fn it_seals_opens_and_keeps_the_value_out_of_logs() {
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    // 12 bytes of name, and 57 of suite, key name, salt, nonce and tag.
    assert_eq!(said, "stored: 69 bytes, logged: [PHI], shown: Ada Lovelace\n");
}

#[test]
fn the_readme_shows_this_program_by_line_25() {
    let readme = include_str!("../../../../README.md");
    let program = include_str!("../../src/main.rs");
    let (before, rest) = readme.split_once("```rust\n").unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    assert_eq!(block, program, "copy examples/quickstart/src/main.rs into README.md");
    assert!(before.lines().count() < 25);
    assert!(readme.lines().count() <= 200);
    assert!(program.lines().count() <= 20);
}
