//! The part of the state that has no versions: the head's revision and log position, the compact revision, the leases,
//! the operations that are remembered, the cursors.
//!
//! It belongs to the head, commands not yet synced included, and is guarded by the commit mutex. What readers may see
//! of it moves at publication.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::engine::command::Stamp;
use crate::engine::cursors::{Cursor, Cursors};
use crate::engine::operations::{Remember, Window};
use crate::kv::LeaseId;
use crate::store::entry::Entry;

/// Everything that `apply` reads and changes beside the versions of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// The head's revision: 1 in a new store.
    pub(crate) revision: u64,
    /// The term that local commands are logged under: 0, unless the store once was in a group.
    pub(crate) term: u64,
    /// The log index of the last command applied.
    pub(crate) index: u64,
    /// Below it no read is answered; `None` while nothing was compacted.
    pub(crate) compact_revision: Option<u64>,
    /// The highest revision that was ordered to be compacted; cursors hold it back.
    pub(crate) compact_ordered: Option<u64>,
    pub(crate) cursors: Cursors,
    pub(crate) leases: BTreeMap<LeaseId, Lease>,
    /// The operations with an id that are remembered.
    pub(crate) operations: Window,
    /// The hidden ones among them, by when they end: boot, its clock in ms, id.
    pub(crate) shared: BTreeSet<(u128, u64, LeaseId)>,
    /// How many keys a command may change when it is ordered. Replay lifts it: what was logged had been let through.
    pub(crate) command_changes_max: usize,
}

/// Where a lease is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Keys can be put with it.
    #[default]
    Alive,
    /// Its time is over and its lock delay is not: nothing but its keys is left of it.
    Lapsed,
    /// It was made for keys that were put for a time; nobody knows of it.
    Hidden,
}

/// A lease as commands see it. Its deadline is the orderer's business and not part of the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The time to live that was granted.
    pub(crate) ttl_ms: u64,
    /// What was left of it at `stamp`; once it has lapsed, of its lock delay.
    pub(crate) remaining_ms: u64,
    pub(crate) stamp: Stamp,
    /// Whether it was kept alive since `stamp`, so that `remaining_ms` no longer tells anything.
    pub(crate) renewed: bool,
    /// The log index of the last command that changed it: granted it, stored what is left of it, had it lapse. An expiry
    /// names the one it saw, so no index is seen twice, though an id may be.
    pub(crate) renewal_epoch: u64,
    /// The store's revision at the grant.
    pub(crate) grant_revision: u64,
    /// How long its keys stay once it has expired.
    pub(crate) lock_delay_ms: u64,
    pub(crate) standing: Standing,
}

impl Lease {
    /// When it ends, as far as is stored: the time of its stamp's boot.
    pub(crate) fn until(&self) -> Stamp {
        Stamp { boot_ms: self.stamp.boot_ms.saturating_add(self.remaining_ms), ..self.stamp }
    }

    /// Whether it lapses before it ends.
    pub(crate) fn lapses(&self) -> bool {
        self.lock_delay_ms != 0 && self.standing != Standing::Lapsed
    }
}

/// What a command does to a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeaseChange {
    Granted(Lease),
    /// What is left of its time was written down.
    Stored(Lease),
    Lapsed(Lease),
    /// A key was put with this hidden lease, for so long; the lease may be new.
    Shared {
        lease: Lease,
        ttl_ms: u64,
    },
    Ended,
}

impl LeaseChange {
    /// The lease afterwards, if there is one.
    pub(crate) fn lease(&self) -> Option<&Lease> {
        match self {
            LeaseChange::Granted(lease) | LeaseChange::Stored(lease) | LeaseChange::Lapsed(lease) => Some(lease),
            LeaseChange::Shared { lease, .. } => Some(lease),
            LeaseChange::Ended => None,
        }
    }
}

impl State {
    pub(crate) fn new(command_changes_max: usize) -> Self {
        State {
            revision: 1,
            term: 0,
            index: 0,
            compact_revision: None,
            compact_ordered: None,
            cursors: Cursors::new(),
            leases: BTreeMap::new(),
            operations: Window::default(),
            shared: BTreeSet::new(),
            command_changes_max,
        }
    }

    /// The compact revision as callers see it: 0 while nothing was compacted.
    pub(crate) fn compacted(&self) -> u64 {
        self.compact_revision.unwrap_or(0)
    }

    /// How many leases somebody may use.
    pub(crate) fn leases_usable(&self) -> u64 {
        self.leases.values().filter(|lease| lease.standing == Standing::Alive).count() as u64
    }

    /// Takes over what a command changes; its entries go into the memtable.
    pub(crate) fn install(&mut self, changes: &Changes) {
        debug_assert!(changes.revision == self.revision || changes.revision == self.revision + 1);
        self.index += 1;
        self.revision = changes.revision;
        if let Some(compact_revision) = changes.compact_revision {
            debug_assert!(self.compact_revision < Some(compact_revision) && compact_revision <= self.revision);
            self.compact_revision = Some(compact_revision);
        }
        for (id, change) in &changes.leases {
            self.set_lease(*id, change.lease().cloned());
        }
        self.compact_ordered = changes.compact_ordered.max(self.compact_ordered);
        for (name, cursor) in &changes.cursors {
            match cursor {
                Some(cursor) => self.cursors.insert(name.clone(), cursor.clone()),
                None => self.cursors.remove(name),
            };
        }
        if let Some(remember) = &changes.operation {
            self.operations.install(remember);
        }
    }

    /// Adds, replaces or removes a lease.
    pub(crate) fn set_lease(&mut self, id: LeaseId, lease: Option<Lease>) {
        let place = |lease: &Lease| {
            let Stamp { boot_id, boot_ms, .. } = lease.until();
            (lease.standing == Standing::Hidden).then_some((boot_id, boot_ms, id))
        };
        if let Some(old) = self.leases.get(&id).and_then(place) {
            self.shared.remove(&old);
        }
        self.shared.extend(lease.as_ref().and_then(place));
        match lease {
            Some(lease) => self.leases.insert(id, lease),
            None => self.leases.remove(&id),
        };
    }
}

/// Everything that a command changes, computed before any of it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The head's revision after the command: one more than before if a key changes, else the same.
    pub(crate) revision: u64,
    /// New versions in order of sub-revision, attachments of leases included.
    pub(crate) entries: Vec<Entry>,
    /// What happens to leases, in order: in one txn an id may end and be granted again.
    pub(crate) leases: Vec<(LeaseId, LeaseChange)>,
    pub(crate) compact_revision: Option<u64>,
    pub(crate) compact_ordered: Option<u64>,
    /// New or changed cursors by name; `None` for one that is dropped.
    pub(crate) cursors: Vec<(Bytes, Option<Cursor>)>,
    /// What is remembered of the command.
    pub(crate) operation: Option<Remember>,
}

impl Changes {
    /// Whether the command changes nothing, so that it is neither numbered nor logged (CH-09).
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
            && self.leases.is_empty()
            && self.compact_revision.is_none()
            && self.operation.is_none()
            && self.compact_ordered.is_none()
            && self.cursors.is_empty()
    }
}
