//! KV-12, KV-13: the range iterator over a pinned view, in constant memory.

use etclite::{Db, KeyRange, Op, Options, Put, Range, SortOrder, SortTarget, prefix};

use super::support::{on_each_setup, put_all, text};

const KEYS: usize = 100_000;

fn key(number: usize) -> String {
    format!("k{number:06}")
}

/// A hundred thousand keys, a thousand a txn.
fn large_store(db: &Db) {
    for first in (0..KEYS).step_by(1000) {
        db.txn().then((first..first + 1000).map(|n| Op::from(Put::new(key(n), "v")))).commit().unwrap();
    }
}

/// As an etcd user reads a large range: page by page at one revision, from the successor of the last key.
#[test]
fn kv_12_paging_equals_the_unary_answer() {
    on_each_setup(|db| {
        let names: Vec<_> = (0..25).map(|n| format!("k{n:02}")).collect();
        for name in &names {
            db.put(name, name).unwrap();
        }
        db.settle();
        let revision = db.revision();
        let (mut pages, mut start) = (Vec::new(), b"k".to_vec());
        loop {
            let page = db.query(Range::new(KeyRange::between(&start, "l")).at(revision).limit(10)).unwrap();
            db.put(format!("k{:02}x", pages.len()), "written between pages").unwrap();
            pages.extend(page.kvs.iter().map(|kv| text(&kv.key)));
            let Some(last) = page.kvs.last().filter(|_| page.more) else { break };
            start = [&last.key[..], b"\0"].concat();
        }
        assert_eq!(pages, names);
    });
}

#[test]
fn kv_12_the_iterator_reads_one_revision_while_others_write() {
    on_each_setup(|db| {
        put_all(db, &[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")]);
        let mut forward = db.range(KeyRange::all()).unwrap();
        let mut backward = db.range(Range::new(KeyRange::all()).reverse()).unwrap();
        assert_eq!(forward.next().unwrap().unwrap().key, "a");
        assert_eq!(backward.next().unwrap().unwrap().key, "d");
        db.delete("b").unwrap();
        put_all(db, &[("bb", "new"), ("c", "2"), ("e", "new")]);
        db.compact(db.revision()).unwrap();
        db.settle_open();
        let rest = |iter: &mut etclite::RangeIter| -> Vec<String> {
            iter.map(|kv| kv.map(|kv| format!("{}={}", text(&kv.key), text(&kv.value))).unwrap()).collect()
        };
        assert_eq!(rest(&mut forward), ["b=1", "c=1", "d=1"]);
        assert_eq!(rest(&mut backward), ["c=1", "b=1", "a=1"]);
        assert!(forward.next().is_none() && backward.next().is_none(), "fused");
        assert_eq!((forward.revision().get(), forward.total().unwrap()), (5, 4));
    });
}

#[test]
fn kv_12_a_hundred_thousand_keys() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [Db::in_memory().unwrap(), Options::new().open(dir.path().join("store")).unwrap()];
    for (db, flush) in stores.iter().zip([false, true]) {
        large_store(db);
        if flush {
            db.flush().unwrap();
        }
        let mut expected = 0;
        for kv in db.range(prefix("k")).unwrap() {
            assert_eq!(kv.unwrap().key, key(expected));
            expected += 1;
        }
        assert_eq!(expected, KEYS);
        for kv in db.range(Range::new(prefix("k")).reverse()).unwrap() {
            expected -= 1;
            assert_eq!(kv.unwrap().key, key(expected));
        }
        assert_eq!(expected, 0);
        let mut limited = db.range(Range::new(prefix("k")).reverse().limit(10)).unwrap();
        assert_eq!(limited.by_ref().count(), 10);
        assert_eq!((limited.more(), limited.total().unwrap()), (true, KEYS as u64));
        let mut whole = db.range(Range::new(prefix("k")).limit(KEYS as u64).keys_only()).unwrap();
        assert_eq!(whole.by_ref().count(), KEYS);
        assert!(!whole.more());
        let by_mod = Range::new(prefix("k")).sort(SortTarget::ModRevision, SortOrder::Descend).limit(3);
        let newest: Vec<_> = db.range(by_mod).unwrap().map(|kv| text(&kv.unwrap().key)).collect();
        assert_eq!(newest, [key(99_000), key(99_001), key(99_002)]);
    }
}

/// An iterator that is dropped early ends its read; the next ones, and the writers, do not notice.
#[test]
fn kv_13_dropping_early() {
    let db = Db::in_memory().unwrap();
    large_store(&db);
    let mut open: Vec<_> = (0..50).map(|_| db.range(prefix("k")).unwrap()).collect();
    for (at, iter) in open.iter_mut().enumerate() {
        assert_eq!(iter.by_ref().take(at).count(), at);
    }
    open.truncate(1);
    db.delete(prefix("k")).unwrap();
    drop(open);
    let mut after = db.range(prefix("k")).unwrap();
    assert!(after.next().is_none());
    assert_eq!(db.count(..).unwrap(), 0);
}
