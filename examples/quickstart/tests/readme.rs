//! The README promises that its first code block is this program.

#[test]
fn the_readme_shows_this_program_by_line_25() {
    let readme = include_str!("../../../README.md");
    let program = include_str!("../src/main.rs");
    let (before, rest) = readme.split_once("```rust\n").unwrap();
    let (block, _) = rest.split_once("```").unwrap();
    assert_eq!(block, program);
    assert!(before.lines().count() < 25);
    assert!(readme.lines().count() <= 200);
    assert!(program.lines().filter(|line| !line.trim().is_empty()).count() <= 20);
}
