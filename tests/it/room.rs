//! CH-06, CP-01, CP-05: what compaction drops makes room, whatever was flushed or merged so far. And running out of
//! descriptors is like running out of room.

use etclite::io::IoSite;
use etclite::io::sim::{Fault, FaultKind, SimClock, SimDisk};
use etclite::testing::merge_all;
use etclite::{Error, Health, Options, prefix};

use super::rig::{ROOMY, contents, open_sim};
use super::support::{on_each_setup, on_each_setup_with};

const QUOTA: u64 = 64 << 10;

/// Compaction frees what it drops, whether or not space was reclaimed yet: nobody has to flush (CH-06, CP-05).
#[test]
fn ch_06_compaction_makes_room_at_once() {
    on_each_setup_with(Options::new().quota_bytes(QUOTA), |db| {
        for settled in [false, true] {
            let mut number = 0;
            while db.put(format!("k{number}"), vec![b'v'; 1000]).is_ok() {
                number += 1;
            }
            assert!(number > 4, "{number}");
            if settled {
                // What is deleted, and the deletes, are then in different runs.
                db.flush().unwrap();
            }
            db.delete(prefix("k")).unwrap();
            if settled {
                db.flush().unwrap();
            }
            assert!(matches!(db.put("k", vec![b'v'; 4000]), Err(Error::Full { .. })), "history counts");
            db.compact(db.revision()).unwrap();
            db.put("k", vec![b'v'; 4000]).unwrap();
        }
    });
}

/// The space of what was compacted comes back even if everything was in runs already: nothing but the compaction is new.
#[test]
fn cp_01_physical_compaction_of_a_flushed_store() {
    on_each_setup(|db| {
        for number in 0..50 {
            db.put(format!("k{number}"), vec![b'v'; 500]).unwrap();
        }
        db.flush().unwrap();
        db.delete(prefix("k")).unwrap();
        db.put("x", "").unwrap();
        db.flush().unwrap();
        assert!(db.stats().run_entries > 100);
        db.compact_physical(db.revision()).unwrap();
        assert_eq!(db.stats().run_entries, 1);
    });
}

/// Out of descriptors a flush can be tried again, as on a full disk: nothing but a new file was to be made. It poisoned
/// the store.
#[test]
fn a_flush_or_merge_without_a_descriptor_is_tried_again() {
    for site in [IoSite::RunCreate, IoSite::RunOpen] {
        let (disk, clock) = (SimDisk::new(), SimClock::new(1));
        let db = open_sim(&disk, &clock, ROOMY);
        let runs = || disk.image().files().filter(|(path, _)| path.starts_with("run/")).count();
        let deprive = || disk.fail(Fault { site: Some(site), nth: 1, kind: FaultKind::Emfile, forever: false });
        let is_told = |error: Error| matches!(error, Error::Full { what: "table of open files", .. });
        db.put("a", "1").unwrap();
        deprive();
        assert!(is_told(db.flush().unwrap_err()), "{site:?}");
        assert!(!matches!(db.health(), Health::Poisoned(_)) && runs() == 0, "{site:?}");
        db.put("b", "2").unwrap();
        db.flush().unwrap();
        db.put("c", "3").unwrap();
        db.flush().unwrap();
        let before = runs();
        deprive();
        assert!(is_told(merge_all(&db).unwrap_err()), "{site:?}");
        assert_eq!(runs(), before);
        assert!(merge_all(&db).unwrap() && runs() == 1);
        assert!(db.check().unwrap().is_clean());
        db.close().unwrap();
        let db = open_sim(&disk, &clock, ROOMY);
        assert_eq!(contents(&db), ["a=1", "b=2", "c=3"]);
    }
}
