//! What only shows on a terminal: bars of what runs long, and escaped bytes. The terminal is `script`'s.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::program::{filled_and_closed, place};
use crate::store::ETCLITE;

/// What a command on a store shows on a terminal; `None`, and a word about it, if there is no `script` to be had.
fn shown(store: &Path, words: &str) -> Option<String> {
    let line = format!("{ETCLITE} {} {words}", store.display());
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("ETCLITE_DB").stdin(Stdio::null());
    match script.output() {
        Ok(output) => {
            assert!(output.status.success(), "{words}: {}", output.stdout.escape_ascii());
            Some(String::from_utf8(output.stdout).unwrap())
        }
        Err(error) => {
            assert!(std::env::var_os("ETCLITE_REQUIRE_TOOLS").is_none_or(|value| value != "1"), "script: {error}");
            println!("skipped: script is not there");
            None
        }
    }
}

#[test]
fn bars_are_shown_unless_asked_not_to() {
    let (dir, store) = place();
    filled_and_closed(&store);
    let to = |name: &str| dir.path().join(name).display().to_string();
    for (name, words) in
        [("dump", format!("dump {}", to("d"))), ("backup", format!("backup {}", to("b"))), ("check", "check".into())]
    {
        let Some(text) = shown(&store, &words) else { return };
        assert!(text.contains(&format!("{name} [")), "{words}: {text:?}");
    }
    for words in [format!("-q dump {}", to("d2")), format!("-q backup {}", to("b2")), "-q check".into()] {
        let text = shown(&store, &words).unwrap();
        assert!(!text.contains(" [") && !text.contains('\x1b'), "{words}: {text:?}");
    }
}

#[test]
fn a_table_is_whole_on_a_terminal_without_a_width() {
    let (_dir, store) = place();
    filled_and_closed(&store);
    // As over a serial line: the terminal says 0 columns.
    let Some(text) = shown(&store, "get colour -w table") else { return };
    assert!(text.contains("| colour |"), "{text:?}");
}
