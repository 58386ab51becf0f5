//! What an etcd snapshot says: changes of keys in revision order, the compact revision, the leases.
//!
//! | bucket  | key                                                            | value                       |
//! |---------|----------------------------------------------------------------|-----------------------------|
//! | `key`   | main revision u64 BE, `_`, sub revision u64 BE, `t` if deleted | `mvccpb.KeyValue`           |
//! | `lease` | id u64 BE                                                      | `leasepb.Lease`             |
//! | `meta`  | `scheduledCompactRev`, `finishedCompactRev`                    | a revision as in `key`      |
//!
//! `etcdctl snapshot save` appends the SHA-256 of the file to it; a length of 32 more than a multiple of 512 tells that it
//! is there. etcd notes a compaction as scheduled before it begins and as finished when the space is given back; clients
//! see the scheduled one. A revision may also be raised without a change: `etcdutl snapshot restore --bump-revision`
//! writes one with an empty value.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::bolt::{Bolt, Item, Walk};
use super::message;
use crate::error::{Error, Invalid, Result};
use crate::io::{DiskFile, IoSite, read_exact_at};
use crate::kv::LeaseId;

/// An open snapshot.
pub(super) struct Snapshot {
    bolt: Bolt,
    changes: Walk,
    /// The place of the last change given.
    last: (u64, u32),
    /// The compact revision as clients see it; `None` if nothing was ever compacted.
    pub(super) compact_revision: Option<u64>,
    /// The granted times to live, in milliseconds.
    pub(super) leases: BTreeMap<LeaseId, u64>,
}

/// A put or, as a tombstone, a deletion.
pub(super) struct Change<'a> {
    pub(super) revision: u64,
    pub(super) sub: u32,
    pub(super) tombstone: bool,
    /// `None` if the revision was raised without a change.
    pub(super) kv: Option<message::KeyValue<'a>>,
    /// Where it stands in the file.
    pub(super) offset: u64,
}

impl Snapshot {
    /// Opens a snapshot: verifies its SHA-256, then reads all but the changes. `path` is what errors call it;
    /// `on_verify` is told bytes done and bytes in all.
    pub(super) fn open(
        file: Arc<dyn DiskFile>,
        path: &Path,
        skip_hash_check: bool,
        on_verify: &mut dyn FnMut(u64, u64),
    ) -> Result<Snapshot> {
        let mut len = file.len(IoSite::ImportRead).map_err(|error| Error::io("read", path, error))?;
        let has_hash = len % HASH_UNIT == HASH_BYTES as u64;
        if has_hash {
            len -= HASH_BYTES as u64;
        } else if !skip_hash_check {
            // First of all it must be such a file: that it lacks its end is the lesser fault.
            Bolt::open(file, path, len)?;
            return Err(Error::InvalidArgument(Invalid::Argument(NO_HASH)));
        }
        let mut bolt = Bolt::open(file.clone(), path, len)?;
        if has_hash && !skip_hash_check {
            verify(&*file, path, len, on_verify)?;
        }
        let [key, meta, lease] = bolt.buckets([b"key", b"meta", b"lease"])?;
        let (Some(key), Some(meta)) = (key, meta) else {
            let what = "nor an etcd snapshot, for it has no keys";
            return Err(Error::NotADatabase { path: path.to_owned(), what });
        };
        let leases = BTreeMap::new();
        let mut snapshot = Snapshot { bolt, changes: key, last: (0, 0), compact_revision: None, leases };
        snapshot.read_meta(meta)?;
        if let Some(lease) = lease {
            snapshot.read_leases(lease)?;
        }
        Ok(snapshot)
    }

    /// The next change, in order of revision and sub-revision.
    pub(super) fn next(&mut self) -> Result<Option<Change<'_>>> {
        let Some(item) = self.changes.next(&mut self.bolt)? else { return Ok(None) };
        let corrupt = |what| self.bolt.corrupt(item.offset, what);
        let (revision, sub, tombstone) = revision_of(item.key).ok_or_else(|| corrupt("a key that is no revision"))?;
        if self.last.0 > 0 && (revision, sub) <= self.last {
            return Err(corrupt("two changes of one revision and sub-revision"));
        }
        self.last = (revision, sub);
        let kv = change_of(&item, revision, tombstone).map_err(corrupt)?;
        Ok(Some(Change { revision, sub, tombstone, kv, offset: item.offset }))
    }

    /// How much of the file has been read, in bytes.
    pub(super) fn read_bytes(&self) -> u64 {
        self.bolt.read_bytes()
    }

    /// Reads the compact revision.
    fn read_meta(&mut self, mut meta: Walk) -> Result<()> {
        while let Some(item) = meta.next(&mut self.bolt)? {
            if !matches!(item.key, b"scheduledCompactRev" | b"finishedCompactRev") {
                continue;
            }
            let (offset, revision) = (item.value_offset, compact_revision_of(item.value));
            let revision = revision.ok_or_else(|| self.bolt.corrupt(offset, "a compact revision that is none"))?;
            self.compact_revision = self.compact_revision.max(Some(revision));
        }
        Ok(())
    }

    fn read_leases(&mut self, mut leases: Walk) -> Result<()> {
        while let Some(item) = leases.next(&mut self.bolt)? {
            let lease = message::Lease::decode(item.value).filter(|lease| lease.id.to_be_bytes() == *item.key);
            let lease = lease.filter(|lease| lease.id != 0 && lease.ttl <= TTL_SECONDS_MAX);
            let (offset, sound) = (item.offset, lease);
            let lease = sound.ok_or_else(|| self.bolt.corrupt(offset, "a lease that is none"))?;
            // etcd raises what is below its minimum when it reads leases.
            let ttl_ms = lease.ttl.max(1).cast_unsigned() * 1000;
            self.leases.insert(LeaseId::new(lease.id), ttl_ms);
            if self.leases.len() > LEASES_MAX {
                let (len, max) = (self.leases.len() as u64, LEASES_MAX as u64);
                return Err(Error::TooLarge { what: "number of leases", len, max });
            }
        }
        Ok(())
    }
}

/// Compares the SHA-256 of the first `len` bytes with the one that follows them.
fn verify(file: &dyn DiskFile, path: &Path, len: u64, on_verify: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; VERIFY_BYTES];
    let mut done = 0;
    while done < len {
        let part = usize::try_from(len - done).unwrap_or(VERIFY_BYTES).min(VERIFY_BYTES);
        read(file, path, &mut buffer[..part], done)?;
        hasher.update(&buffer[..part]);
        done += part as u64;
        on_verify(done, len);
    }
    let mut expected = [0; HASH_BYTES];
    read(file, path, &mut expected, len)?;
    if hasher.finalize()[..] != expected {
        return Err(Error::corrupt(path, len, "the SHA-256 at its end is not that of what stands before it"));
    }
    Ok(())
}

fn read(file: &dyn DiskFile, path: &Path, bytes: &mut [u8], offset: u64) -> Result<()> {
    read_exact_at(file, IoSite::ImportRead, bytes, offset).map_err(|error| Error::io("read", path, error))
}

/// A value of the bucket `meta`. It may be zero: that revision can be compacted once (CP-01).
fn compact_revision_of(bytes: &[u8]) -> Option<u64> {
    let (main, sub) = bytes.split_first_chunk()?;
    let main = u64::from_be_bytes(*main);
    (sub.len() == 9 && sub[0] == b'_' && main <= REVISION_MAX).then_some(main)
}

/// A key of the bucket `key`: revision, sub-revision, and whether it is marked as a deletion.
fn revision_of(bytes: &[u8]) -> Option<(u64, u32, bool)> {
    let (main, rest) = bytes.split_first_chunk()?;
    let (sub, mark) = rest.strip_prefix(b"_")?.split_first_chunk()?;
    let tombstone = match mark {
        b"" => false,
        b"t" => true,
        _ => return None,
    };
    let main = u64::from_be_bytes(*main);
    let sub = u32::try_from(u64::from_be_bytes(*sub)).ok()?;
    (1..=REVISION_MAX).contains(&main).then_some((main, sub, tombstone))
}

/// The message of a change; `None` if the revision was raised without one.
fn change_of<'a>(
    item: &Item<'a>,
    revision: u64,
    tombstone: bool,
) -> std::result::Result<Option<message::KeyValue<'a>>, &'static str> {
    if item.value.is_empty() && !tombstone {
        return Ok(None);
    }
    let kv = message::KeyValue::decode(item.value).ok_or("a value that is no KeyValue")?;
    if kv.key.is_empty() {
        return Err("a change of the empty key");
    }
    if tombstone {
        return Ok(Some(message::KeyValue { key: kv.key, ..message::KeyValue::default() }));
    }
    if u64::try_from(kv.mod_revision) != Ok(revision) || kv.create_revision < 0 || kv.version < 0 {
        return Err("a KeyValue of another revision");
    }
    Ok(Some(kv))
}

/// Where a hash at the end shows in the length: pages are a multiple of this.
const HASH_UNIT: u64 = 512;
const HASH_BYTES: usize = 32;
const NO_HASH: &str =
    "the snapshot has no SHA-256 at its end; a file copied from a member has none and needs skip_hash_check";
/// Bytes that are read at once to be hashed.
const VERIFY_BYTES: usize = 1 << 20;

/// Room is left above it for as many revisions again.
pub(super) const REVISION_MAX: u64 = 1 << 62;
/// etcd grants no longer time to live (LE-01).
const TTL_SECONDS_MAX: i64 = 9_000_000_000;
/// Leases are held in memory, here and by an open store.
const LEASES_MAX: usize = 4 << 20;
