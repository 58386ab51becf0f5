//! What requests name by a number: watches, sessions, locks, leaderships.
//!
//! Numbers are positive, valid for all clients and never given twice, whatever the kind. What has ended stays known, so
//! that it can say how it ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use super::answer::Problem;
use super::commands::session::Held;
use super::commands::watch::Watching;
use crate::coordination::{Leadership, LockGuard};

/// One of the things that requests name.
#[derive(Clone)]
enum Handle {
    Watch(Arc<Watching>),
    Session(Arc<Held>),
    Lock(Arc<LockGuard>),
    Election(Arc<Leadership>),
}

/// All of them.
#[derive(Default)]
pub(super) struct Handles {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    last: u64,
    handles: BTreeMap<u64, Handle>,
    /// The sessions of clients that locked without naming one. They have no number.
    of_clients: BTreeMap<u8, Arc<Held>>,
}

impl Handles {
    pub(super) fn new() -> Handles {
        Handles::default()
    }

    fn add(&self, handle: Handle) -> u64 {
        let mut table = self.table.lock();
        table.last += 1;
        let number = table.last;
        table.handles.insert(number, handle);
        number
    }

    fn find<T>(&self, number: u64, kind: &str, of_kind: impl FnOnce(Handle) -> Option<T>) -> Result<T, Problem> {
        let found = self.table.lock().handles.get(&number).cloned();
        found.and_then(of_kind).ok_or_else(|| Problem::Invalid(format!("{number} is no {kind}")))
    }

    pub(super) fn add_watch(&self, watch: Watching) -> u64 {
        self.add(Handle::Watch(Arc::new(watch)))
    }

    pub(super) fn watch(&self, number: u64) -> Result<Arc<Watching>, Problem> {
        self.find(number, "watch", |handle| if let Handle::Watch(watch) = handle { Some(watch) } else { None })
    }

    pub(super) fn add_session(&self, session: Held) -> u64 {
        self.add(Handle::Session(Arc::new(session)))
    }

    pub(super) fn session(&self, number: u64) -> Result<Arc<Held>, Problem> {
        self.find(number, "session", |handle| if let Handle::Session(session) = handle { Some(session) } else { None })
    }

    pub(super) fn session_of_client(&self, client: u8) -> Option<Arc<Held>> {
        self.table.lock().of_clients.get(&client).cloned()
    }

    pub(super) fn set_session_of_client(&self, client: u8, session: Arc<Held>) {
        let lost = self.table.lock().of_clients.insert(client, session);
        // Not under the lock: it may have to be closed.
        drop(lost);
    }

    pub(super) fn add_lock(&self, lock: LockGuard) -> u64 {
        self.add(Handle::Lock(Arc::new(lock)))
    }

    pub(super) fn lock(&self, number: u64) -> Result<Arc<LockGuard>, Problem> {
        self.find(number, "lock", |handle| if let Handle::Lock(lock) = handle { Some(lock) } else { None })
    }

    pub(super) fn add_election(&self, lead: Leadership) -> u64 {
        self.add(Handle::Election(Arc::new(lead)))
    }

    pub(super) fn election(&self, number: u64) -> Result<Arc<Leadership>, Problem> {
        self.find(number, "election", |handle| if let Handle::Election(lead) = handle { Some(lead) } else { None })
    }

    /// Lets go of everything, at the end of the driver: sessions are closed, and what they held goes with them.
    pub(super) fn close(&self) {
        let Table { handles, of_clients, .. } = std::mem::take(&mut *self.table.lock());
        let mut sessions: Vec<_> = of_clients.into_values().collect();
        for handle in handles.into_values() {
            match handle {
                Handle::Watch(_) => {}
                Handle::Session(session) => sessions.push(session),
                // A lock of a session that was left to itself stays; nobody else has the handle any more.
                Handle::Lock(lock) => _ = Arc::into_inner(lock).map(LockGuard::leave),
                Handle::Election(lead) => _ = Arc::into_inner(lead).map(Leadership::leave),
            }
        }
        // Each costs a write, which several at a time share.
        let share = sessions.len().div_ceil(CLOSERS).max(1);
        thread::scope(|scope| {
            for some in sessions.chunks(share) {
                scope.spawn(move || some.iter().for_each(|session| session.end()));
            }
        });
    }
}

/// How many sessions are closed at a time.
const CLOSERS: usize = 64;
