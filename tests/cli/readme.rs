//! The README shows the command line as it is.

use crate::store::{Store, bash};

const README: &str = include_str!("../../README.md");

/// Commands follow `$ `, everything else is what they print.
#[test]
fn the_readmes_session_prints_what_it_shows() {
    let (_, rest) = README.split_once("<!-- cli -->").unwrap();
    let (block, _) = rest.split_once("<!-- /cli -->").unwrap();
    let lines: Vec<&str> = block.lines().filter(|line| !line.is_empty() && !line.starts_with("```")).collect();
    let (commands, printed): (Vec<&str>, Vec<&str>) = lines.iter().partition(|line| line.starts_with("$ "));
    assert!(commands.len() > 5 && printed.len() > commands.len(), "{block}");
    let script: Vec<&str> = commands.iter().map(|line| &line[2..]).collect();
    let store = Store::new();
    let ran = bash(&format!("set -e\nunset ETCLITE_DB\n{}\n", script.join("\n")), &store.beside(""));
    assert_eq!(ran.out().lines().collect::<Vec<_>>(), printed);
}

/// The README's first two screens show it.
#[test]
fn the_command_line_is_on_the_first_two_screens() {
    let at = README.lines().position(|line| line == "## The command line");
    assert!(at.is_some_and(|at| at < 60), "{at:?}");
}
