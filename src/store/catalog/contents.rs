//! The catalog's rows as plain values, all of them together, and a change to several of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What identifies the store, and the counters that name its files.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Meta {
    /// The format of the store as a whole; a release refuses one above its own.
    pub(crate) format: u32,
    /// Random, made with the store.
    pub(crate) store_id: u128,
    /// The cluster that the store belongs to.
    pub(crate) cluster_id: u64,
    /// The member that the store is.
    pub(crate) member_id: u64,
    /// One more with every writable open.
    pub(crate) epoch: u64,
    /// The id of the next run; ids are never reused.
    pub(crate) next_run: u64,
    /// The sequence number of the next log segment; never reused.
    pub(crate) next_segment: u64,
}

/// The place in the log up to which runs and catalog hold everything.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Checkpoint {
    /// The store's revision there.
    pub(crate) revision: u64,
    /// The term of the last entry that is held.
    pub(crate) term: u64,
    /// The index of the last entry that is held.
    pub(crate) index: u64,
    /// The oldest revision that can be read; `None` while nothing was compacted.
    pub(crate) compact_revision: Option<u64>,
    /// The highest revision that was ordered to be compacted, held back by cursors or not.
    pub(crate) compact_ordered: Option<u64>,
    /// The hash of the state, as a group's members compare it; 0 in a store that is alone.
    pub(crate) state_hash: u64,
    /// The index of the closing frame, or 0 if the store was not closed cleanly.
    pub(crate) closing_frame: u64,
}

/// A run: an immutable sorted file.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct RunRow {
    /// Its level; 0 holds what was flushed.
    pub(crate) level: u32,
    /// The first key that is to be read from it.
    pub(crate) first_key: Vec<u8>,
    /// The last key that is to be read from it, inclusive.
    pub(crate) last_key: Vec<u8>,
    /// The lowest revision in it.
    pub(crate) min_revision: u64,
    /// The highest revision in it.
    pub(crate) max_revision: u64,
    /// How many entries it has.
    pub(crate) entries: u64,
    /// How many of them are tombstones.
    pub(crate) tombstones: u64,
    /// Its length in bytes.
    pub(crate) len: u64,
    /// The checksum of its footer.
    pub(crate) footer_crc: u32,
    /// History below this revision was left out when it was written.
    pub(crate) compacted: u64,
    /// Sketch of its garbage: (revision, entries superseded at or below it); see `RunInfo`.
    pub(crate) garbage: Vec<(u64, u64)>,
}

/// What a log segment is for.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum SegmentState {
    /// Ready to be written next.
    #[default]
    Spare,
    /// Being appended to.
    Active,
    /// Complete.
    Sealed,
    /// Being filled by recovery; what it holds does not count yet.
    Incoming,
}

/// A log segment.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct SegmentRow {
    /// What it is for.
    pub(crate) state: SegmentState,
    /// The term of the entry before its first one.
    pub(crate) base_term: u64,
    /// The index of the entry before its first one.
    pub(crate) base_index: u64,
    /// Where its last frame ends, in bytes; 0 unless sealed.
    pub(crate) sealed_len: u64,
}

/// When something was noted, on the clocks that can be compared later.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Stamp {
    /// The boot of the host; 0 if it cannot be told.
    pub(crate) boot_id: u128,
    /// Time since that boot, suspend included.
    pub(crate) boot_ms: u64,
    /// Wall time since the Unix epoch.
    pub(crate) wall_ms: u64,
}

/// Where a lease is in its life.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum LeaseState {
    /// In use.
    #[default]
    Alive,
    /// Expired; its keys stay for its lock delay.
    Lapsed,
    /// Made for keys that were put for a time.
    Hidden,
}

/// A lease.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct LeaseRow {
    /// Its time to live.
    pub(crate) ttl_ms: u64,
    /// What was left of it at `stamp`; once it has lapsed, of its lock delay.
    pub(crate) remaining_ms: u64,
    /// When that was.
    pub(crate) stamp: Stamp,
    /// Whether it was kept alive since, so that only the full ttl is safe to assume.
    pub(crate) renewed: bool,
    /// The log index of the last command that changed it.
    pub(crate) renewal_epoch: u64,
    /// The store's revision when it was granted.
    pub(crate) grant_revision: u64,
    /// How long its keys stay after it expired.
    pub(crate) lock_delay_ms: u64,
    /// Where it is in its life.
    pub(crate) state: LeaseState,
}

/// A file of remembered operations; see `store/state_file.rs`.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct StateFileRow {
    /// The log index of its first record.
    pub(crate) first_index: u64,
    /// The log index of its last record.
    pub(crate) last_index: u64,
    /// Its length in bytes.
    pub(crate) len: u64,
    /// Its checksum.
    pub(crate) crc: u32,
}

/// What is known of remembered operations beside their records.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct OperationsRow {
    /// Records below this log index no longer count.
    pub(crate) first_index: u64,
    /// The highest revision of a record that was dropped; 0 if none was.
    pub(crate) dropped_revision: u64,
    /// The latest time that was seen in a command with an operation id, in milliseconds since the Unix epoch.
    pub(crate) time_ms: u64,
}

/// Where a cursor's range ends.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub(crate) enum RangeRow {
    /// The range is one key.
    #[default]
    Key,
    /// All keys below this one.
    Before(Vec<u8>),
    /// No end.
    Unbounded,
}

/// A durable watch cursor; its key is its name.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct CursorRow {
    /// The first key of its range.
    pub(crate) start: Vec<u8>,
    /// Where its range ends.
    pub(crate) end: RangeRow,
    /// It sees no puts.
    pub(crate) no_put: bool,
    /// It sees no deletes.
    pub(crate) no_delete: bool,
    /// How many revisions it may lag behind while it holds compaction; 0 is no bound.
    pub(crate) max_lag: u64,
    /// How long it may stand still while it holds compaction; 0 is no bound.
    pub(crate) max_age_ms: u64,
    /// Everything up to this revision is consumed.
    pub(crate) position: u64,
    /// It holds no compaction.
    pub(crate) lapsed: bool,
    /// When it last moved, by the orderer's clock.
    pub(crate) moved_ms: u64,
}

/// Everything in the catalog.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Contents {
    /// The one row about the store.
    pub(crate) meta: Meta,
    /// The one row about the log.
    pub(crate) checkpoint: Checkpoint,
    /// By run id.
    pub(crate) runs: BTreeMap<u64, RunRow>,
    /// By sequence number.
    pub(crate) segments: BTreeMap<u64, SegmentRow>,
    /// By lease id.
    pub(crate) leases: BTreeMap<i64, LeaseRow>,
    /// By file id.
    pub(crate) state_files: BTreeMap<u64, StateFileRow>,
    /// The one row about remembered operations.
    pub(crate) operations: OperationsRow,
    /// By name.
    pub(crate) cursors: BTreeMap<Vec<u8>, CursorRow>,
}

/// A change to the catalog, made as a whole. Of several changes to one row the last counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Edit {
    pub(super) meta: Option<Meta>,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) runs: BTreeMap<u64, Option<RunRow>>,
    pub(super) segments: BTreeMap<u64, Option<SegmentRow>>,
    pub(super) leases: BTreeMap<i64, Option<LeaseRow>>,
    pub(super) state_files: BTreeMap<u64, Option<StateFileRow>>,
    pub(super) operations: Option<OperationsRow>,
    pub(super) cursors: BTreeMap<Vec<u8>, Option<CursorRow>>,
}

impl Edit {
    /// Replaces the row about the store.
    pub(crate) fn meta(&mut self, row: Meta) {
        self.meta = Some(row);
    }

    /// Replaces the row about the log.
    pub(crate) fn checkpoint(&mut self, row: Checkpoint) {
        self.checkpoint = Some(row);
    }

    /// Adds or replaces a run.
    pub(crate) fn put_run(&mut self, id: u64, row: RunRow) {
        self.runs.insert(id, Some(row));
    }

    /// Removes a run; one that is not there is fine, here and below.
    pub(crate) fn remove_run(&mut self, id: u64) {
        self.runs.insert(id, None);
    }

    /// Adds or replaces a log segment.
    pub(crate) fn put_segment(&mut self, seq: u64, row: SegmentRow) {
        self.segments.insert(seq, Some(row));
    }

    /// Removes a log segment.
    pub(crate) fn remove_segment(&mut self, seq: u64) {
        self.segments.insert(seq, None);
    }

    /// Adds or replaces a lease.
    pub(crate) fn put_lease(&mut self, id: i64, row: LeaseRow) {
        self.leases.insert(id, Some(row));
    }

    /// Removes a lease.
    pub(crate) fn remove_lease(&mut self, id: i64) {
        self.leases.insert(id, None);
    }

    /// Adds or replaces a state file.
    pub(crate) fn put_state_file(&mut self, id: u64, row: StateFileRow) {
        self.state_files.insert(id, Some(row));
    }

    /// Removes a state file.
    pub(crate) fn remove_state_file(&mut self, id: u64) {
        self.state_files.insert(id, None);
    }

    /// Replaces the row about remembered operations.
    pub(crate) fn operations(&mut self, row: OperationsRow) {
        self.operations = Some(row);
    }

    /// Adds or replaces a cursor.
    pub(crate) fn put_cursor(&mut self, name: &[u8], row: CursorRow) {
        self.cursors.insert(name.to_vec(), Some(row));
    }

    /// Removes a cursor.
    pub(crate) fn remove_cursor(&mut self, name: &[u8]) {
        self.cursors.insert(name.to_vec(), None);
    }

    /// Whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Edit::default()
    }

    /// The edit that makes `contents` out of nothing.
    pub(super) fn all_of(contents: &Contents) -> Edit {
        fn put<K: Ord + Clone, V: Clone>(rows: &BTreeMap<K, V>) -> BTreeMap<K, Option<V>> {
            rows.iter().map(|(key, row)| (key.clone(), Some(row.clone()))).collect()
        }
        Edit {
            meta: Some(contents.meta.clone()),
            checkpoint: Some(contents.checkpoint.clone()),
            runs: put(&contents.runs),
            segments: put(&contents.segments),
            leases: put(&contents.leases),
            state_files: put(&contents.state_files),
            operations: Some(contents.operations),
            cursors: put(&contents.cursors),
        }
    }

    pub(super) fn apply_to(&self, contents: &mut Contents) {
        fn apply<K: Ord + Clone, V: Clone>(changes: &BTreeMap<K, Option<V>>, rows: &mut BTreeMap<K, V>) {
            for (key, change) in changes {
                match change {
                    Some(row) => drop(rows.insert(key.clone(), row.clone())),
                    None => drop(rows.remove(key)),
                }
            }
        }
        contents.meta = self.meta.clone().unwrap_or_else(|| std::mem::take(&mut contents.meta));
        contents.checkpoint = self.checkpoint.clone().unwrap_or_else(|| std::mem::take(&mut contents.checkpoint));
        apply(&self.runs, &mut contents.runs);
        apply(&self.segments, &mut contents.segments);
        apply(&self.leases, &mut contents.leases);
        apply(&self.state_files, &mut contents.state_files);
        apply(&self.cursors, &mut contents.cursors);
        contents.operations = self.operations.unwrap_or(contents.operations);
    }
}
