//! Watches: the rows WA of the specification and X-05, with values by hand. `watch_random` has the promises for any
//! history.

use etclite::{Db, Delete, Error, Invalid, KeyRange, Options, from_key, prefix};

use super::rig::{Kind, Store, delete, drain, everywhere, ms, nested, put, rev, show};

#[test]
fn wa_01_ordered_and_unique() {
    everywhere(|store| {
        let mut live = store.db.watch(..).start().unwrap();
        store.put("b", "1");
        store.put("a", "2");
        store.delete("b");
        assert_eq!(drain(&mut live).unwrap(), ["+b=1@2", "+a=2@3", "-b@4"]);
        assert_eq!(drain(&mut live).unwrap(), [""; 0]);
        store.always(|store| assert_eq!(store.events(.., 1), ["+b=1@2", "+a=2@3", "-b@4 was 1"]));
    });
}

#[test]
fn wa_01_reliable_with_tiny_batches() {
    everywhere(|store| {
        for i in 0..20 {
            store.put(&format!("k{}", i % 3), &i.to_string());
        }
        store.always(|store| {
            let mut watch = store.db.watch("k1").from(1).batch_bytes(0).start().unwrap();
            let expected = ["+k1=1@3", "+k1=4@6", "+k1=7@9", "+k1=10@12", "+k1=13@15", "+k1=16@18", "+k1=19@21"];
            assert_eq!(drain(&mut watch).unwrap(), expected);
        });
    });
}

#[test]
fn wa_01_atomic() {
    everywhere(|store| {
        store.txn(vec![put("a", "1"), put("b", "2"), put("c", "3")]);
        store.txn(vec![delete("a"), put("d", "4")]);
        store.always(|store| {
            let mut watch = store.db.watch(..).from(1).batch_bytes(1).start().unwrap();
            let batch =
                |batch: Option<etclite::WatchBatch>| batch.unwrap().events().iter().map(show).collect::<Vec<_>>();
            assert_eq!(batch(watch.try_next().unwrap()), ["+a=1@2", "+b=2@2", "+c=3@2"]);
            assert_eq!(batch(watch.try_next().unwrap()), ["-a@3", "+d=4@3"]);
            assert_eq!(watch.try_next().unwrap(), None);
        });
    });
}

#[test]
fn wa_01_resumable_after_every_batch() {
    everywhere(|store| {
        for i in 0..5 {
            store.put("a", &i.to_string());
            store.put("other", "");
        }
        store.always(|store| {
            let mut seen = Vec::new();
            let mut from = rev(1);
            loop {
                let mut watch = store.db.watch("a").from(from).batch_bytes(0).start().unwrap();
                let Some(batch) = watch.try_next().unwrap() else { break };
                seen.extend(batch.events().iter().map(show));
                from = watch.progress() + 1;
            }
            assert_eq!(seen, ["+a=0@2", "+a=1@4", "+a=2@6", "+a=3@8", "+a=4@10"]);
        });
    });
}

#[test]
fn wa_01_bookmarkable() {
    everywhere(|store| {
        store.put("a", "1");
        let mut watch = store.db.watch("a").start().unwrap();
        assert_eq!(watch.progress(), 2);
        store.put("a", "2");
        store.put("b", "1");
        assert_eq!(watch.progress(), 2);
        assert_eq!(watch.try_next().unwrap().unwrap().revision(), 3);
        assert_eq!(watch.progress(), 4);
    });
}

#[test]
fn wa_02_start() {
    everywhere(|store| {
        store.put("a", "1");
        let mut next = store.db.watch(..).start().unwrap();
        let mut inclusive = store.db.watch(..).from(2).start().unwrap();
        let mut future = store.db.watch(..).from(4).start().unwrap();
        assert_eq!(
            (next.start_revision(), inclusive.start_revision(), future.start_revision()),
            (rev(3), rev(2), rev(4))
        );
        store.put("a", "2");
        assert_eq!(drain(&mut future).unwrap(), [""; 0]);
        store.put("a", "3");
        assert_eq!(drain(&mut next).unwrap(), ["+a=2@3", "+a=3@4"]);
        assert_eq!(drain(&mut inclusive).unwrap(), ["+a=1@2", "+a=2@3", "+a=3@4"]);
        assert_eq!(drain(&mut future).unwrap(), ["+a=3@4"]);
    });
}

#[test]
fn wa_02_below_the_compact_revision_fails_and_at_it_works() {
    everywhere(|store| {
        for i in 1..=4 {
            store.put("a", &i.to_string());
        }
        store.db.compact(4).unwrap();
        store.always(|store| {
            for from in [1, 3] {
                let refused = store.db.watch(..).from(from).start();
                assert!(matches!(refused, Err(Error::Compacted { compacted }) if compacted == 4), "{refused:?}");
            }
            assert_eq!(store.events(.., 4), ["+a=3@4", "+a=4@5 was 3"]);
        });
    });
}

#[test]
fn wa_03_keys() {
    everywhere(|store| {
        for (key, value) in [("a", "1"), ("ab", "2"), ("b", "3"), ("\u{7f}", "4")] {
            store.put(key, value);
        }
        store.always(|store| {
            assert_eq!(store.events("a", 1), ["+a=1@2"]);
            assert_eq!(store.events("a".."b", 1), ["+a=1@2", "+ab=2@3"]);
            assert_eq!(store.events(prefix("a"), 1), ["+a=1@2", "+ab=2@3"]);
            assert_eq!(store.events(from_key("ab"), 1), ["+ab=2@3", "+b=3@4", "+\u{7f}=4@5"]);
            assert_eq!(store.events(.., 1).len(), 4);
        });
    });
}

#[test]
fn wa_03_prefix_of_the_highest_bytes() {
    everywhere(|store| {
        store.db.put([0xff, 0xfe], "1").unwrap();
        store.db.put([0xff, 0xff, 0x00], "2").unwrap();
        store.always(|store| {
            let events = |range: KeyRange| store.events(range, 1).len();
            assert_eq!(
                (events(prefix([0xff])), events(prefix([0xff, 0xff])), events(prefix([0xff, 0xff, 0xff]))),
                (2, 1, 0)
            );
        });
    });
}

#[test]
fn wa_03_an_empty_key_is_the_zero_byte() {
    everywhere(|store| {
        store.put("\0", "1");
        store.put("a", "2");
        store.always(|store| {
            assert_eq!(store.events("", 1), ["+\0=1@2"]);
            assert_eq!(store.events(from_key(""), 1), ["+\0=1@2", "+a=2@3"]);
        });
    });
}

#[test]
fn wa_03_an_empty_range_is_refused() {
    everywhere(|store| {
        for range in [KeyRange::between("b", "a"), KeyRange::between("a", "a")] {
            let refused = store.db.watch(range).start();
            assert!(matches!(refused, Err(Error::InvalidArgument(Invalid::EmptyWatchRange))));
        }
    });
}

#[test]
fn wa_07_prev_kv() {
    everywhere(|store| {
        store.put("a", "1");
        store.put("a", "2");
        store.delete("a");
        store.put("a", "3");
        store.put("a", "4");
        store.always(|store| {
            assert_eq!(store.events("a", 1), ["+a=1@2", "+a=2@3 was 1", "-a@4 was 2", "+a=3@5", "+a=4@6 was 3"]);
        });
    });
}

#[test]
fn wa_07_prev_kv_is_whole() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(1_000_000)).unwrap();
        store.put("a", "1");
        store.put_leased("a", "2", 7);
        store.put("a", "3");
        store.always(|store| {
            let mut watch = store.db.watch("a").from(4).with_prev().start().unwrap();
            let batch = watch.try_next().unwrap().unwrap();
            let prev = batch.events()[0].prev.as_ref().unwrap();
            assert_eq!((prev.create_revision, prev.mod_revision, prev.version), (rev(2), rev(3), 2));
            assert_eq!((prev.lease.get(), &prev.value[..]), (7, &b"2"[..]));
        });
    });
}

#[test]
fn wa_07_prev_kv_goes_with_the_revision_before_whatever_was_reclaimed() {
    everywhere(|store| {
        store.put("old", "1");
        for i in 1..=4 {
            store.put("a", &i.to_string());
        }
        store.put("old", "2");
        store.db.compact(4).unwrap();
        store.always(|store| {
            // Revision 3, before the event at 4, is below 4; revision 6 is not, though the value is from 2.
            assert_eq!(store.events(.., 4), ["+a=2@4", "+a=3@5 was 2", "+a=4@6 was 3", "+old=2@7 was 1"]);
        });
        store.db.compact_physical(6).unwrap();
        store.always(|store| assert_eq!(store.events(.., 6), ["+a=4@6", "+old=2@7 was 1"]));
    });
}

#[test]
fn wa_07_a_recreation_within_a_revision_has_none() {
    everywhere(|store| {
        store.put("a", "1");
        store.txn(vec![delete(from_key("a")), put("a", "2")]);
        store.always(|store| assert_eq!(store.events("a", 3), ["-a@3 was 1", "+a=2@3"]));
    });
}

#[test]
fn wa_08_filters() {
    everywhere(|store| {
        store.put("a", "1");
        store.delete("a");
        store.put("a", "2");
        store.always(|store| {
            let mut deletes = store.db.watch(..).from(1).no_put().start().unwrap();
            let mut puts = store.db.watch(..).from(1).no_delete().start().unwrap();
            let mut nothing = store.db.watch(..).from(1).no_put().no_delete().start().unwrap();
            assert_eq!(drain(&mut deletes).unwrap(), ["-a@3"]);
            assert_eq!(drain(&mut puts).unwrap(), ["+a=1@2", "+a=2@4"]);
            assert_eq!(nothing.try_next().unwrap(), None);
            assert_eq!(nothing.progress(), 4);
        });
    });
}

#[test]
fn wa_08_progress_moves_past_what_is_filtered() {
    everywhere(|store| {
        let mut watch = store.db.watch(..).no_put().start().unwrap();
        store.put("a", "1");
        assert_eq!(watch.try_next().unwrap(), None);
        assert_eq!(watch.progress(), 2);
    });
}

#[test]
fn wa_10_progress_notify() {
    everywhere(|store| {
        let mut watch = store.db.watch("a").progress_every(ms(100)).start().unwrap();
        store.put("b", "1");
        store.clock.advance(ms(99));
        assert_eq!(watch.try_next().unwrap(), None);
        store.clock.advance(ms(1));
        let batch = watch.try_next().unwrap().unwrap();
        assert!(batch.is_progress());
        assert_eq!(batch.revision(), 2);
        // What is sent meanwhile starts the interval anew.
        store.clock.advance(ms(60));
        store.put("a", "1");
        assert_eq!(watch.try_next().unwrap().unwrap().revision(), 3);
        store.clock.advance(ms(60));
        assert_eq!(watch.try_next().unwrap(), None);
        store.clock.advance(ms(40));
        assert_eq!(watch.try_next().unwrap().unwrap().revision(), 3);
    });
}

#[test]
fn wa_10_no_progress_below_the_start_and_a_shortest_interval() {
    everywhere(|store| {
        let mut watch = store.db.watch(..).from(4).progress_every(ms(100)).start().unwrap();
        for _ in 0..2 {
            store.clock.advance(ms(500));
            assert_eq!(watch.try_next().unwrap(), None);
            store.put("a", "");
        }
        store.put("a", "at the start");
        assert_eq!(watch.try_next().unwrap().unwrap().revision(), 4);
        let refused = store.db.watch(..).progress_every(ms(99)).start();
        assert!(matches!(refused, Err(Error::InvalidArgument(Invalid::Argument(_)))));
    });
}

#[test]
fn wa_11_progress_on_request_always_answers() {
    everywhere(|store| {
        let behind = store.db.watch("a").from(2).start().unwrap();
        let quiet = store.db.watch("b").start().unwrap();
        store.put("a", "1");
        // The one that is behind keeps nobody else's progress back.
        assert_eq!((behind.progress(), quiet.progress()), (rev(1), rev(2)));
    });
}

#[test]
fn wa_12_slow_watchers_catch_up_by_themselves() {
    everywhere(|store| {
        let mut watches: Vec<_> = (0..50).map(|i| store.db.watch(format!("k{i}")).start().unwrap()).collect();
        for round in 0..3 {
            for i in 0..50 {
                store.put(&format!("k{i}"), &round.to_string());
            }
            store.work();
        }
        for (i, watch) in watches.iter_mut().enumerate() {
            let expected: Vec<_> = (0..3).map(|round| format!("+k{i}={round}@{}", 2 + i + 50 * round)).collect();
            assert_eq!(drain(watch).unwrap(), expected);
        }
    });
}

#[test]
fn wa_13_a_batch_has_the_revision_of_its_last_event() {
    everywhere(|store| {
        let mut watch = store.db.watch("a").start().unwrap();
        store.put("a", "1");
        store.put("a", "2");
        store.put("b", "1");
        let batch = watch.try_next().unwrap().unwrap();
        assert_eq!((batch.revision(), batch.events().len(), watch.progress()), (rev(3), 2, rev(4)));
    });
}

#[test]
fn wa_15_resuming_across_a_reopen_ends_with_the_compact_revision() {
    everywhere(|store| {
        let mut watch = store.db.watch(..).start().unwrap();
        store.put("a", "1");
        assert_eq!(drain(&mut watch).unwrap(), ["+a=1@2"]);
        store.put("a", "2");
        let resume = watch.progress() + 1;
        store.reopen();
        assert_eq!(store.events(.., resume.get()), ["+a=2@3 was 1"]);
        store.put("a", "3");
        store.db.compact(4).unwrap();
        let refused = store.db.watch(..).from(resume).start();
        assert!(matches!(refused, Err(Error::Compacted { compacted }) if compacted == 4));
    });
}

#[test]
fn wa_17_sub_revision_order() {
    everywhere(|store| {
        store.put("z", "0");
        store.txn(vec![put("c", "1"), nested(vec![put("b", "2"), delete("z")]), put("a", "3")]);
        store.always(|store| assert_eq!(store.events(.., 3), ["+c=1@3", "+b=2@3", "-z@3 was 0", "+a=3@3"]));
    });
}

#[test]
fn x_05_progress_before_a_future_start() {
    everywhere(|store| {
        let watch = store.db.watch(..).from(9).start().unwrap();
        assert_eq!(watch.progress(), 8);
        store.put("a", "1");
        assert_eq!(watch.progress(), 8);
    });
}

#[test]
fn x_05_compaction_past_a_pending_match_ends_a_watch_once() {
    everywhere(|store| {
        let mut watch = store.db.watch("a").start().unwrap();
        store.put("a", "1");
        store.put("a", "2");
        store.put("a", "3");
        store.db.compact(3).unwrap();
        store.settle();
        let ended = watch.try_next();
        assert!(matches!(ended, Err(Error::Compacted { compacted }) if compacted == 3), "{ended:?}");
        assert_eq!(watch.try_next().unwrap(), None);
        assert!(watch.next().is_none() && watch.is_ended());
        // A new watch from there is complete, and progress still says what was delivered.
        assert_eq!(watch.progress(), 1);
        assert_eq!(store.events("a", 3), ["+a=2@3", "+a=3@4 was 2"]);
    });
}

#[test]
fn x_05_compaction_never_ends_a_watch_with_nothing_pending() {
    everywhere(|store| {
        let mut quiet = store.db.watch("b").start().unwrap();
        let mut at_head = store.db.watch("a").start().unwrap();
        let mut exactly = store.db.watch("a").start().unwrap();
        for i in 1..=9 {
            store.put("a", &i.to_string());
            assert_eq!(at_head.try_next().unwrap().unwrap().revision(), 1 + i);
            if i == 8 {
                assert_eq!(drain(&mut exactly).unwrap().len(), 8);
            }
        }
        // `exactly` still has to get revision 10, the compact revision itself.
        store.db.compact(10).unwrap();
        store.settle();
        store.put("b", "1");
        store.put("a", "10");
        assert_eq!(drain(&mut quiet).unwrap(), ["+b=1@11"]);
        assert_eq!(drain(&mut at_head).unwrap(), ["+a=10@12"]);
        assert_eq!(drain(&mut exactly).unwrap(), ["+a=9@10", "+a=10@12"]);
    });
}

#[test]
fn x_05_cancel_and_close_end_a_watch_once() {
    everywhere(|store| {
        let mut canceled = store.db.watch(..).start().unwrap();
        let mut closed = store.db.watch(..).start().unwrap();
        store.put("a", "1");
        canceled.canceller().cancel();
        assert!(matches!(canceled.try_next(), Err(Error::Canceled)));
        assert_eq!(canceled.try_next().unwrap(), None);
        assert_eq!(store.db.stats().watches, 1);
        store.db.close().unwrap();
        assert!(matches!(closed.next(), Some(Err(Error::Closed))));
        assert!(closed.next().is_none());
        assert!(matches!(store.db.watch(..).start(), Err(Error::Closed)));
    });
}

#[test]
fn x_05_a_full_house() {
    let store = Store::with(Kind::Memory, Options::new().watches_max(2));
    let first = store.db.watch(..).start().unwrap();
    let _second = store.db.watch(..).start().unwrap();
    assert!(matches!(store.db.watch(..).start(), Err(Error::Full { max: 2, .. })));
    drop(first);
    store.db.watch(..).start().unwrap();
}

#[test]
fn x_05_a_slow_watcher_costs_no_memory() {
    let store = Store::new(Kind::Tiny);
    let mut watch = store.db.watch("slow").start().unwrap();
    for i in 0..2_000 {
        store.db.put("slow", [b'x'; 100]).unwrap();
        if i % 10 == 0 {
            store.work();
        }
    }
    store.settle();
    // 200 kB of undelivered events, and a few kB in memory.
    assert!(store.db.stats().memtable_bytes < 4 << 10, "{:?}", store.db.stats());
    let mut expected = 2;
    while let Some(batch) = watch.try_next().unwrap() {
        for event in batch.events() {
            assert_eq!(event.kv.mod_revision, expected);
            expected += 1;
        }
    }
    assert_eq!(expected, 2_002);
}

#[test]
fn x_05_a_revision_larger_than_a_batch_is_not_split() {
    everywhere(|store| {
        let ops = (0..30).map(|i| put(&format!("k{i:02}"), "a value of some length")).collect();
        store.txn(ops);
        store.put("next", "1");
        store.always(|store| {
            let mut watch = store.db.watch(..).from(1).batch_bytes(100).start().unwrap();
            let sizes: Vec<_> =
                std::iter::from_fn(|| watch.try_next().unwrap()).map(|batch| batch.events().len()).collect();
            assert_eq!(sizes, [30, 1]);
        });
    });
}

#[test]
fn x_05_a_blocked_next_is_woken_by_a_write_a_lease_and_a_close() {
    let db = Db::in_memory().unwrap();
    let mut watch = db.watch("a").start().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for batch in &mut watch {
                match batch {
                    Ok(batch) => batch.events().iter().for_each(|event| tell.send(show(event)).unwrap()),
                    Err(error) => tell.send(error.to_string()).unwrap(),
                }
            }
        });
        let mut ended = db.watch("a").no_put().start().unwrap();
        let lease = db.grant(ms(20)).unwrap();
        db.put_with("a", "1", etclite::PutOptions::new().lease(lease.id())).unwrap();
        assert_eq!(ended.next().unwrap().unwrap().revision(), 3);
        db.delete_with(Delete::new("a")).unwrap();
        // Closing ends a watch with whatever it has pending.
        assert_eq!([told.recv().unwrap(), told.recv().unwrap()], ["+a=1@2", "-a@3"]);
        db.close().unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), ["the store is closed"]);
    });
}

#[test]
fn x_05_a_reader_with_its_own_channel() {
    let db = Db::in_memory().unwrap();
    let receiver = db.watch(..).start().unwrap().receiver(1);
    for i in 0..100 {
        db.put("a", i.to_string()).unwrap();
    }
    let mut next = 2;
    while next < 102 {
        for event in receiver.recv().unwrap().unwrap().events() {
            assert_eq!(event.kv.mod_revision, next);
            next += 1;
        }
    }
    db.close().unwrap();
    assert!(matches!(receiver.recv(), Ok(Err(Error::Closed))));
    assert!(receiver.recv().is_err());
}

#[test]
fn load_and_watch_leaves_no_gap() {
    everywhere(|store| {
        store.put("config/a", "1");
        let (loaded, mut watch) = store.db.load_and_watch(prefix("config/")).unwrap();
        store.put("config/a", "2");
        assert_eq!(loaded.iter().map(|kv| kv.mod_revision).collect::<Vec<_>>(), [rev(2)]);
        assert_eq!(drain(&mut watch).unwrap(), ["+config/a=2@3"]);
    });
}

#[test]
fn x_05_read_errors_end_a_watch_and_nothing_is_guessed() {
    let store = Store::new(Kind::Tiny);
    for i in 0..40 {
        store.put("a", &i.to_string());
    }
    store.settle();
    let mut watch = store.db.watch("a").from(1).start().unwrap();
    let disk = store.sim.as_ref().unwrap();
    let site = Some(etclite::io::IoSite::RunRead);
    disk.fail(etclite::io::sim::Fault { site, nth: 1, kind: etclite::io::sim::FaultKind::Eio, forever: true });
    assert!(matches!(watch.try_next(), Err(Error::Io { .. })));
    assert_eq!(watch.try_next().unwrap(), None);
    disk.clear_faults();
    // Resumed from what it says it delivered, it is complete.
    assert_eq!(store.events("a", watch.progress().get() + 1).len(), 40);
}
