//! Values of a program's own types, under the feature `serde`: put, read, and compared and swapped as such.
//!
//! A key's bytes are whatever the [`Encoding`] makes of a value. [`Bincode`] is there; another one, of JSON say, is two
//! functions of the program's, so that this crate depends on none.

use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{decode_typed, encode_typed};
use crate::db::Db;
use crate::error::{Error, Invalid, Result};
use crate::kv::{KeyValue, LeaseId, Revision};
use crate::op::{PutOptions, Range};

/// How values become bytes.
///
/// ```
/// use etclite::{Encoding, Error, Invalid};
/// use serde::{Serialize, de::DeserializeOwned};
///
/// #[derive(Clone, Copy)]
/// struct Json;
///
/// impl Encoding for Json {
///     fn encode<T: Serialize>(&self, value: &T) -> etclite::Result<Vec<u8>> {
///         # fn to_vec<T: Serialize>(_: &T) -> Result<Vec<u8>, ()> { Err(()) }
///         to_vec(value).map_err(|_| Error::InvalidArgument(Invalid::Argument("the value cannot be JSON")))
///     }
///     fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> etclite::Result<T> {
///         # fn from_slice<T>(_: &[u8]) -> Result<T, ()> { Err(()) }
///         from_slice(bytes).map_err(|_| Error::InvalidArgument(Invalid::Argument("the value is not JSON of this type")))
///     }
/// }
/// ```
pub trait Encoding {
    /// The bytes of a value.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it has none.
    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>>;

    /// The value of bytes.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if they are no such value.
    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T>;
}

/// bincode 2 with its standard configuration: small, and the order and number of a type's fields are part of the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bincode;

impl Encoding for Bincode {
    fn encode<T: Serialize>(&self, value: &T) -> Result<Vec<u8>> {
        encode_typed(value).ok_or(Error::InvalidArgument(Invalid::Argument("the value cannot be encoded")))
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T> {
        decode_typed(bytes).ok_or(Error::InvalidArgument(Invalid::Argument("the value is not of this type")))
    }
}

/// A store whose values are of one type: see [`Db::typed`].
#[derive(Debug)]
pub struct Typed<T, E = Bincode> {
    db: Db,
    encoding: E,
    values: PhantomData<fn(T) -> T>,
}

impl<T, E: Clone> Clone for Typed<T, E> {
    fn clone(&self) -> Self {
        Typed { db: self.db.clone(), encoding: self.encoding.clone(), values: PhantomData }
    }
}

/// A value with the metadata of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedValue<T> {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: T,
    /// The revision of the key's creation.
    pub create_revision: Revision,
    /// The revision of its last change, for [`Typed::compare_and_swap`].
    pub mod_revision: Revision,
    /// Counts puts since creation.
    pub version: u64,
    /// The key's lease, or [`LeaseId::NONE`].
    pub lease: LeaseId,
}

impl Db {
    /// The store with values of type `T`, as [`Bincode`] encodes them. Needs the feature `serde`.
    ///
    /// ```
    /// # let db = etclite::Db::in_memory()?;
    /// #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    /// struct Job {
    ///     owner: String,
    ///     runs: u32,
    /// }
    /// let jobs = db.typed::<Job>();
    /// jobs.put("jobs/1", &Job { owner: "me".into(), runs: 0 })?;
    /// let job = jobs.get("jobs/1")?.expect("just put");
    /// let next = Job { runs: job.value.runs + 1, ..job.value };
    /// assert!(jobs.compare_and_swap("jobs/1", job.mod_revision, &next)?.is_some());
    /// assert!(jobs.compare_and_swap("jobs/1", job.mod_revision, &next)?.is_none());
    /// # Ok::<(), etclite::Error>(())
    /// ```
    pub fn typed<T>(&self) -> Typed<T> {
        self.typed_with(Bincode)
    }

    /// The store with values of type `T` in an encoding of the program's. Needs the feature `serde`.
    pub fn typed_with<T, E: Encoding>(&self, encoding: E) -> Typed<T, E> {
        Typed { db: self.clone(), encoding, values: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned, E: Encoding> Typed<T, E> {
    /// As [`Db::put`].
    ///
    /// # Errors
    /// As [`Db::put`]; those of the encoding.
    pub fn put(&self, key: impl AsRef<[u8]>, value: &T) -> Result<Revision> {
        Ok(self.db.put(key, self.encoding.encode(value)?)?.revision)
    }

    /// Puts with a lease.
    ///
    /// # Errors
    /// As [`Typed::put`]; [`Error::LeaseNotFound`].
    pub fn put_leased(&self, key: impl AsRef<[u8]>, value: &T, lease: impl Into<LeaseId>) -> Result<Revision> {
        let value = self.encoding.encode(value)?;
        Ok(self.db.put_with(key, value, PutOptions::new().lease(lease))?.revision)
    }

    /// As [`Db::get`].
    ///
    /// # Errors
    /// As [`Db::get`]; those of the encoding, if what is there is of another type.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<TypedValue<T>>> {
        self.db.get(key)?.map(|kv| self.typed(kv)).transpose()
    }

    /// As [`Db::range`]: each item is a value, or why there is none.
    ///
    /// # Errors
    /// As [`Db::range`].
    pub fn range(&self, range: impl Into<Range>) -> Result<impl Iterator<Item = Result<TypedValue<T>>>> {
        Ok(self.db.range(range)?.map(|kv| self.typed(kv?)))
    }

    /// As [`Db::put_if_absent`].
    ///
    /// # Errors
    /// As [`Typed::put`].
    pub fn put_if_absent(&self, key: impl AsRef<[u8]>, value: &T) -> Result<Option<Revision>> {
        self.db.put_if_absent(key, self.encoding.encode(value)?)
    }

    /// As [`Db::compare_and_swap`].
    ///
    /// # Errors
    /// As [`Typed::put`].
    pub fn compare_and_swap(
        &self,
        key: impl AsRef<[u8]>,
        mod_revision: impl Into<Revision>,
        value: &T,
    ) -> Result<Option<Revision>> {
        self.db.compare_and_swap(key, mod_revision, self.encoding.encode(value)?)
    }

    /// Makes a new value of the old one, `None` if there is none, and puts it; again if somebody else was faster. The
    /// key's lease is not kept.
    ///
    /// # Errors
    /// As [`Typed::get`] and [`Typed::put`].
    pub fn update(&self, key: impl AsRef<[u8]>, mut change: impl FnMut(Option<T>) -> T) -> Result<Revision> {
        loop {
            let (seen, old) = match self.get(key.as_ref())? {
                Some(found) => (found.mod_revision, Some(found.value)),
                None => (Revision::ZERO, None),
            };
            if let Some(revision) = self.compare_and_swap(key.as_ref(), seen, &change(old))? {
                return Ok(revision);
            }
        }
    }

    fn typed(&self, kv: KeyValue) -> Result<TypedValue<T>> {
        let KeyValue { key, value, create_revision, mod_revision, version, lease } = kv;
        let value = self.encoding.decode(&value)?;
        Ok(TypedValue { key, value, create_revision, mod_revision, version, lease })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::prefix;

    type Pair = (String, Vec<u32>);

    fn pair(text: &str, numbers: &[u32]) -> Pair {
        (text.to_owned(), numbers.to_vec())
    }

    #[test]
    fn values_come_back_with_their_metadata() {
        let db = Db::in_memory().expect("a store in memory opens");
        let pairs = db.typed::<Pair>();
        let first = pairs.put("p/a", &pair("a", &[1, 2])).expect("put");
        db.grant_with_id(7, std::time::Duration::from_secs(60)).expect("granted");
        pairs.put_leased("p/b", &pair("", &[]), 7).expect("put");
        let found = pairs.get("p/a").expect("read").expect("there");
        assert_eq!((found.value, found.mod_revision, found.version), (pair("a", &[1, 2]), first, 1));
        assert!(pairs.get("p/c").expect("read").is_none());
        let all: Vec<_> = pairs.range(prefix("p/")).expect("read").map(|value| value.expect("a pair")).collect();
        assert_eq!((all.len(), all[1].lease.get(), &all[1].key[..]), (2, 7, &b"p/b"[..]));
        assert!(pairs.put_if_absent("p/a", &pair("x", &[])).expect("read").is_none());
        assert!(pairs.compare_and_swap("p/a", first, &pair("y", &[])).expect("write").is_some());
        assert!(pairs.compare_and_swap("p/a", first, &pair("z", &[])).expect("write").is_none());
    }

    #[test]
    fn what_is_of_another_type_is_an_error_and_never_a_guess() {
        let db = Db::in_memory().expect("a store in memory opens");
        let pairs = db.typed::<Pair>();
        // A length that is claimed and not there, and bytes that are left over.
        for bytes in [&b"\xfd\xff\xff\xff\xff\xff\xff\xff\xff"[..], b"", b"\x01", b"\x01a\x00more"] {
            db.put("a", bytes).expect("put");
            assert!(matches!(pairs.get("a"), Err(Error::InvalidArgument(_))));
            assert!(matches!(pairs.update("a", |_| pair("", &[])), Err(Error::InvalidArgument(_))));
        }
        assert_eq!(db.revision(), 5);
    }

    #[test]
    fn no_update_is_lost() {
        let db = Db::in_memory().expect("a store in memory opens");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let counter = db.typed::<u64>();
                    for _ in 0..50 {
                        counter.update("n", |old| old.unwrap_or(0) + 1).expect("written");
                    }
                });
            }
        });
        assert_eq!(db.typed::<u64>().get("n").expect("read").expect("there").value, 200);
    }
}
