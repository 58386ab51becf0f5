//! Who stands in line with a session's key.
//!
//! A session has one key in a line, and threads that share the session share the key (CO-05): the first of them puts it,
//! the others find it. A thread that gives up must not take the key from under the others, and the last one must not
//! leave it behind. So each call says that it is there before it looks at the line, and goes on being there as the guard
//! that it becomes; the key goes with the last that gives up.
//!
//! Whether it is the last is decided, and the key removed, under the lock of that key; and so is a lock released. Who
//! comes in the meantime waits, and puts the key anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::coordination::session::Session;
use crate::coordination::wait::{leave, release};
use crate::error::{Error, Result};
use crate::kv::Revision;
use crate::op::Token;

/// The keys of all lines that somebody stands with.
#[derive(Debug, Default)]
pub(super) struct Stands {
    /// Taken alone, for a moment.
    by_key: Mutex<BTreeMap<Bytes, Arc<Mutex<Stand>>>>,
}

#[derive(Debug, Default)]
struct Stand {
    /// Calls that wait, and guards.
    count: usize,
    /// When it was created, if one of them has put it and nobody has said that it is to stay.
    put: Option<Revision>,
}

/// That somebody stands with a key.
#[derive(Debug)]
pub(super) struct Standing {
    session: Session,
    key: Bytes,
    /// Held while the last one removes the key.
    stand: Arc<Mutex<Stand>>,
    /// Changed under that lock.
    counted: AtomicBool,
}

impl Standing {
    /// From now on somebody does. Waits while the last one before removes the key.
    pub(super) fn new(session: &Session, key: &Bytes) -> Self {
        let mut by_key = session.db().lines().stands.by_key.lock();
        let stand = by_key.entry(key.clone()).or_default().clone();
        drop(by_key);
        stand.lock().count += 1;
        Standing { session: session.clone(), key: key.clone(), stand, counted: AtomicBool::new(true) }
    }

    /// It was put at this revision, by one of those who stand with it.
    pub(super) fn note_put(&self, revision: Revision) {
        self.stand.lock().put = Some(revision);
    }

    /// It is not removed by whoever gives up: it goes with its lease.
    pub(super) fn keep_key(&self) {
        self.stand.lock().put = None;
    }

    /// Stands with it no more. The last one removes the key, if one of them has put it.
    pub(super) fn give_up(self) -> Result<()> {
        let mut stand = self.stand.lock();
        self.step_away(&mut stand);
        let put = if stand.count == 0 { stand.put.take() } else { None };
        match put {
            Some(revision) => {
                let own = Token { key: self.key.clone(), revision, lease: self.session.lease() };
                leave(self.session.db(), &own).map(drop)
            }
            None => Ok(()),
        }
    }

    /// Removes the key with what it stands for, whoever else stands with it. If it was there no more, nor does anybody.
    pub(super) fn release(&self, own: &Token) -> Result<Revision> {
        let mut stand = self.stand.lock();
        let released = release(self.session.db(), own);
        if matches!(released, Ok(_) | Err(Error::SessionExpired)) {
            self.step_away(&mut stand);
        }
        released
    }

    fn step_away(&self, stand: &mut Stand) {
        if self.counted.swap(false, Ordering::Relaxed) {
            stand.count -= 1;
        }
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.step_away(&mut self.stand.lock());
        let mut by_key = self.session.db().lines().stands.by_key.lock();
        // The map's and this one: nobody else can come by another while the map is locked.
        if Arc::strong_count(&self.stand) == 2 {
            by_key.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::db::Db;
    use crate::kv::LeaseId;

    /// A session, and a key that it has put.
    fn key() -> (Db, Session, Bytes, Revision) {
        let db = Db::in_memory().expect("a store in memory opens");
        let session = db.session(Duration::from_secs(60)).expect("opens");
        let revision = db.put("n/1", "").expect("puts").revision;
        (db, session, "n/1".into(), revision)
    }

    fn is_there(db: &Db) -> bool {
        db.get("n/1").expect("reads").is_some()
    }

    /// The turn of two threads came in the moment in which the time of one was up: it took what the other held.
    #[test]
    fn co_05_who_gives_up_takes_nothing_that_is_held() {
        let (db, session, key, revision) = key();
        let (late, held) = (Standing::new(&session, &key), Standing::new(&session, &key));
        late.note_put(revision);
        late.give_up().expect("gives up");
        assert!(is_there(&db));
        held.release(&Token { key, revision, lease: LeaseId::NONE }).expect_err("its lease is another");
        let next = Standing::new(&session, &"n/1".into());
        drop(held);
        next.give_up().expect("gives up");
        assert!(!is_there(&db), "who released it stands there no more");
        assert!(db.lines().stands.by_key.lock().is_empty());
    }

    #[test]
    fn a_key_that_is_left_stays() {
        let (db, session, key, revision) = key();
        let (late, left) = (Standing::new(&session, &key), Standing::new(&session, &key));
        late.note_put(revision);
        left.keep_key();
        drop(left);
        late.give_up().expect("gives up");
        assert!(is_there(&db));
        assert!(db.lines().stands.by_key.lock().is_empty());
    }
}
