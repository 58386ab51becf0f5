//! CH-06, CP-01, CP-05: what compaction drops makes room, whatever was flushed or merged so far.

use etclite::{Error, Options, prefix};

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
