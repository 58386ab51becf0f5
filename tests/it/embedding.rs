//! EM-01 and EM-02: a store is a guest in its process. Its threads and files end with it, and a call is a function call.

use std::fs;

use etclite::io::sim::{SimClock, SimDisk};
use etclite::{Db, Options, PutOptions};

use super::rig::{ROOMY, TINY, ms, open_sim, open_threaded};

/// The names of this process's threads that are a store's.
fn store_threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("etclite")).collect()
}

/// No thread of a store is left. The system may show one that was joined for a moment longer: it tells the joiner first.
fn no_thread_is_left(when: &str) {
    let started = std::time::Instant::now();
    while !store_threads().is_empty() {
        assert!(started.elapsed().as_secs() < 10, "{:?} {when}", store_threads());
        std::thread::yield_now();
    }
}

fn descriptors_below(dir: &std::path::Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
    links.filter(|link| link.starts_with(dir)).count()
}

/// Runs this module's `name` alone in a process of its own: what other tests start would be counted too.
fn alone(name: &str) -> bool {
    if std::env::var_os("ETCLITE_ALONE").is_some() {
        return true;
    }
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name, "--test-threads=1"]).env("ETCLITE_ALONE", "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    false
}

#[test]
fn em_01_two_thousand_opens_leak_nothing() {
    if !alone("embedding::em_01_two_thousand_opens_leak_nothing") {
        return;
    }
    // In memory if the host has such a place: syncing a real disk two thousand times takes minutes.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let path = dir.path().join("store");
    let open_and_close = |i: u64| {
        let db = if !i.is_multiple_of(4) { Db::in_memory().unwrap() } else { Options::new().open(&path).unwrap() };
        let watch = db.watch(..).start().unwrap();
        let lease = db.grant(ms(60_000)).unwrap();
        db.put_with("a", i.to_string(), PutOptions::new().lease(lease.id())).unwrap();
        lease.revoke().unwrap();
        let snapshot = db.snapshot().unwrap();
        db.close().unwrap();
        drop((watch, snapshot));
    };
    open_and_close(0);
    open_and_close(1);
    for i in 2..2_000 {
        open_and_close(i);
        if i % 100 == 0 {
            assert!(descriptors_below(dir.path()) == 0, "after {i} opens");
        }
    }
    no_thread_is_left("at the end");
    let db = Db::open(&path).unwrap();
    assert_eq!(db.leases().unwrap(), []);
}

#[test]
fn em_01_close_ends_every_thread() {
    if !alone("embedding::em_01_close_ends_every_thread") {
        return;
    }
    for round in 0..50 {
        let disk = SimDisk::new();
        let db = open_threaded(&disk, TINY);
        let lease = db.grant(ms(50_000)).unwrap();
        for i in 0..50 {
            db.put_with(format!("k{}", i % 9), [b'x'; 200], PutOptions::new().lease(lease.id())).unwrap();
        }
        // A thread names itself once it runs.
        while !store_threads().iter().any(|name| name.starts_with("etclite-expire")) {
            std::thread::yield_now();
        }
        let receiver = db.watch(..).start().unwrap().receiver(1);
        db.close().unwrap();
        drop(receiver);
        no_thread_is_left(&format!("in round {round}"));
    }
}

#[test]
fn em_01_an_idle_store_has_no_thread_and_writes_nothing() {
    if !alone("embedding::em_01_an_idle_store_has_no_thread_and_writes_nothing") {
        return;
    }
    let db = Db::in_memory().unwrap();
    db.put("a", "1").unwrap();
    let watch = db.watch(..).start().unwrap();
    while !store_threads().is_empty() {
        std::thread::yield_now();
    }
    drop(watch);
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    db.grant_with_id(1, ms(1_000_000)).unwrap();
    let idle = disk.position();
    clock.advance(ms(999_999));
    while etclite::testing::step(&db).unwrap() {}
    assert_eq!(disk.position(), idle);
}

#[test]
fn em_02_reads_touch_no_disk_and_start_no_thread() {
    let (disk, clock) = (SimDisk::new(), SimClock::new(1));
    let db = open_sim(&disk, &clock, ROOMY);
    db.put("a", "1").unwrap();
    let calls = || disk.sites_hit().values().sum::<u64>();
    let before = calls();
    for _ in 0..100 {
        db.get("a").unwrap().unwrap();
        assert_eq!(db.count(..).unwrap(), 1);
        db.put_if_absent("a", "2").unwrap();
    }
    // A txn that changes nothing writes nothing either.
    assert_eq!(calls(), before);
    db.put("a", "2").unwrap();
    // One write and one sync.
    assert_eq!(calls(), before + 2);
}

#[test]
fn em_01_stores_are_independent() {
    let (one, two) = (Db::in_memory().unwrap(), Db::in_memory().unwrap());
    one.put("a", "1").unwrap();
    assert_eq!((two.get("a").unwrap(), two.revision().get()), (None, 1));
    one.close().unwrap();
    two.put("a", "2").unwrap();
}
