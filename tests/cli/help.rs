//! Help: there for every command, and within 80 columns.

use std::process::Command;

use crate::store::{ETCLITE, Ran};

fn help(words: &[&str]) -> String {
    let mut command = Command::new(ETCLITE);
    Ran::of(command.args(words).env("COLUMNS", "200").env_remove("ETCLITE_DB")).out()
}

/// The commands that a help lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A description that goes on is indented further.
    let first = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    first.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn every_command_has_help_within_80_columns() {
    let mut left = vec![Vec::new()];
    let mut seen = 0;
    while let Some(words) = left.pop() {
        let mut asked: Vec<&str> = words.iter().map(String::as_str).collect();
        asked.push("--help");
        let text = help(&asked);
        seen += 1;
        assert!(text.contains("Usage: etclite"), "{words:?}: {text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{words:?}: {line}");
        }
        let shared = text.contains("--write-out");
        assert_eq!(shared, words.is_empty(), "{words:?}: the flags of all commands are told once");
        assert!(!text.contains("--endpoints"), "{words:?}");
        // `help` helps with the others.
        for command in commands(&text).into_iter().filter(|command| command != "help") {
            left.push(words.iter().cloned().chain([command]).collect());
        }
    }
    assert!(seen > 20, "{seen} commands");
}

#[test]
fn help_as_a_command_says_the_same() {
    assert_eq!(help(&["help"]), help(&["--help"]));
    assert_eq!(help(&["help", "get"]), help(&["get", "--help"]));
    assert_eq!(help(&["get", "-h"]), help(&["get", "--help"]));
    assert_eq!(help(&["help", "lease", "grant"]), help(&["lease", "grant", "--help"]));
}
