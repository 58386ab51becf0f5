//! CO-12: read-write locks, barriers, queues and their keys.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use etclite::coordination::{Cancel, LockGuard, WaitOptions};
use etclite::{Db, Error, Invalid, PutOptions, Result, Session, prefix};

use super::co_mutex::{await_line, session};
use super::gate::LONG;
use super::rig::{Kind, Store, everywhere, ms};

fn keys(db: &Db, under: &str) -> Vec<String> {
    let keys = db.range(prefix(under)).unwrap().map(|kv| kv.unwrap().key);
    keys.map(|key| String::from_utf8(key.to_vec()).unwrap()).collect()
}

fn is_waiting<T>(receiver: &Receiver<T>) -> bool {
    matches!(receiver.try_recv(), Err(TryRecvError::Empty))
}

fn lock(session: &Session, write: bool, told: &Sender<Result<LockGuard>>) {
    let lock = session.rw_lock("n");
    told.send(if write { lock.write() } else { lock.read() }).unwrap();
}

#[test]
fn co_12_rw_lock_keys_are_etcds() {
    everywhere(|store| {
        let one = session(&store.db);
        let (read, write) = (one.rw_lock("n").read().unwrap(), session(&store.db).rw_lock("m").write().unwrap());
        let (read, write) = (read.key(), write.key());
        assert!(read.starts_with(b"n/read/") && write.starts_with(b"m/write/"));
        for number in [&read[7..], &write[8..]] {
            assert!(number.len() == 19 && number.iter().all(u8::is_ascii_digit));
        }
        let kv = store.db.get(read).unwrap().unwrap();
        assert_eq!((kv.value.len(), kv.lease), (0, one.lease()));
    });
}

#[test]
fn co_12_readers_share_and_writers_do_not() {
    everywhere(|store| {
        let db = &store.db;
        let readers = [session(db), session(db)].map(|reader| reader.rw_lock("n").read().unwrap());
        let writer = session(db);
        assert!(writer.rw_lock("n").write_timeout(ms(0)).unwrap().is_none());
        assert_eq!(keys(db, "n/").len(), 2, "its key is gone again");
        drop(readers);
        let writing = writer.rw_lock("n").write().unwrap();
        assert!(session(db).rw_lock("n").read_timeout(ms(0)).unwrap().is_none());
        db.txn().fenced(&writing).then([etclite::Put::new("a", "")]).commit().unwrap();
        writing.unlock().unwrap();
        assert!(session(db).rw_lock("n").read_timeout(ms(0)).unwrap().is_some());
        assert!(keys(db, "n/").is_empty());
    });
}

/// Reader, writer, reader, in this order: the second reader does not overtake the writer.
#[test]
fn co_12_nobody_overtakes() {
    let store = Store::new(Kind::Memory);
    let db = &store.db;
    let first = session(db).rw_lock("n").read().unwrap();
    let (writer, reader) = (session(db), session(db));
    std::thread::scope(|scope| {
        let ((to_writer, written), (to_reader, read)) = (channel(), channel());
        scope.spawn(|| lock(&writer, true, &{ to_writer }));
        await_line(db, "n", 2);
        scope.spawn(|| lock(&reader, false, &{ to_reader }));
        await_line(db, "n", 3);
        assert!(is_waiting(&written) && is_waiting(&read));
        first.unlock().unwrap();
        let writing = written.recv().unwrap().unwrap();
        assert!(is_waiting(&read));
        writing.unlock().unwrap();
        read.recv().unwrap().unwrap().unlock().unwrap();
    });
}

#[test]
fn co_12_rw_waiter_learns_that_its_session_ended() {
    for write in [false, true] {
        let store = Store::new(Kind::Memory);
        let held = session(&store.db).rw_lock("n").write().unwrap();
        let dying = store.db.session(ms(5_000)).unwrap();
        std::thread::scope(|scope| {
            let (sender, locked) = channel();
            scope.spawn(|| lock(&dying, write, &{ sender }));
            await_line(&store.db, "n", 2);
            store.advance_ms(5_000);
            assert!(matches!(locked.recv().unwrap(), Err(Error::SessionExpired)));
            assert!(held.is_held().unwrap());
        });
    }
}

#[test]
fn co_12_readers_never_meet_a_writer() {
    let db = Db::in_memory().unwrap();
    // How many readers are inside, or -1 for a writer.
    let inside = AtomicI64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..5 {
            let (db, inside) = (&db, &inside);
            scope.spawn(move || {
                let session = session(db);
                for round in 0..30 {
                    if (thread + round) % 3 == 0 {
                        let _guard = session.rw_lock("n").write().unwrap();
                        assert_eq!(inside.swap(-1, Ordering::SeqCst), 0);
                        inside.store(0, Ordering::SeqCst);
                    } else {
                        let _guard = session.rw_lock("n").read().unwrap();
                        assert!(inside.fetch_add(1, Ordering::SeqCst) >= 0);
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    assert!(keys(&db, "n/").is_empty());
}

#[test]
fn co_12_barrier() {
    everywhere(|store| {
        let barrier = store.db.barrier("b");
        barrier.wait().unwrap();
        assert!(barrier.hold().unwrap() && !barrier.hold().unwrap());
        let kv = store.db.get("b").unwrap().unwrap();
        assert_eq!((kv.value.len(), kv.lease.get(), kv.version), (0, 0, 1));
        assert!(!barrier.wait_timeout(ms(1)).unwrap());
        let cancel = Cancel::new();
        cancel.cancel();
        let canceled = barrier.wait_with(&WaitOptions::new().cancel(&cancel));
        assert!(matches!(canceled, Err(Error::WaitCanceled)));
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| barrier.wait())).collect();
            store.put("other", "");
            barrier.release().unwrap();
            waiters.into_iter().for_each(|waiter| waiter.join().unwrap().unwrap());
        });
        barrier.release().unwrap();
        assert!(barrier.hold().unwrap());
    });
}

#[test]
fn co_12_double_barrier() {
    const COUNT: usize = 4;
    let db = Db::in_memory().unwrap();
    let trace = Mutex::new(Vec::new());
    for round in 0..3 {
        std::thread::scope(|scope| {
            for _ in 0..COUNT {
                scope.spawn(|| {
                    let session = session(&db);
                    trace.lock().unwrap().push((round, "comes"));
                    let inside = session.double_barrier("b", COUNT).enter().unwrap();
                    trace.lock().unwrap().push((round, "is in"));
                    trace.lock().unwrap().push((round, "goes"));
                    inside.leave().unwrap();
                    trace.lock().unwrap().push((round, "leaves"));
                });
            }
        });
        let trace = std::mem::take(&mut *trace.lock().unwrap());
        let last = |what| trace.iter().rposition(|step| step.1 == what).unwrap();
        let first = |what| trace.iter().position(|step| step.1 == what).unwrap();
        assert!(last("comes") < first("is in"), "{trace:?}");
        assert!(last("goes") < first("leaves"), "{trace:?}");
        assert!(trace.iter().all(|step| step.0 == round));
        assert!(keys(&db, "b/").is_empty());
    }
}

#[test]
fn co_12_nobody_leaves_a_double_barrier_before_all_do() {
    let db = Db::in_memory().unwrap();
    let (one, two) = (session(&db), session(&db));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| two.double_barrier("b", 2).enter().unwrap());
        let first = one.double_barrier("b", 2).enter().unwrap();
        let second = other.join().unwrap();
        let waiters = keys(&db, "b/waiters/");
        assert!(waiters.len() == 2 && waiters[0].len() == "b/waiters/".len() + 19);
        assert_eq!(keys(&db, "b/ready"), ["b/ready"]);
        let (sender, left) = channel();
        scope.spawn(move || sender.send(first.leave()).unwrap());
        assert!(second.leave_with(&WaitOptions::new().timeout(ms(0))).is_ok());
        left.recv_timeout(LONG).unwrap().unwrap();
    });
    assert!(keys(&db, "b/waiters").is_empty());
    // Whoever came first or last: with the other inside, leaving takes longer than no time.
    for first_goes in [true, false] {
        let (earlier, later) = std::thread::scope(|scope| {
            let earlier = scope.spawn(|| one.double_barrier("b", 2).enter().unwrap());
            await_line(&db, "b/waiters", 1);
            let later = two.double_barrier("b", 2).enter().unwrap();
            (earlier.join().unwrap(), later)
        });
        let (goes, stays) = if first_goes { (earlier, later) } else { (later, earlier) };
        let no_time = WaitOptions::new().timeout(ms(0));
        assert!(!goes.leave_with(&no_time).unwrap());
        assert!(stays.leave_with(&no_time).unwrap());
        assert!(keys(&db, "b/").is_empty());
    }
}

#[test]
fn co_12_too_many_clients() {
    everywhere(|store| {
        let (one, two) = (session(&store.db), session(&store.db));
        let inside = one.double_barrier("b", 1).enter().unwrap();
        assert!(matches!(two.double_barrier("b", 1).enter(), Err(Error::Full { max: 1, .. })));
        assert_eq!(keys(&store.db, "b/waiters").len(), 1);
        inside.leave().unwrap();
        assert!(keys(&store.db, "b/").is_empty());
        assert!(two.double_barrier("b", 2).enter_timeout(ms(1)).unwrap().is_none());
        assert!(keys(&store.db, "b/").is_empty());
        drop(two.double_barrier("b", 1).enter().unwrap());
        assert!(keys(&store.db, "b/waiters").is_empty());
    });
}

#[test]
fn co_12_who_waits_at_a_double_barrier_learns_that_its_session_ended() {
    let store = Store::new(Kind::Memory);
    let dying = store.db.session(ms(5_000)).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| dying.double_barrier("b", 2).enter().map(drop));
        await_line(&store.db, "b/waiters", 1);
        store.advance_ms(5_000);
        assert!(matches!(waiter.join().unwrap(), Err(Error::SessionExpired)));
    });
    // One that died inside is not waited for.
    let (one, dying) = (session(&store.db), store.db.session(ms(5_000)).unwrap());
    std::thread::scope(|scope| {
        let other = scope.spawn(|| dying.double_barrier("b", 2).enter().unwrap());
        let inside = one.double_barrier("b", 2).enter().unwrap();
        let dead = other.join().unwrap();
        store.advance_ms(5_000);
        inside.leave().unwrap();
        assert!(matches!(dead.leave(), Err(Error::SessionExpired)));
    });
    assert!(keys(&store.db, "b/waiters").is_empty());
}

#[test]
fn co_12_queue() {
    everywhere(|store| {
        let queue = store.db.queue("q");
        assert_eq!(queue.try_dequeue().unwrap(), None);
        let made = queue.enqueue("1").unwrap();
        assert!(made.key.starts_with(b"q/") && made.key.len() == 2 + 19);
        assert_eq!(store.db.get(&made.key).unwrap().unwrap().create_revision, made.revision);
        // Another client's item, and a name of another queue that begins alike.
        store.put("q/0", "2");
        store.put("queue/1", "not mine");
        queue.enqueue("3").unwrap();
        store.settle();
        let taken = [queue.dequeue(), queue.dequeue(), queue.dequeue()].map(|item| item.unwrap().value);
        assert_eq!(taken, ["1", "2", "3"]);
        assert_eq!(queue.dequeue_timeout(ms(1)).unwrap(), None);
        assert_eq!(store.contents(), ["queue/1=not mine"]);
    });
}

#[test]
fn co_12_each_item_is_taken_once() {
    const ITEMS: usize = 120;
    let db = Db::in_memory().unwrap();
    let taken = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for taker in 0..4 {
            let (db, taken) = (&db, &taken);
            scope.spawn(move || {
                let (queue, by_priority) = (db.queue("q"), db.priority_queue("p"));
                for _ in 0..ITEMS / 4 {
                    let item = if taker % 2 == 0 { queue.dequeue() } else { by_priority.dequeue() };
                    taken.lock().unwrap().push(item.unwrap().value);
                }
            });
        }
        for writer in 0..2 {
            let db = &db;
            scope.spawn(move || {
                for item in 0..ITEMS / 4 {
                    db.queue("q").enqueue(format!("q{writer}.{item}")).unwrap();
                    db.priority_queue("p").enqueue(format!("p{writer}.{item}"), 7).unwrap();
                }
            });
        }
    });
    let mut taken = taken.into_inner().unwrap();
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), ITEMS);
    assert_eq!(keys(&db, ""), ["__p/00007"]);
}

#[test]
fn co_12_priority_queue() {
    everywhere(|store| {
        let queue = store.db.priority_queue("q");
        for (value, priority) in [("c", 10), ("d", 10), ("a", 0), ("e", 65_535), ("b", 9)] {
            queue.enqueue(value, priority).unwrap();
        }
        let prefix = ["q/00000/", "q/00009/", "q/00010/", "q/00010/", "q/65535/"];
        let number =
            ["0000000000000000", "0000000000000000", "0000000000000000", "0000000000000001", "0000000000000000"];
        let expected: Vec<String> =
            prefix.iter().zip(number).map(|(prefix, number)| format!("{prefix}{number}")).collect();
        assert_eq!(keys(&store.db, "q/"), expected);
        assert_eq!(keys(&store.db, "__"), ["__q/00000", "__q/00009", "__q/00010", "__q/65535"]);
        let taken: Vec<_> = std::iter::from_fn(|| queue.try_dequeue().unwrap()).map(|item| item.value).collect();
        assert_eq!(taken, ["a", "b", "c", "d", "e"]);
        assert_eq!(queue.dequeue_timeout(ms(1)).unwrap(), None);
    });
}

#[test]
fn co_12_dequeue_waits_for_an_item() {
    let store = Store::new(Kind::Memory);
    let (queue, by_priority, cancel) = (store.db.queue("q"), store.db.priority_queue("p"), Cancel::new());
    std::thread::scope(|scope| {
        let (first, second) = (scope.spawn(|| queue.dequeue()), scope.spawn(|| by_priority.dequeue()));
        by_priority.enqueue("2", 1).unwrap();
        queue.enqueue("1").unwrap();
        assert_eq!(first.join().unwrap().unwrap().value, "1");
        assert_eq!(second.join().unwrap().unwrap().value, "2");
        let options = WaitOptions::new().cancel(&cancel);
        let waiters = [
            scope.spawn({
                let (queue, options) = (queue.clone(), options.clone());
                move || queue.dequeue_with(&options)
            }),
            scope.spawn({
                let (queue, options) = (by_priority.clone(), options.clone());
                move || queue.dequeue_with(&options)
            }),
        ];
        cancel.cancel();
        waiters.into_iter().for_each(|waiter| assert!(matches!(waiter.join().unwrap(), Err(Error::WaitCanceled))));
        let waiter = scope.spawn(|| queue.dequeue());
        store.db.close().unwrap();
        assert!(matches!(waiter.join().unwrap(), Err(Error::Closed)));
    });
}

#[test]
fn co_12_unique_and_sequential_keys() {
    everywhere(|store| {
        let db = &store.db;
        db.grant_with_id(7, ms(60_000)).unwrap();
        let made: Vec<_> = (0..50).map(|_| db.put_unique("u", "v", PutOptions::new().lease(7)).unwrap()).collect();
        assert_eq!((db.count(prefix("u/")).unwrap(), db.get(&made[0].key).unwrap().unwrap().lease.get()), (50, 7));
        let kept = db.put_unique("u", "", PutOptions::new().ignore_lease());
        assert!(matches!(kept, Err(Error::InvalidArgument(_))));
        for expected in ["s/0000000000000000", "s/0000000000000001", "s/0000000000000002"] {
            assert_eq!(db.put_sequential("s", "v").unwrap().key, expected);
        }
        // As etcd: the number after the last key's, wherever that one came from.
        db.put("s/0000000000000009", "").unwrap();
        assert_eq!(db.put_sequential("s", "v").unwrap().key, "s/0000000000000010");
        db.put("s/x", "").unwrap();
        let refused = db.put_sequential("s", "v").unwrap_err();
        assert!(matches!(refused, Error::InvalidArgument(Invalid::Argument(_))));
    });
}
