//! The examples print what they should; and the small promises around the code: what the default build depends on, and
//! that the README shows what there is.

#![allow(clippy::unwrap_used, reason = "everything here is a test or serves one")]

mod dependencies;
mod readme;
mod tutorial;

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use tutorial::{config, election, keep_alive, lease, lock, put_get, services, watch};

/// What an example prints on a new store, and again on the store that it left behind.
fn printed(run: impl Fn(&Path, &mut dyn Write) -> Result<(), Box<dyn Error>>) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.etcl");
    let [first, second] = [(); 2].map(|()| {
        let mut out = Vec::new();
        run(&path, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    });
    assert_eq!(first, second, "the second run on the same store");
    first
}

const WATCHED: &str = "\
Type: PUT Key:q1mi Value:dsb2
Type: DELETE Key:q1mi Value:
Type: PUT Key:q1mi Value:dsb3
";

#[test]
fn put_then_get() {
    assert_eq!(printed(put_get::run), "q1mi:dsb\n");
}

#[test]
fn a_watch_sees_put_delete_and_put() {
    assert_eq!(printed(watch::run), WATCHED);
}

#[test]
fn a_key_goes_with_its_lease() {
    let wanted = "/nazha/ is there, for 1s\nType: DELETE Key:/nazha/ Value:\n/nazha/ and its lease are gone\n";
    assert_eq!(printed(|path, out| lease::run(path, out, Duration::from_secs(1))), wanted);
}

#[test]
fn a_lease_is_kept_alive() {
    assert_eq!(printed(|path, out| keep_alive::run(path, out, 4, Duration::ZERO)), "ttl: 5\n".repeat(4));
}

#[test]
fn a_configuration_is_loaded_and_followed() {
    let wanted = "\
loaded  {\"log\": \"info\", \"port\": \"8080\"}
changed {\"log\": \"debug\", \"port\": \"8080\"}
changed {\"port\": \"9090\"}
";
    assert_eq!(printed(config::run), wanted);
}

#[test]
fn services_come_and_go() {
    let wanted = "\
up    services/web/1 at 10.0.0.1:80
up    services/web/2 at 10.0.0.2:80
down  services/web/1
down  services/web/2
";
    // Long enough that a busy machine revokes the first instance before the second one's lease ends.
    assert_eq!(printed(|path, out| services::run(path, out, Duration::from_secs(2))), wanted);
}

const LOCKED: &str = "\
acquired lock for s1
released lock for s1
acquired lock for s2
";

#[test]
fn two_sessions_take_turns_with_a_lock() {
    assert_eq!(printed(lock::run), LOCKED);
}

const LED: &str = "\
leader: a
leader: b
leader: b, with news
leader: b, with more news
leader: c
";

#[test]
fn an_observer_sees_every_leader_in_order() {
    assert_eq!(printed(election::run), LED);
}

#[test]
fn the_tutorial_runs_them_all_on_one_store() {
    let text = printed(tutorial::run);
    assert!(text.contains(WATCHED), "{text}");
    for line in ["q1mi:dsb", "/nazha/ and its lease are gone", "ttl: 5", "changed {\"port\": \"9090\"}"] {
        assert!(text.lines().any(|printed| printed == line), "no line {line:?} in {text}");
    }
    assert!(text.contains("down  services/web/2\n") && text.contains(LOCKED), "{text}");
    assert!(text.ends_with(LED), "{text}");
}
