//! A configuration that is loaded and then followed, as a value of the program's own type.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::coordination::follow::{Change, FollowCanceller, Follower};
use crate::db::Db;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::kv::{KeyValue, Revision};
use crate::watch::Watch;

/// A configuration: all keys under a prefix, made into a `T`, and made anew whenever one of them changes.
///
/// Loading and following leave no gap: what changes in between is seen, deletions too. One that is slow, or that a
/// compaction passes, skips states in between and goes on with the latest. Changes of one revision come together.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// db.put("config/port", "8080")?;
/// let mut port = db.follow_config("config/", |config| config.parse::<u16>("port").unwrap_or(80))?;
/// assert_eq!(*port.current(), 8080);
/// db.put("config/port", "9090")?;
/// assert!(port.changed()?);
/// assert_eq!(*port.current(), 9090);
/// # Ok::<(), etclite::Error>(())
/// ```
pub struct ConfigWatch<T> {
    follower: Follower,
    read: Box<dyn Fn(&ConfigEntries<'_>) -> T + Send>,
    prefix: Bytes,
    current: T,
}

/// The keys of a configuration by name: without the prefix.
#[derive(Clone, Copy)]
pub struct ConfigEntries<'a> {
    entries: &'a BTreeMap<Bytes, KeyValue>,
    prefix: &'a [u8],
}

impl Db {
    /// Loads a configuration and follows it. `read` makes a `T` of its keys; if that can fail, let `T` be a `Result`.
    ///
    /// # Errors
    /// As [`Db::load_and_watch`].
    pub fn follow_config<T>(
        &self,
        prefix: impl AsRef<[u8]>,
        read: impl Fn(&ConfigEntries<'_>) -> T + Send + 'static,
    ) -> Result<ConfigWatch<T>> {
        let prefix = prefix.as_ref();
        let follower = Follower::new(self, prefix)?;
        let current = read(&ConfigEntries { entries: follower.entries(), prefix });
        Ok(ConfigWatch { follower, read: Box::new(read), prefix: Bytes::copy_from_slice(prefix), current })
    }
}

impl<T> ConfigWatch<T> {
    /// The configuration as of the last change that was waited for.
    pub fn current(&self) -> &T {
        &self.current
    }

    /// As of which revision that is.
    pub fn revision(&self) -> Revision {
        self.follower.revision()
    }

    /// Waits for a change. False at the end, which a store that is open for writing does not have.
    ///
    /// # Errors
    /// Those that end a [`Watch`], but for [`Error::Compacted`]; after one of them nothing changes any more.
    pub fn changed(&mut self) -> Result<bool> {
        self.advance(|watch| watch.next().transpose())
    }

    /// Waits for a change for at most `timeout`; whether there was one.
    ///
    /// # Errors
    /// As [`ConfigWatch::changed`].
    pub fn changed_timeout(&mut self, timeout: Duration) -> Result<bool> {
        self.advance(|watch| watch.next_timeout(timeout))
    }

    /// Whether there is a change now.
    ///
    /// # Errors
    /// As [`ConfigWatch::changed`].
    pub fn try_changed(&mut self) -> Result<bool> {
        self.advance(Watch::try_next)
    }

    /// As [`ConfigWatch::changed`], for who waits for several things: see [`Watch::poll`].
    pub fn poll_changed(&mut self, context: &mut Context<'_>) -> Poll<Result<bool>> {
        self.follower.poll(context).map(|changes| self.note(changes.transpose()))
    }

    /// What cancels this from another thread.
    pub fn canceller(&self) -> FollowCanceller {
        self.follower.canceller()
    }

    fn advance(&mut self, next: impl Fn(&mut Watch) -> Result<Option<crate::watch::WatchBatch>>) -> Result<bool> {
        let changes = self.follower.step(next);
        self.note(changes)
    }

    fn note(&mut self, changes: Result<Option<Vec<Change>>>) -> Result<bool> {
        let Some(_) = changes? else { return Ok(false) };
        let entries = ConfigEntries { entries: self.follower.entries(), prefix: &self.prefix };
        self.current = (self.read)(&entries);
        Ok(true)
    }
}

impl<T: fmt::Debug> fmt::Debug for ConfigWatch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigWatch")
            .field("current", &self.current)
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}

impl<'a> ConfigEntries<'a> {
    /// The value of a name.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&'a Bytes> {
        self.kv(name).map(|kv| &kv.value)
    }

    /// The value of a name, if there is one that is text.
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<&'a str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// The value of a name, if there is one that can be read as a `V`.
    pub fn parse<V: FromStr>(&self, name: impl AsRef<[u8]>) -> Option<V> {
        self.text(name)?.parse().ok()
    }

    /// The key of a name with its metadata.
    pub fn kv(&self, name: impl AsRef<[u8]>) -> Option<&'a KeyValue> {
        self.entries.get(&[self.prefix, name.as_ref()].concat()[..])
    }

    /// All names with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a Bytes)> + use<'a> {
        let prefix_len = self.prefix.len();
        self.entries.iter().map(move |(key, kv)| (&key[prefix_len..], &kv.value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for ConfigEntries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigEntries").field("count", &self.len()).finish()
    }
}
