//! `include/etclite.h` is what the sources say: made anew in memory and compared. `ETCLITE_BLESS=1` writes it instead.
//!
//! The head is `header.txt`, the rest is what cbindgen reads from `src`, with the version macros in between.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests, which are the outside")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use etclite::Code;

fn path(of: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(of)
}

fn committed() -> String {
    std::fs::read_to_string(path("../../include/etclite.h")).expect("include/etclite.h is committed")
}

fn generated() -> String {
    let mut config = cbindgen::Config::from_file(path("cbindgen.toml")).expect("cbindgen.toml is well-formed");
    config.header = Some(comment(&std::fs::read_to_string(path("header.txt")).unwrap()));
    config.after_includes = Some(version_macros());
    let bindings = cbindgen::Builder::new().with_crate(path("")).with_config(config).generate();
    let mut text = Vec::new();
    bindings.expect("the sources parse").write(&mut text);
    String::from_utf8(text).unwrap()
}

/// A text as a comment of C.
fn comment(text: &str) -> String {
    assert!(!text.contains("*/"), "the comment would end early");
    let mut comment = "/*\n".to_string();
    for line in text.lines() {
        assert!(line.len() <= 126, "too long for a comment's line: {line}");
        comment.push_str(format!(" * {line}").trim_end());
        comment.push('\n');
    }
    comment + " */"
}

/// What cbindgen has no words for.
fn version_macros() -> String {
    format!(
        "
/** Put before each declaration; a compiler that wants something there gets it by defining this first. */
#ifndef ETCLITE_API
#define ETCLITE_API
#endif

/** The version of this header. That of the library is what `etclite_version` returns. */
#define ETCLITE_VERSION \"{}\"",
        env!("CARGO_PKG_VERSION")
    )
}

#[test]
fn header_is_current() {
    let generated = generated();
    if std::env::var_os("ETCLITE_BLESS").is_some() {
        std::fs::write(path("../../include/etclite.h"), generated).unwrap();
        return;
    }
    let committed = committed();
    let differs = committed.lines().zip(generated.lines()).position(|(old, new)| old != new);
    if let Some(line) = differs {
        let (old, new) = (committed.lines().nth(line).unwrap(), generated.lines().nth(line).unwrap());
        panic!("line {}: `{old}` is now `{new}`; ETCLITE_BLESS=1 writes include/etclite.h", line + 1);
    }
    assert_eq!(committed.len(), generated.len(), "ETCLITE_BLESS=1 writes include/etclite.h");
}

#[test]
fn the_version_is_the_crates() {
    let header = committed();
    let defined = |name: &str| {
        let line = format!("#define ETCLITE_VERSION{name} ");
        let values: Vec<&str> = header.lines().filter_map(|of| of.strip_prefix(&line)).collect();
        assert_eq!(values.len(), 1, "{line}{values:?}");
        values[0].to_owned()
    };
    let number = |name| defined(name).parse::<u32>().unwrap();
    let [major, minor, patch] = ["_MAJOR", "_MINOR", "_PATCH"].map(number);
    assert_eq!(format!("{major}.{minor}.{patch}"), env!("CARGO_PKG_VERSION"));
    assert_eq!(defined(""), format!("\"{}\"", env!("CARGO_PKG_VERSION")));
    assert_eq!(number("_NUMBER"), major * 1_000_000 + minor * 1_000 + patch);
}

/// The statuses in the header, without their prefixes.
fn statuses() -> BTreeMap<String, i32> {
    let header = committed();
    let defines = header.lines().filter_map(|line| line.strip_prefix("#define ETCLITE_")?.split_once(' '));
    let codes = defines.filter_map(|(name, number)| {
        let number: i32 = number.parse().ok()?;
        let fine = ["OK", "NOT_FOUND", "TIMEOUT", "END", "NOT_ACQUIRED"].contains(&name);
        let name = if fine { Some(name) } else { name.strip_prefix("E_") };
        Some((name?.to_owned(), number))
    });
    codes.collect()
}

#[test]
fn no_two_statuses_have_one_number_and_errors_are_below_zero() {
    let statuses = statuses();
    let numbers: BTreeMap<i32, &String> = statuses.iter().map(|(name, number)| (*number, name)).collect();
    assert_eq!(numbers.len(), statuses.len(), "{statuses:?}");
    assert_eq!(numbers.range(0..).map(|(number, _)| *number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
}

/// The names and numbers of crate `etclite`: all of them, and no others.
#[test]
fn statuses_are_the_codes_of_the_one_table() {
    let table: BTreeMap<String, i32> = Code::ALL.iter().map(|code| (code.name.to_owned(), code.number)).collect();
    assert_eq!(statuses(), table);
}

#[test]
fn nothing_is_included_but_two_headers_of_the_language() {
    let header = committed();
    let includes: Vec<&str> = header.lines().filter(|line| line.trim_start().starts_with("#include")).collect();
    assert_eq!(includes, ["#include <stddef.h>", "#include <stdint.h>"]);
}

#[test]
fn every_constant_that_a_comment_names_is_there() {
    let header = committed();
    let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let defined: Vec<&str> = header
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("#define ")?.split(|c| !is_of_name(c)).next())
        .collect();
    // Of `ETCLITE_SORT_..` one that begins so.
    let is_there = |name: &str| match name.ends_with('_') {
        true => defined.iter().any(|of| of.starts_with(name)),
        false => defined.contains(&name),
    };
    for (at, line) in header.lines().enumerate() {
        for (start, _) in line.match_indices("ETCLITE_") {
            let end = line[start..].find(|c| !is_of_name(c)).map_or(line.len(), |len| start + len);
            let name = &line[start..end];
            assert!(is_there(name), "line {}: {name} is not defined: {line}", at + 1);
        }
    }
}

/// Comments are for who reads C.
#[test]
fn comments_speak_of_nothing_that_only_rust_has() {
    let header = committed();
    let foreign = ["# Safety", "crate::", "Option<", "&mut", "[`", "pub ", "unsafe"];
    for (at, line) in header.lines().enumerate() {
        assert!(!foreign.iter().any(|word| line.contains(word)), "line {}: {line}", at + 1);
    }
}
