//! Names that nobody else has: unique ones and sequential ones, as etcd's recipes spell them.

use bytes::Bytes;

use crate::db::Db;
use crate::error::{Error, Invalid, Result};
use crate::kv::{KeyRange, Revision};
use crate::op::{Compare, Put, PutOptions, Range};

/// A key that was made under a new name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// The key.
    pub key: Bytes,
    /// The revision that created it.
    pub revision: Revision,
}

impl Db {
    /// Puts `value` at a new key: `prefix`, `/` and a decimal number that no key has. Order such keys by their create
    /// revision, as etcd's queue does.
    ///
    /// Differs from etcd: its recipes take the wall clock's nanoseconds for the number, which here is random, with as
    /// many digits.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// let made = db.put_unique("jobs", "first", etclite::PutOptions::new())?;
    /// assert!(made.key.starts_with(b"jobs/"));
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::put_with`]; [`Error::InvalidArgument`] for options that keep what a key has.
    pub fn put_unique(&self, prefix: impl AsRef<[u8]>, value: impl AsRef<[u8]>, options: PutOptions) -> Result<NewKey> {
        if options.ignore_value || options.ignore_lease {
            return Err(Error::InvalidArgument(Invalid::Argument("a new key has no value and no lease to keep")));
        }
        loop {
            let key = unique_name(self, prefix.as_ref());
            let absent = Compare::version(&key).eq(0);
            let put = Put::with(&key, value.as_ref(), options);
            let response = self.txn().when([absent]).then([put]).commit()?;
            if response.succeeded {
                return Ok(NewKey { key, revision: response.revision });
            }
        }
    }

    /// Puts `value` at the next key of a sequence: `prefix`, `/` and sixteen digits, one more than the last key that
    /// begins with `prefix` has. The key `__` + `prefix` is written as well: it keeps a number from being given twice.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// assert_eq!(db.put_sequential("log", "a")?.key, "log/0000000000000000");
    /// assert_eq!(db.put_sequential("log", "b")?.key, "log/0000000000000001");
    /// # Ok::<(), etclite::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Db::put`]; [`Error::InvalidArgument`] if the last key with that prefix does not end in a number.
    pub fn put_sequential(&self, prefix: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<NewKey> {
        let prefix = prefix.as_ref();
        let base = [b"__", prefix].concat();
        loop {
            let last = self.query(Range::new(KeyRange::prefix(prefix)).reverse().limit(1).keys_only())?;
            let number = last.kvs.first().map_or(Ok(0), |kv| next_number(&kv.key))?;
            let key = Bytes::from([prefix, format!("/{number:016}").as_bytes()].concat());
            // Nobody has made or removed one since it was read.
            let unmoved = Compare::mod_revision(&base[..]).lt(last.revision + 1);
            let puts = [Put::new(&base, ""), Put::new(&key, value.as_ref())];
            let response = self.txn().when([unmoved]).then(puts).commit()?;
            if response.succeeded {
                return Ok(NewKey { key, revision: response.revision });
            }
        }
    }
}

fn next_number(key: &[u8]) -> Result<u64> {
    let digits = key.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
    let next = number.and_then(|number| number.checked_add(1));
    next.ok_or(Error::InvalidArgument(Invalid::Argument("the last key of the sequence does not end in a number")))
}

/// A name under `prefix` that hardly anybody has: nineteen digits, as the nanoseconds of this century.
pub(super) fn unique_name(db: &Db, prefix: &[u8]) -> Bytes {
    let mut bytes = [0; 8];
    db.engine().clock.random(&mut bytes);
    let number = FIRST + u64::from_le_bytes(bytes) % (LAST - FIRST);
    [prefix, format!("/{number}").as_bytes()].concat().into()
}

const FIRST: u64 = 1_000_000_000_000_000_000;
/// Above it, what reads a name as a signed number would fail.
const LAST: u64 = i64::MAX.cast_unsigned();
