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

/// A forked child keeps nobody out of its parent's store once the parent has died; and it is a process like any other,
/// which opens stores of its own, in the end that one, too.
pub(crate) fn a_killed_holders_lock_is_not_kept_by_its_child() -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str| format!("open {}", dir.path().join(name).display());
    for mode in ["", " read_only"] {
        let (mut family, mut other) = (Worker::start("script"), Worker::start("script"));
        family.ok(&open("store"));
        family.ok("put a 1");
        family.ok("close");
        family.ok(&format!("{}{mode}", open("store")));
        let child = family.ok("become_child");
        assert_ne!(child, family.pid().to_string());
        assert!(family.ask("get a").starts_with("error Forked"));
        assert!(other.ask(&open("store")).starts_with("error Locked"), "its parent has it");
        assert!(family.ask(&open("store")).starts_with("error Locked"), "of that the child knows, too");
        family.ok(&open("own"));
        family.ok("put b 2");
        family.kill_and_await();
        other.ok(&open("store"));
        assert_eq!(other.ok("get a"), "1");
        assert_eq!(family.ok("get b"), "2", "the child was there all the time");
        // Letting go of what it inherited takes nothing from the file that has the descriptor's number now.
        family.ok("drop_first");
        let mut third = Worker::start("script");
        assert!(third.ask(&open("own")).starts_with("error Locked"));
        family.ok("drop");
        third.ok(&open("own"));
        assert!(family.ask(&open("store")).starts_with("error Locked"));
        other.ok("close");
        family.ok(&open("store"));
        assert_eq!(family.ok("get a"), "1");
        assert!(other.ask(&open("store")).starts_with("error Locked"));
        family.end();
        other.ok(&open("store"));
    }
    Outcome::Passed
}

/// No program that is started later inherits a descriptor of a store.
pub(crate) fn descriptors_are_not_inherited_by_other_programs() -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let mut worker = Worker::start("script");
    worker.ok(&format!("open {} tiny", store.display()));
    for round in 0..3 {
        worker.ok(&format!("mix {round} 1000"));
        worker.ok("flush");
    }
    let descriptors = std::path::Path::new("/proc").join(worker.pid().to_string());
    let mut seen = 0;
    for entry in std::fs::read_dir(descriptors.join("fd")).unwrap() {
        let name = entry.unwrap().file_name();
        // Background work may have closed it meanwhile.
        let Ok(target) = std::fs::read_link(descriptors.join("fd").join(&name)) else { continue };
        let Ok(info) = std::fs::read_to_string(descriptors.join("fdinfo").join(&name)) else { continue };
        if target.starts_with(&store) {
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            let flags = i32::from_str_radix(flags, 8).unwrap();
            assert!(flags & libc::O_CLOEXEC != 0, "{} is inherited", target.display());
            seen += 1;
        }
    }
    assert!(seen >= 3, "lock, log and catalog at least: {seen}");
    Outcome::Passed
}
