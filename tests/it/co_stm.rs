//! CO-11: functions that run as if they were alone, at each level of that.

use std::cell::Cell;

use etclite::coordination::Isolation::{ReadCommitted, RepeatableReads, Serializable, SerializableSnapshot};
use etclite::coordination::{Isolation, Stm};
use etclite::{Db, Error, PutOptions, Result};

use super::rig::{everywhere, ms};

const ALL: [Isolation; 4] = [SerializableSnapshot, Serializable, RepeatableReads, ReadCommitted];

/// Runs a function during whose first run somebody else does something, and says how often it ran.
fn runs_beside(
    db: &Db,
    isolation: Isolation,
    other: impl Fn() -> u64,
    function: impl Fn(&mut Stm<'_>) -> Result<()>,
) -> u32 {
    let runs = Cell::new(0);
    let ran = db.stm().isolation(isolation).run(|stm| {
        runs.set(runs.get() + 1);
        function(stm)?;
        if runs.get() == 1 {
            other();
        }
        Ok::<_, Error>(())
    });
    ran.unwrap();
    runs.get()
}

fn number(value: Option<bytes::Bytes>) -> u64 {
    value.map_or(0, |value| std::str::from_utf8(&value).unwrap().parse().unwrap())
}

#[test]
fn co_11_get_put_delete_revision() {
    everywhere(|store| {
        let mut put = store.put("a", "1");
        store.put("c", "3");
        for isolation in ALL {
            let before = store.db.revision();
            let done = store.db.stm().isolation(isolation).run(|stm| {
                assert_eq!((stm.get("a")?.unwrap(), stm.get("b")?), ("1".into(), None));
                assert_eq!((stm.revision("a")?.get(), stm.revision("b")?.get()), (put, 0));
                stm.put("b", "2");
                stm.put("b", "2b");
                stm.delete("a");
                assert_eq!((stm.get("a")?, stm.get("b")?.unwrap()), (None, "2b".into()));
                assert_eq!(stm.get_first(["a", "x", "c", "b"])?.unwrap(), "3");
                assert_eq!(stm.get_first(["a", "x"])?, None);
                assert_eq!(store.db.get("b")?, None, "nothing is written before the end");
                stm.put("a", "1");
                stm.delete("b");
                Ok::<_, Error>("value")
            });
            let done = done.unwrap();
            assert_eq!((done.value, done.revision), ("value", before + 1));
            assert_eq!(store.contents(), ["a=1", "c=3"]);
            put = done.revision.get();
        }
    });
}

#[test]
fn co_11_an_error_of_the_function_ends_it() {
    everywhere(|store| {
        #[derive(Debug)]
        enum Mine {
            Enough,
            Theirs(Error),
        }
        impl From<Error> for Mine {
            fn from(error: Error) -> Self {
                Mine::Theirs(error)
            }
        }
        let stopped = store.db.stm().run(|stm| {
            stm.put("a", "1");
            Err::<(), _>(Mine::Enough)
        });
        assert!(matches!(stopped, Err(Mine::Enough)));
        let refused = store.db.stm().run(|stm| stm.get("").map(drop).map_err(Mine::from));
        assert!(matches!(refused, Err(Mine::Theirs(Error::InvalidArgument(_)))));
        assert!(store.contents().is_empty());
    });
}

#[test]
fn co_11_a_change_of_what_was_read_runs_it_again() {
    everywhere(|store| {
        for (isolation, runs) in
            [(SerializableSnapshot, 2), (Serializable, 2), (RepeatableReads, 2), (ReadCommitted, 1)]
        {
            store.put("a", "1");
            let read = |stm: &mut Stm<'_>| {
                let seen = number(stm.get("a")?);
                stm.put("b", (seen + 1).to_string());
                Ok(())
            };
            assert_eq!(runs_beside(&store.db, isolation, || store.put("a", "5"), read), runs, "{isolation:?}");
            let written = number(store.db.get("b").unwrap().map(|kv| kv.value));
            assert_eq!(written, if runs == 2 { 6 } else { 2 });
        }
    });
}

/// B-034: a key that was deleted, or deleted and made again with the same value and version, is another one.
#[test]
fn co_11_a_key_that_was_made_again_is_another_one() {
    everywhere(|store| {
        for isolation in [SerializableSnapshot, Serializable, RepeatableReads] {
            let read = |stm: &mut Stm<'_>| {
                let seen = stm.get("a")?.is_some();
                stm.put("b", seen.to_string());
                Ok(())
            };
            store.delete("a");
            store.put("a", "1");
            let made_again = || {
                store.delete("a");
                store.put("a", "1")
            };
            assert_eq!(runs_beside(&store.db, isolation, made_again, read), 2);
            assert_eq!(runs_beside(&store.db, isolation, || store.delete("a"), read), 2);
            assert_eq!(store.db.get("b").unwrap().unwrap().value, "false");
            assert_eq!(runs_beside(&store.db, isolation, || store.put("a", "1"), read), 2);
        }
    });
}

#[test]
fn co_11_only_the_strongest_checks_what_is_written() {
    everywhere(|store| {
        for (isolation, runs) in
            [(SerializableSnapshot, 2), (Serializable, 1), (RepeatableReads, 1), (ReadCommitted, 1)]
        {
            let write = |stm: &mut Stm<'_>| {
                stm.get("unrelated")?;
                stm.put("a", "mine");
                Ok(())
            };
            assert_eq!(runs_beside(&store.db, isolation, || store.put("a", "theirs"), write), runs, "{isolation:?}");
            assert_eq!(store.db.get("a").unwrap().unwrap().value, "mine");
        }
    });
}

#[test]
fn co_11_reads_are_of_one_revision_where_that_is_promised() {
    everywhere(|store| {
        for (isolation, second) in
            [(SerializableSnapshot, 1), (Serializable, 1), (RepeatableReads, 2), (ReadCommitted, 2)]
        {
            store.put("a", "1");
            store.put("b", "1");
            let seen = Cell::new(0);
            store
                .db
                .stm()
                .isolation(isolation)
                .run(|stm| {
                    stm.get("a")?;
                    if seen.get() == 0 {
                        store.put("b", "2");
                        store.db.compact(store.db.revision())?;
                        store.settle();
                        seen.set(number(stm.get("b")?));
                    }
                    // Once read, it stays what it was.
                    store.put("other", "");
                    assert!(number(stm.get("b")?) > 0);
                    Ok::<_, Error>(())
                })
                .unwrap();
            assert_eq!(seen.get(), second, "{isolation:?}");
        }
    });
}

#[test]
fn co_11_prefetch_counts_as_read() {
    everywhere(|store| {
        store.put("a", "1");
        let runs = Cell::new(0);
        let ran = store.db.stm().prefetch(["a"]).run(|stm| {
            runs.set(runs.get() + 1);
            if runs.get() == 1 {
                store.put("a", "2");
            }
            stm.put("b", "");
            Ok::<_, Error>(())
        });
        ran.unwrap();
        assert_eq!(runs.get(), 2);
    });
}

#[test]
fn co_11_with_a_lease() {
    everywhere(|store| {
        store.db.grant_with_id(7, ms(60_000)).unwrap();
        let run = |lease: i64| {
            store.db.stm().run(|stm| {
                stm.put_with("a", "1", PutOptions::new().lease(lease));
                Ok::<_, Error>(())
            })
        };
        run(7).unwrap();
        assert!(matches!(run(8), Err(Error::LeaseNotFound)));
        assert_eq!(store.db.get("a").unwrap().unwrap().lease.get(), 7);
    });
}

#[test]
fn co_11_no_increment_is_lost() {
    for isolation in [SerializableSnapshot, Serializable, RepeatableReads] {
        let db = Db::in_memory().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let counted = db.stm().isolation(isolation).run(|stm| {
                            let next = number(stm.get("n")?) + 1;
                            stm.put("n", next.to_string());
                            Ok::<_, Error>(next)
                        });
                        counted.unwrap();
                    }
                });
            }
        });
        assert_eq!(db.get("n").unwrap().unwrap().value, "200");
    }
}
