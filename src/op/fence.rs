//! Fencing: the proof of a lock, checked in the engine by the very write that relies on it (X-01).
//!
//! A lock that is only a key cannot stop a holder that was paused past its lease: it wakes up, believes that it still
//! holds, and writes. A token names the key, the revision of its creation and its lease; a txn that is fenced with it
//! runs only if all three still stand, and that is decided in the order of all writes.

use std::fmt;

use bytes::Bytes;

use crate::kv::{KeyRange, KeyValue, LeaseId, Revision};
use crate::op::{Compare, CompareResult, CompareTarget, Txn, stage};

/// The proof of a lock: its key, the revision that created it, and its lease. Guards of locks and elections give one;
/// as plain data it can be stored, sent, and used by another process.
///
/// It *holds* while the key exists with that create revision and that lease, and the lease has neither ended nor passed
/// its deadline. Once it does not it never holds again, unless somebody gives the very key its very
/// lease back by a put. Of one lock the revisions of successive holders strictly rise: that number is what a system
/// outside the store compares. A token without a lease never holds.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// use etclite::{Put, PutOptions, Token};
/// let lease = db.grant(std::time::Duration::from_secs(10))?;
/// let revision = db.put_with("lock", "", PutOptions::new().lease(lease.id()))?.revision;
/// let token = Token::new("lock", revision, lease.id());
/// db.txn().fenced(&token).then([Put::new("counter", "1")]).commit()?;
/// lease.revoke()?;
/// let late = db.txn().fenced(&token).then([Put::new("counter", "2")]).commit();
/// assert!(matches!(late, Err(etclite::Error::SessionExpired)));
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Token {
    /// The key of the lock.
    pub key: Bytes,
    /// The key's create revision.
    pub revision: Revision,
    /// The key's lease.
    pub lease: LeaseId,
}

impl Token {
    /// A token of these parts: one that was stored or came from another process.
    pub fn new(key: impl AsRef<[u8]>, revision: impl Into<Revision>, lease: impl Into<LeaseId>) -> Self {
        Token { key: Bytes::copy_from_slice(key.as_ref()), revision: revision.into(), lease: lease.into() }
    }

    /// The token of whoever made this key as it is.
    pub fn of(kv: &KeyValue) -> Self {
        Token { key: kv.key.clone(), revision: kv.create_revision, lease: kv.lease }
    }
}

impl AsRef<Token> for Token {
    fn as_ref(&self) -> &Token {
        self
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(key_len {}, revision {}, lease {})", self.key.len(), self.revision, self.lease)
    }
}

impl Compare {
    /// Holds while the token does: as a fence, but its failure takes the else-branch.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{Compare, Put, Token};
    /// let held = Compare::held(Token::new("lock", 2, 7));
    /// assert!(!db.txn().when([held]).then([Put::new("a", "1")]).commit()?.succeeded);
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn held(token: impl AsRef<Token>) -> Compare {
        let Token { key, revision, lease } = token.as_ref().clone();
        let target = CompareTarget::Held { create_revision: revision.get(), lease };
        Compare { range: KeyRange::from(key), target, result: CompareResult::Equal }
    }

    /// Holds while a lease is there: granted, not ended, not lapsed, and not past its deadline. False for id 0.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::{Compare, Op};
    /// let ttl = std::time::Duration::from_secs(10);
    /// let txn = db.txn().when([Compare::lease_alive(7)]).then([Op::revoke(7)]).or_else([Op::grant(7, ttl)]);
    /// assert!(!txn.commit()?.succeeded);
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn lease_alive(id: impl Into<LeaseId>) -> Compare {
        let target = CompareTarget::LeaseAlive(id.into());
        Compare { range: KeyRange::key(""), target, result: CompareResult::Equal }
    }
}

impl Txn<stage::Start> {
    /// Runs the txn only if the token holds: otherwise neither branch runs and the answer is
    /// [`Error::SessionExpired`](crate::Error::SessionExpired). Checked before any compare; of several fences all must
    /// hold. The txn may delete the lock's key itself, which writes and releases in one revision. Only the outermost txn
    /// takes fences; a nested one that has any is refused.
    #[must_use]
    pub fn fenced(mut self, token: impl AsRef<Token>) -> Self {
        self.fences.push(token.as_ref().clone());
        self
    }
}
