//! The README names what exists. Its Rust is compiled and run as a doctest: see the end of `src/lib.rs`.

use std::path::Path;

const README: &str = include_str!("../../README.md");

#[test]
fn every_path_in_the_readme_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let quoted = README.split('`').skip(1).step_by(2);
    let paths: Vec<&str> = quoted
        .filter(|word| word.starts_with("src/") || word.starts_with("tests/") || word.starts_with(".ci/"))
        .collect();
    assert!(paths.len() > 10, "{paths:?}");
    for path in paths {
        assert!(root.join(path).exists(), "{path}");
    }
}

#[test]
fn the_first_screen_has_the_commands() {
    let first: Vec<&str> = README.lines().take(20).collect();
    for command in ["cargo run --example tutorial", "cargo test"] {
        assert!(first.iter().any(|line| line.trim().starts_with(command)), "{command}");
    }
}
