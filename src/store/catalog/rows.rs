//! Rows as bytes. All of them are in one redb table, because every further table costs pages, hence time and room, in
//! each edit; a tag in front of the key says which table of the specification a row belongs to.
//!
//! | part | layout |
//! |---|---|
//! | key | tag u8, then for runs, segments and state files the id, for leases the id's bits: u64 big-endian; for cursors the name |
//! | value | crc u32 of key and rest, format u8, bincode of the row |
//!
//! One row more, the digest, has the number of the others and the sum of a 64-bit mix of each. A sum can be kept up
//! without reading the rest, and a row that is missing, doubled or of another time changes it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::FORMAT;
use super::contents::{Contents, Edit};
use crate::codec::{self, Reader};
use crate::error::{Error, Result};

/// Why rows cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Damaged(&'static str),
    TooNew(u32),
}

/// A row's key and its new value, or `None` to remove it.
pub(super) type Change = (Vec<u8>, Option<Vec<u8>>);

/// The number of rows and the sum of their mixes.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Digest {
    rows: u64,
    sum: u64,
}

impl Digest {
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(mix(key, value));
    }

    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(mix(key, value));
    }

    /// The digest as the row that stores it.
    pub(super) fn row(&self) -> (Vec<u8>, Vec<u8>) {
        let key = vec![DIGEST];
        let value = seal(&key, self);
        (key, value)
    }
}

/// The rows of an edit; `TooLarge` if one is beyond what could be read back.
pub(super) fn changes(edit: &Edit) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    if let Some(row) = &edit.meta {
        changes.push(change(vec![META], Some(row))?);
    }
    if let Some(row) = &edit.checkpoint {
        changes.push(change(vec![CHECKPOINT], Some(row))?);
    }
    for (id, row) in &edit.runs {
        changes.push(change(key(RUNS, *id), row.as_ref())?);
    }
    for (seq, row) in &edit.segments {
        changes.push(change(key(SEGMENTS, *seq), row.as_ref())?);
    }
    for (id, row) in &edit.leases {
        changes.push(change(key(LEASES, id.cast_unsigned()), row.as_ref())?);
    }
    for (id, row) in &edit.state_files {
        changes.push(change(key(STATE_FILES, *id), row.as_ref())?);
    }
    for (name, row) in &edit.cursors {
        changes.push(change([&[CURSORS], name.as_slice()].concat(), row.as_ref())?);
    }
    if let Some(row) = &edit.operations {
        changes.push(change(vec![OPERATIONS], Some(row))?);
    }
    Ok(changes)
}

/// Collects rows as they are read and checks them one by one, then as a whole.
#[derive(Default)]
pub(super) struct Collector {
    contents: Contents,
    computed: Digest,
    stored: Option<Digest>,
    meta: bool,
    checkpoint: bool,
    /// The format of a newer release, which may have rows that are not known here. It only counts once the digest
    /// vouches for all rows. The store's own row comes first, as tags are in the order of the keys.
    too_new: Option<u32>,
}

impl Collector {
    pub(super) fn row(&mut self, key: &[u8], value: &[u8]) -> Result<(), Unreadable> {
        let bytes = unseal(key, value).ok_or(Unreadable::Damaged("a row fails its checksum"))?;
        if bytes.first().is_some_and(|format| *format > ROW_FORMAT) {
            self.too_new = bytes.first().map(|format| u32::from(*format));
        }
        if key == [DIGEST] {
            self.stored = codec::decode_value(ROW_FORMAT, bytes);
            return Ok(());
        }
        self.computed.add(key, value);
        self.decode(key, bytes).or(self.too_new.map(|_| ())).ok_or(Unreadable::Damaged("a row cannot be decoded"))
    }

    pub(super) fn finish(self) -> Result<Contents, Unreadable> {
        if self.stored != Some(self.computed) {
            return Err(self.too_new.map_or(Unreadable::Damaged("rows are missing or stale"), Unreadable::TooNew));
        }
        if let Some(format) = self.too_new {
            return Err(Unreadable::TooNew(format));
        }
        if !self.meta || !self.checkpoint {
            return Err(Unreadable::Damaged("the row of the store or of its checkpoint is missing"));
        }
        Ok(self.contents)
    }

    fn decode(&mut self, key: &[u8], bytes: &[u8]) -> Option<()> {
        let mut reader = Reader::new(key);
        match reader.u8()? {
            META => {
                self.contents.meta = decode(bytes)?;
                self.meta = true;
                if self.contents.meta.format > FORMAT {
                    self.too_new = Some(self.contents.meta.format);
                }
            }
            CHECKPOINT => {
                self.contents.checkpoint = decode(bytes)?;
                self.checkpoint = true;
            }
            RUNS => drop(self.contents.runs.insert(id(&mut reader)?, decode(bytes)?)),
            SEGMENTS => drop(self.contents.segments.insert(id(&mut reader)?, decode(bytes)?)),
            LEASES => drop(self.contents.leases.insert(id(&mut reader)?.cast_signed(), decode(bytes)?)),
            STATE_FILES => drop(self.contents.state_files.insert(id(&mut reader)?, decode(bytes)?)),
            CURSORS => {
                let name = reader.take(reader.remaining())?.to_vec();
                self.contents.cursors.insert(name, decode(bytes)?);
            }
            OPERATIONS => self.contents.operations = decode(bytes)?,
            _ => return None,
        }
        reader.is_empty().then_some(())
    }
}

fn key(tag: u8, id: u64) -> Vec<u8> {
    let mut key = vec![tag];
    key.extend_from_slice(&id.to_be_bytes());
    key
}

fn id(reader: &mut Reader<'_>) -> Option<u64> {
    Some(u64::from_be_bytes(reader.take(8)?.try_into().ok()?))
}

/// A row is decoded before it is written: its size is bounded when it is read, and finding that out then is too late.
fn change<T: Serialize + DeserializeOwned>(key: Vec<u8>, row: Option<&T>) -> Result<Change> {
    let value = row.map(|row| seal(&key, row));
    if let Some(value) = &value
        && unseal(&key, value).and_then(decode::<T>).is_none()
    {
        return Err(Error::TooLarge { what: "catalog row", len: value.len() as u64, max: ROW_BYTES_MAX });
    }
    Ok((key, value))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    codec::decode_value(ROW_FORMAT, bytes)
}

fn seal<T: Serialize>(key: &[u8], row: &T) -> Vec<u8> {
    let bytes = codec::encode_value(ROW_FORMAT, row);
    let mut value = row_crc(key, &bytes).to_le_bytes().to_vec();
    value.extend_from_slice(&bytes);
    value
}

fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Option<&'a [u8]> {
    let mut reader = Reader::new(value);
    let crc = reader.u32()?;
    let bytes = reader.take(reader.remaining())?;
    (crc == row_crc(key, bytes)).then_some(bytes)
}

fn row_crc(key: &[u8], bytes: &[u8]) -> u32 {
    codec::crc32(codec::crc32(0, key), bytes)
}

/// The checksums of key and value, spread over 64 bits (the finalizer of splitmix64), so that sums do not cancel out.
fn mix(key: &[u8], value: &[u8]) -> u64 {
    let mut x = u64::from(codec::crc32(0, key)) << 32 | u64::from(codec::crc32(0, value));
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The format byte of every row that this release writes.
const ROW_FORMAT: u8 = 1;

/// The limit of `codec` on a row: of its bytes, or of the memory that its lists take, whichever is larger.
const ROW_BYTES_MAX: u64 = 1 << 20;

const DIGEST: u8 = 0;
const META: u8 = 1;
const CHECKPOINT: u8 = 2;
const RUNS: u8 = 3;
const SEGMENTS: u8 = 4;
const LEASES: u8 = 5;
const STATE_FILES: u8 = 33;
const OPERATIONS: u8 = 35;
const CURSORS: u8 = 37;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::contents::{LeaseRow, Meta};
    use super::*;

    type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

    fn example(lease_ttl_ms: u64, format: u32) -> (Contents, Rows) {
        let mut contents = Contents { meta: Meta { format, ..Meta::default() }, ..Contents::default() };
        for id in 1..4 {
            contents.leases.insert(id, LeaseRow { ttl_ms: lease_ttl_ms, ..LeaseRow::default() });
        }
        let changes = changes(&Edit::all_of(&contents)).unwrap();
        let rows = changes.into_iter().map(|(key, value)| (key, value.unwrap())).collect();
        (contents, digested(rows))
    }

    /// The rows with the digest that they should have.
    fn digested(mut rows: Rows) -> Rows {
        rows.remove(&[DIGEST][..]);
        let mut digest = Digest::default();
        rows.iter().for_each(|(key, value)| digest.add(key, value));
        rows.extend([digest.row()]);
        rows
    }

    fn collect(rows: &Rows) -> Result<Contents, Unreadable> {
        let mut collector = Collector::default();
        for (key, value) in rows {
            collector.row(key, value)?;
        }
        collector.finish()
    }

    #[test]
    fn rows_come_back() {
        let (contents, rows) = example(5, FORMAT);
        assert_eq!(collect(&rows), Ok(contents));
    }

    #[test]
    fn a_changed_row_fails_its_checksum() {
        let (_, rows) = example(5, FORMAT);
        for key in rows.keys() {
            for place in 0..rows[key].len() {
                let mut damaged = rows.clone();
                damaged.get_mut(key).unwrap()[place] ^= 0x10;
                assert_eq!(collect(&damaged), Err(Unreadable::Damaged("a row fails its checksum")));
            }
            let mut renamed = rows.clone();
            let value = renamed.remove(key).unwrap();
            renamed.insert([key.as_slice(), &[9]].concat(), value);
            assert_eq!(collect(&renamed), Err(Unreadable::Damaged("a row fails its checksum")));
        }
    }

    #[test]
    fn a_missing_stale_or_foreign_row_fails_the_digest() {
        let stale = Err(Unreadable::Damaged("rows are missing or stale"));
        let (_, rows) = example(5, FORMAT);
        let (_, others) = example(6, FORMAT);
        for key in rows.keys() {
            let mut missing = rows.clone();
            missing.remove(key);
            assert_eq!(collect(&missing), stale);
            let mut mixed = rows.clone();
            mixed.insert(key.clone(), others[key].clone());
            assert_eq!(collect(&mixed).is_err(), rows[key] != others[key]);
        }
        let mut more = rows.clone();
        more.extend([change(key(LEASES, 77), Some(&LeaseRow::default())).map(|(k, v)| (k, v.unwrap())).unwrap()]);
        assert_eq!(collect(&more), stale);
        assert_eq!(collect(&Rows::new()), stale);
        let empty = digested(Rows::new());
        assert!(matches!(collect(&empty), Err(Unreadable::Damaged(what)) if what.contains("missing")));
    }

    #[test]
    fn the_digest_can_be_kept_up() {
        let (_, rows) = example(5, FORMAT);
        let mut digest = Digest::default();
        digest.add(b"gone", b"soon");
        rows.iter().filter(|(key, _)| **key != [DIGEST]).for_each(|(key, value)| digest.add(key, value));
        digest.remove(b"gone", b"soon");
        assert_eq!(digest.row().1, rows[&[DIGEST][..]]);
    }

    #[test]
    fn a_newer_release_is_told_from_damage() {
        let (_, mut rows) = example(5, FORMAT + 4);
        let unknown = vec![200, 1];
        let value = seal(&unknown, &1u8);
        rows.insert(unknown, value);
        assert_eq!(collect(&digested(rows.clone())), Err(Unreadable::TooNew(FORMAT + 4)));
        rows.remove(&[META][..]);
        assert!(matches!(collect(&digested(rows)), Err(Unreadable::Damaged(_))));

        let (_, mut rows) = example(5, FORMAT);
        let key = vec![META];
        let bytes = [ROW_FORMAT + 1, 1, 2, 3];
        rows.insert(key.clone(), [&row_crc(&key, &bytes).to_le_bytes()[..], &bytes].concat());
        assert_eq!(collect(&digested(rows)), Err(Unreadable::TooNew(u32::from(ROW_FORMAT + 1))));
    }
}
