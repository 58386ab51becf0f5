//! The five requests that a Kubernetes API server makes of etcd, as etcd's package `client/v3/kubernetes` has them: each
//! is one read of one revision, or one txn.
//!
//! Every object of Kubernetes is one key, and its resource version is the key's mod revision. So whoever changes an
//! object says which revision it has seen, and is told what is there instead if that is not the newest any more: without a
//! second request, in between which it could change again.

use bytes::Bytes;

use crate::db::Db;
use crate::error::{Error, Invalid, Result};
use crate::kv::{KeyRange, KeyValue, LeaseId, Revision};
use crate::op::{Compare, Delete, Op, OpResponse, Put, Range};

/// A store as Kubernetes uses one; as etcd's `kubernetes.Client`. Cheap to clone; it keeps the store open.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// use etclite::coordination::kubernetes::WriteOptions;
/// let store = db.kubernetes();
/// let made = store.optimistic_put("/registry/pods/a", "1", 0, &WriteOptions::new())?;
/// assert!(made.succeeded);
/// // Somebody else has seen nothing of it, and is told what is there.
/// let late = store.optimistic_put("/registry/pods/a", "2", 0, &WriteOptions::new().get_on_failure())?;
/// assert!(!late.succeeded);
/// assert_eq!(late.kv.expect("it is there").mod_revision, made.revision);
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Kubernetes {
    db: Db,
}

/// The answer to [`Kubernetes::get`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GetResponse {
    /// The key, if it is there.
    pub kv: Option<KeyValue>,
    /// The store's revision when it was read, for a read of the past too: what a watch goes on from.
    pub revision: Revision,
}

/// Which part of a prefix [`Kubernetes::list`] reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListOptions {
    at: Revision,
    limit: u64,
    continue_from: Bytes,
}

impl ListOptions {
    /// All of it, as of now.
    pub fn new() -> Self {
        Self::default()
    }

    /// As of a revision; zero, the default, is the latest. Further pages are read as of the first one's.
    #[must_use]
    pub fn at(mut self, revision: impl Into<Revision>) -> Self {
        self.at = revision.into();
        self
    }

    /// At most so many keys; zero, the default, is no limit.
    #[must_use]
    pub fn limit(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// From this key on, which begins with the prefix: [`ListResponse::next`] of the page before. Empty, the default, is
    /// from the first key on.
    #[must_use]
    pub fn continue_from(mut self, key: impl AsRef<[u8]>) -> Self {
        self.continue_from = Bytes::copy_from_slice(key.as_ref());
        self
    }
}

/// The answer to [`Kubernetes::list`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListResponse {
    /// The keys, in order.
    pub kvs: Vec<KeyValue>,
    /// How many keys there are from the one on that it began with, whatever the limit.
    pub count: u64,
    /// The store's revision when it was read. What further pages are read at, unless a revision was asked for.
    pub revision: Revision,
    /// Where the next page begins, if the limit cut something off.
    pub next: Option<Bytes>,
}

/// How an optimistic write is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteOptions {
    lease: LeaseId,
    get_on_failure: bool,
}

impl WriteOptions {
    /// Without a lease, and without a look at what is there instead.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the key with this lease; of no account for a delete.
    #[must_use]
    pub fn lease(mut self, lease: impl Into<LeaseId>) -> Self {
        self.lease = lease.into();
        self
    }

    /// If the key is not as expected, tells what it is.
    #[must_use]
    pub fn get_on_failure(mut self) -> Self {
        self.get_on_failure = true;
        self
    }
}

/// The answer to an optimistic write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteResponse {
    /// Whether the key was as expected, and was written.
    pub succeeded: bool,
    /// The revision that the write made, or if nothing was written the store's.
    pub revision: Revision,
    /// The key that was found instead, if asked for and there is one.
    pub kv: Option<KeyValue>,
}

impl Db {
    /// This store as Kubernetes uses one.
    pub fn kubernetes(&self) -> Kubernetes {
        Kubernetes { db: self.clone() }
    }
}

impl Kubernetes {
    /// A key as of `revision`; zero is the latest.
    ///
    /// # Errors
    /// As [`Db::query`].
    pub fn get(&self, key: impl AsRef<[u8]>, revision: impl Into<Revision>) -> Result<GetResponse> {
        let found = self.db.query(Range::new(KeyRange::key(key.as_ref())).at(revision))?;
        Ok(GetResponse { kv: found.kvs.into_iter().next(), revision: found.revision })
    }

    /// The keys that begin with `prefix`, in pages of one revision.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// use etclite::coordination::kubernetes::ListOptions;
    /// for name in ["a", "b", "c"] {
    ///     db.put(format!("/registry/pods/{name}"), "")?;
    /// }
    /// let store = db.kubernetes();
    /// let first = store.list("/registry/pods/", &ListOptions::new().limit(2))?;
    /// assert_eq!((first.kvs.len(), first.count), (2, 3));
    /// let next = first.next.expect("there are more");
    /// let rest = ListOptions::new().limit(2).at(first.revision).continue_from(next);
    /// let rest = store.list("/registry/pods/", &rest)?;
    /// assert_eq!((rest.kvs.len(), rest.count, rest.next), (1, 1, None));
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::query`]; [`Error::InvalidArgument`] if the key to continue from does not begin with the prefix, where etcd
    /// lists what lies in between.
    pub fn list(&self, prefix: impl AsRef<[u8]>, options: &ListOptions) -> Result<ListResponse> {
        let prefix = prefix.as_ref();
        let mut range = KeyRange::prefix(prefix);
        if !options.continue_from.is_empty() {
            if !options.continue_from.starts_with(prefix) {
                return Err(Error::InvalidArgument(Invalid::Argument("a list goes on within its prefix")));
            }
            range.start = options.continue_from.clone();
        }
        let page = self.db.query(Range::new(range).at(options.at).limit(options.limit).with_count())?;
        let last = page.kvs.last().filter(|_| page.more);
        // The first key that can follow it.
        let next = last.map(|kv| Bytes::from([&kv.key[..], b"\0"].concat()));
        let count = page.count.unwrap_or(page.kvs.len() as u64);
        Ok(ListResponse { count, revision: page.revision, next, kvs: page.kvs })
    }

    /// How many keys begin with `prefix`.
    ///
    /// # Errors
    /// As [`Db::count`].
    pub fn count(&self, prefix: impl AsRef<[u8]>) -> Result<u64> {
        self.db.count(KeyRange::prefix(prefix.as_ref()))
    }

    /// Puts `value` at `key` if its mod revision is `expected`; zero means that it must not exist. One txn, durable on
    /// return.
    ///
    /// # Errors
    /// As [`Db::put_with`].
    pub fn optimistic_put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expected: impl Into<Revision>,
        options: &WriteOptions,
    ) -> Result<WriteResponse> {
        let key = key.as_ref();
        self.write(key, expected.into(), options, Put::new(key, value).lease(options.lease).into())
    }

    /// Deletes `key` if its mod revision is `expected`; with zero it only finds out whether the key exists. One txn,
    /// durable on return.
    ///
    /// # Errors
    /// As [`Db::delete`].
    pub fn optimistic_delete(
        &self,
        key: impl AsRef<[u8]>,
        expected: impl Into<Revision>,
        options: &WriteOptions,
    ) -> Result<WriteResponse> {
        let key = key.as_ref();
        self.write(key, expected.into(), options, Delete::new(KeyRange::key(key)).into())
    }

    fn write(&self, key: &[u8], expected: Revision, options: &WriteOptions, write: Op) -> Result<WriteResponse> {
        let unchanged = Compare::mod_revision(KeyRange::key(key)).eq(expected);
        let look = options.get_on_failure.then(|| Range::new(KeyRange::key(key)));
        let response = self.db.txn().when([unchanged]).then([write]).or_else(look).commit()?;
        let kv = match response.responses.into_iter().next() {
            Some(OpResponse::Range(range)) => range.kvs.into_iter().next(),
            _ => None,
        };
        Ok(WriteResponse { succeeded: response.succeeded, revision: response.revision, kv })
    }
}
