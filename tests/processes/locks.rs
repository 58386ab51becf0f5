//! One opener at a time, in whatever process, and nothing through a fork.

use crate::child::Worker;
use crate::runner::Outcome;

/// A second process is told who has the store; the first notices nothing; the lock goes with a killed holder.
pub(crate) fn second_process_is_told_who_has_the_store() -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let open = format!("open {}", dir.path().join("store").display());
    let (mut first, mut second) = (Worker::start("script"), Worker::start("script"));
    first.ok(&open);
    first.ok("put a 1");
    let program = std::env::current_exe().unwrap();
    let program = program.file_name().unwrap().to_str().unwrap();
    let locked = format!("error Locked: the store is open in process {} ({program})", first.pid());
    assert_eq!(second.ask(&open), locked);
    assert_eq!(second.ask(&format!("{open} read_only")), locked, "a reader beside a writer");
    assert_eq!(second.ask(&format!("{open} wait=200")), locked, "after waiting in vain");
    first.ok("put b 2");
    assert_eq!(first.ok("get b"), "2");
    assert_eq!(first.ok("check"), "[]");
    first.kill();
    assert!(first.line().is_err(), "the pipe ends once the process is gone");
    drop(first);
    second.ok(&open);
    assert_eq!(second.ok("get b"), "2");
    // Two readers do not mind each other, but keep writers out.
    second.ok("close");
    let mut third = Worker::start("script");
    second.ok(&format!("{open} read_only"));
    third.ok(&format!("{open} read_only"));
    assert!(third.ask(&open).starts_with("error Locked"));
    second.ok("close");
    third.ok("close");
    third.ok(&open);
    Outcome::Passed
}

/// Who waits for the lock gets it when its holder leaves, by closing or by death.
pub(crate) fn waiting_for_the_lock_ends_when_the_holder_leaves() -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let open = format!("open {}", dir.path().join("store").display());
    for killed in [false, true] {
        let (mut first, mut second) = (Worker::start("script"), Worker::start("script"));
        first.ok(&open);
        first.ok("put a 1");
        assert!(second.ask(&open).starts_with("error Locked"));
        second.send(&format!("{open} wait=60000")).unwrap();
        // It is still waiting: the first answers, so the store was not taken from it.
        first.ok("put b 2");
        if killed {
            first.kill()
        } else {
            drop(first.ok("close"))
        }
        assert_eq!(second.line().unwrap(), "ok");
        assert_eq!(second.ok("get b"), "2");
        second.ok("put c 3");
    }
    Outcome::Passed
}

/// A forked child can do nothing with the handle it inherited, and its end neither closes nor unlocks the store.
pub(crate) fn forked_child_is_refused_and_harms_nothing() -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let open = format!("open {}", dir.path().join("store").display());
    let mut worker = Worker::start("script");
    worker.ok(&open);
    worker.ok("put a 1");
    worker.ok("put b 2");
    let answers = worker.ok("fork");
    let (verbs, exit) = answers.split_once(" exit=").unwrap();
    assert_eq!(exit, "0", "the child died: {verbs}");
    let accepted: Vec<&str> = verbs.split(' ').filter(|answer| !answer.ends_with("=Forked")).collect();
    assert_eq!(verbs.split(' ').count(), 15);
    assert!(accepted.is_empty(), "not refused: {accepted:?}");
    // The parent goes on, still has the lock, and closes cleanly.
    assert_eq!(worker.ok("get a"), "1");
    worker.ok("put c 3");
    let mut second = Worker::start("script");
    assert!(second.ask(&open).starts_with("error Locked"));
    worker.ok("flush");
    assert_eq!(worker.ok("check"), "[]");
    worker.ok("close");
    second.ok(&open);
    assert_eq!((second.ok("get child"), second.ok("get c")), ("nothing".to_owned(), "3".to_owned()));
    assert_eq!(second.ok("check"), "[]");
    Outcome::Passed
}
