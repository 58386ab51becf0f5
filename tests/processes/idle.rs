//! G20: an idle store neither writes nor wakes, and a busy one leaks nothing.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::child::{Counters, Worker, budget};
use crate::runner::Outcome;
use crate::syscalls::{Traced, strace};

/// How long nothing may happen. This is a wait on purpose: that nothing happens has no event.
const QUIET: Duration = Duration::from_secs(3);

/// Once background work is done the process makes no system call at all: no write, no sync, no timer, in no thread,
/// with stores of all levels open, a thread blocked in a watch, and a lease that lasts.
pub(crate) fn idle_store_neither_writes_nor_wakes() -> Outcome {
    require!(strace());
    let dir = tempfile::tempdir().unwrap();
    let mut traced = Traced::start(dir.path(), &[]);
    let worker = &mut traced.worker;
    for (number, level) in ["synced tiny", "written tiny", "buffered tiny", "synced"].iter().enumerate() {
        worker.ok(&format!("open {} {level}", dir.path().join(number.to_string()).display()));
        for key in 0..60 {
            worker.ok(&format!("putn key{key} 900"));
        }
        // A lease that has ended leaves no thread behind.
        worker.ok("grant 1 20");
        worker.ok("attach key1 1");
        worker.wait_for(|counters| counters.threads == 1);
        assert_eq!(worker.ok("remaining 1"), "nothing");
        assert_eq!(worker.ok("health"), "Ok");
    }
    worker.ok("watch");
    worker.wait_for(|counters| counters.threads == 2);
    // Of the last store, the one at hand: a thread sleeps until it ends.
    let slept = sleeps(&traced.log);
    worker.ok("grant 7 1000000");
    let counters = worker.wait_for(|counters| counters.threads == 3 && sleeps(&traced.log) > slept);
    assert!(counters.runs > 0 || counters.memtables == 1, "{counters:?}");
    worker.ok("mark");
    std::thread::sleep(QUIET);
    worker.ok("mark");
    let log = std::fs::read_to_string(&traced.log).unwrap();
    let mut between = log.lines().skip_while(|line| !is_mark(line)).skip(1).take_while(|line| !is_mark(line));
    let main = log.split_whitespace().next().unwrap();
    // The main thread waits for its input and then gets the second mark.
    let other = between.find(|line| !(line.starts_with(main) && line.contains("read")));
    assert_eq!(other, None, "an idle store is not idle");
    Outcome::Passed
}

/// How often a thread has gone to sleep until a lease ends: it set a timer, and reads it.
fn sleeps(log: &Path) -> usize {
    let log = std::fs::read_to_string(log).unwrap();
    let mut set = BTreeSet::new();
    let mut count = 0;
    for (thread, call) in log.lines().filter_map(|line| line.split_once(' ')) {
        let Some((name, arguments)) = call.trim_start().split_once('(') else { continue };
        let Some((descriptor, _)) = arguments.split_once(',') else { continue };
        match name {
            "timerfd_settime" => _ = set.insert((thread, descriptor)),
            "read" if set.remove(&(thread, descriptor)) => count += 1,
            _ => {}
        }
    }
    count
}

fn is_mark(line: &str) -> bool {
    line.contains("write(1, \"ok mark")
}

/// Without work there are no threads: not after opening, not after writing, and all are gone once work is done.
pub(crate) fn threads_exist_only_while_there_is_work() -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let mut worker = Worker::start("script");
    let bare = Counters::parse(&{
        worker.ok(&format!("open {}", dir.path().join("a").display()));
        worker.wait_for(|counters| counters.threads == 1);
        worker.ok("stats")
    });
    for key in 0..100 {
        worker.ok(&format!("put {key} x"));
    }
    let written = Counters::parse(&worker.ok("stats"));
    assert_eq!((bare.threads, written.threads), (1, 1), "a small write needs no thread");
    worker.ok("grant 7 1000000");
    assert_eq!(worker.wait_for(|counters| counters.threads == 2).threads, 2, "one thread waits for the lease to end");
    worker.ok("close");
    worker.wait_for(|counters| counters.threads == 1);
    worker.ok("drop");
    // A hundred stores, one after the other, leave no descriptor and no thread.
    let mut after = Vec::new();
    for _ in 0..100 {
        worker.ok(&format!("open {} tiny", dir.path().join("b").display()));
        worker.ok("putn key 900");
        worker.ok("close");
        after.push(Counters::parse(&worker.ok("stats")));
        worker.ok("drop");
    }
    // A thread that ends may hold its store a moment longer.
    let last = after[99];
    assert!(last.threads <= 2 && last.descriptors <= after[0].descriptors + 8, "{last:?} after {:?}", after[0]);
    Outcome::Passed
}

/// Mixed load with compaction: descriptors and threads stay what they were, memory stays below 256 MiB, and the disk
/// holds what is live, not what was ever written.
pub(crate) fn mixed_load_leaks_nothing() -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let mut worker = Worker::start("script");
    worker.ok(&format!("open {} written tiny", dir.path().join("store").display()));
    let span = Duration::from_secs(budget("ETCLITE_SOAK_SECONDS", 20));
    let started = Instant::now();
    let (mut quiet, mut busy): (Vec<Counters>, Vec<Counters>) = (Vec::new(), Vec::new());
    for round in 0u64.. {
        if started.elapsed() >= span && quiet.len() > 4 {
            break;
        }
        worker.ok(&format!("mix {round} 1000"));
        busy.push(Counters::parse(&worker.ok("stats")));
        if round % 8 == 7 {
            worker.ok("reclaim");
            quiet.push(worker.wait_for(|counters| counters.threads == 1 && counters.runs <= 1));
        }
    }
    let max = |of: fn(&Counters) -> u64, list: &[Counters]| list.iter().map(of).max().unwrap();
    let revision = busy.last().unwrap().revision;
    println!(
        "  {revision} revisions, at most {} descriptors, {} threads, {} KiB on disk, {} KiB of memory",
        max(|c| c.descriptors, &busy),
        max(|c| c.threads, &busy),
        max(|c| c.disk, &busy) / 1024,
        max(|c| c.rss_kib, &busy)
    );
    // The first rounds warm up what is opened once and kept.
    let steady = |list: &[Counters]| list[1..].to_vec();
    for counters in steady(&quiet) {
        assert!(counters.descriptors.abs_diff(quiet[1].descriptors) <= 2, "{counters:?} after {:?}", quiet[1]);
        assert!(counters.disk <= QUIET_BYTES_MAX, "{counters:?}");
    }
    // The main thread and one a job; of each job one more may be on its way out.
    assert!(max(|c| c.threads, &busy) <= 11, "more threads than jobs");
    // Writers wait for merges from 24 runs on; a merge, a flush and the log have some more in hand.
    assert!(max(|c| c.descriptors, &busy) <= quiet[1].descriptors + 40, "descriptors pile up");
    assert!(max(|c| c.disk, &busy) <= BUSY_BYTES_MAX, "the disk fills");
    assert!(max(|c| c.rss_kib, &busy) <= 256 << 10, "memory grows");
    assert_eq!(worker.ok("check"), "[]");
    Outcome::Passed
}

/// Live data is about 600 keys of 200 bytes; segments are 64 KiB.
const QUIET_BYTES_MAX: u64 = 2 << 20;
/// History between two compactions, in runs and in the log, and the inputs of a merge beside its output.
const BUSY_BYTES_MAX: u64 = 32 << 20;
