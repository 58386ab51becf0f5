//! N3 and storage.md 13 on real mounts, each in a mount namespace of the worker's own, which ends with it; and N6 in a
//! time namespace.

use crate::child::{ROLE, Worker, command_under, tool};
use crate::runner::Outcome;
use crate::system;

/// Whether mounts can be made.
fn mounting() -> Result<(), String> {
    tool("unshare", &["-m", "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", "/mnt"])
        .map_err(|_| "mounting is not permitted".to_owned())
}

/// A worker in a mount namespace in which this was run before.
fn worker_after(mounts: &str) -> Worker {
    let script = format!("{mounts} && exec \"$0\"");
    Worker::start_under(&["unshare", "-m", "sh", "-c", &script], "script")
}

/// A disk that fills up refuses writes before they are logged, loses nothing, keeps reading, and takes writes again
/// once there is space, without a reopen.
pub(crate) fn full_disk_refuses_then_goes_on() -> Outcome {
    require!(mounting());
    for options in ["synced", "synced tiny", "written", "buffered tiny"] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display();
        let mount = format!(
            "mount -t tmpfs -o size=12m tmpfs {path} && dd if=/dev/zero of={path}/ballast bs=1M count=6 status=none"
        );
        let mut worker = worker_after(&mount);
        worker.ok(&format!("open {path}/store {options}"));
        let filled = worker.ok("fill first 3000");
        let (count, error) = filled.split_once(' ').unwrap();
        let count: u64 = count.parse().unwrap();
        assert!(error.starts_with("error Full: disk is full"), "{options}: after {count}: {error}");
        assert!(count > 300, "{options}: only {count} fit");
        assert_eq!(worker.ok("count"), count.to_string(), "{options}: what was refused is not there");
        // A flush may have given back a segment meanwhile; else it is still full. Never is a refused write there.
        let again = worker.ask("putn again 3000");
        assert!(again.starts_with("error Full") || again.starts_with("ok"), "{options}: {again}");
        assert_eq!(worker.ok("get again") == "nothing", again.starts_with("error"), "{options}");
        worker.ok(&format!("remove {path}/ballast"));
        worker.ok("put again 1");
        let more = worker.ok("fill second 3000");
        let (more, error) = more.split_once(' ').unwrap();
        let more: u64 = more.parse().unwrap();
        assert!(error.starts_with("error Full") && more > 100, "{options}: after {more} more: {error}");
        let total = (count + more + 1).to_string();
        assert_eq!(worker.ok("count"), total, "{options}");
    }
    Outcome::Passed
}

/// On a read-only file system a read-only open works, whether the store was closed or killed; a writable one is a typed
/// error.
pub(crate) fn read_only_file_system_can_be_read() -> Outcome {
    require!(mounting());
    for killed in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("store");
        let mut writer = Worker::start("script");
        writer.ok(&format!("open {}", store.display()));
        writer.ok("put a 1");
        writer.ok("flush");
        writer.ok("put b 2");
        writer.ok("grant 7 1000000");
        if killed {
            writer.kill()
        } else {
            drop(writer.ok("close"))
        }
        drop(writer);
        let path = dir.path().display();
        let mut worker = worker_after(&format!("mount --bind {path} {path} && mount -o remount,ro,bind {path}"));
        let refused = worker.ask(&format!("open {}", store.display()));
        assert!(refused.starts_with("error Io:") && refused.contains("Read-only"), "{refused}");
        let refused = worker.ask(&format!("open {path}/new"));
        assert!(refused.starts_with("error Io:") && refused.contains("Read-only"), "{refused}");
        worker.ok(&format!("open {} read_only", store.display()));
        assert_eq!((worker.ok("get a"), worker.ok("get b")), ("1".to_owned(), "2".to_owned()));
        assert_eq!(worker.ok("health"), "ReadOnly");
        assert_ne!(worker.ok("remaining 7"), "nothing");
        for write in ["put a 2", "del a", "txn a b 3", "grant 8 1000", "compact 2", "flush", "sync"] {
            assert_eq!(worker.ask(write), "error ReadOnly: the store was opened read-only", "{write}");
        }
        assert_eq!(worker.ok("check"), "[]");
        worker.ok("close");
    }
    Outcome::Passed
}

/// A directory that may not be entered or written is a typed error, and is left as it was.
pub(crate) fn missing_permissions_are_typed_errors() -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let mut owner = Worker::start("script");
    owner.ok(&format!("open {}", store.display()));
    owner.ok("put a 1");
    owner.ok("close");
    if !system::is_root() {
        return Outcome::Skipped("only root can become another user".to_owned());
    }
    let mut worker = Worker::start("script");
    worker.ok("setuid 65534");
    for options in ["", " read_only"] {
        let refused = worker.ask(&format!("open {}{options}", store.display()));
        assert!(refused.starts_with("error Io:") && refused.contains("denied"), "{refused}");
    }
    let refused = worker.ask(&format!("open {}", dir.path().join("new").display()));
    assert!(refused.starts_with("error Io:"), "{refused}");
    owner.ok(&format!("open {}", store.display()));
    assert_eq!(owner.ok("get a"), "1");
    Outcome::Passed
}

/// With few descriptors, or without a temporary directory, calls work or are typed errors; nothing is lost.
pub(crate) fn few_descriptors_and_no_temporary_directory() -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    for limit in (3..24).chain([64]) {
        let mut worker = Worker::spawn(command_under(&[]).env(ROLE, "script").env("TMPDIR", "/nowhere"));
        worker.ok(&format!("nofile {limit}"));
        let opened = worker.ask(&format!("open {} tiny", store.display()));
        if opened != "ok" {
            assert!(opened.starts_with("error Io:") && opened.contains("Too many open files"), "{limit}: {opened}");
            // How many it takes depends on how many runs there are, which is at most some two dozen.
            assert!(limit < 64, "64 descriptors are enough to open");
            continue;
        }
        for key in 0..80 {
            let answer = worker.ask(&format!("putn {limit}-{key} 900"));
            let refused = ["ok", "error Poisoned", "error Io", "error Full"];
            assert!(refused.iter().any(|start| answer.starts_with(start)), "{limit}: {answer}");
        }
        let count = worker.ok("count");
        worker.kill();
        drop(worker);
        let mut second = Worker::start("script");
        second.ok(&format!("open {}", store.display()));
        assert_eq!(second.ok("count"), count, "{limit}");
        assert_eq!(second.ok("check"), "[]");
        second.ok("close");
    }
    Outcome::Passed
}

/// How a worker is started.
type Start<'a> = &'a dyn Fn() -> Worker;

/// N6, as far as a time namespace goes: the boot clock jumps ten years ahead, and back. A lease that was granted before
/// ends after the jump ahead, and is never shortened by the one back.
pub(crate) fn clock_that_jumps_by_years_keeps_leases_right() -> Outcome {
    const YEARS: &str = "315360000";
    let jump = ["--time", "--monotonic", YEARS, "--boottime", YEARS];
    require!(tool("unshare", &[&jump[..], &["--fork", "true"]].concat()).map_err(|_| "no time namespaces".to_owned()));
    let ahead = || Worker::start_under(&[&["unshare"], &jump[..], &["--fork", "--kill-child"]].concat(), "script");
    let here = || Worker::start("script");
    let cases: [(Start<'_>, Start<'_>, bool); 2] = [(&here, &ahead, false), (&ahead, &here, true)];
    for (before, after, lives) in cases {
        for clean in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let open = format!("open {}", dir.path().join("store").display());
            let mut worker = before();
            worker.ok(&open);
            worker.ok("grant 7 3600000");
            worker.ok("attach held 7");
            if clean {
                worker.ok("close");
            }
            worker.finish();
            let mut worker = after();
            worker.ok(&open);
            if lives {
                let remaining: u64 = worker.ok("remaining 7").parse().unwrap();
                assert!((3_500_000..=3_600_000).contains(&remaining), "{remaining} ms are left");
                assert_eq!(worker.ok("get held"), "held");
            } else {
                worker.wait_for(|counters| counters.threads == 1);
                assert_eq!((worker.ok("remaining 7"), worker.ok("get held")), ("nothing".into(), "nothing".into()));
            }
            worker.ok("put a 1");
            assert_eq!(worker.ok("check"), "[]");
        }
    }
    Outcome::Passed
}
