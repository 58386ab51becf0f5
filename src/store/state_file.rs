//! State files: what is remembered of operations that carried an id, as far as the checkpoint holds it.
//!
//! A flush writes the records that came while its memtable was active as one immutable file; the catalog's edit that
//! names the flush's run names this file too, so that both hold or neither does. What has left the window is not
//! rewritten: a row of the catalog says from which log index on records count, and a file of which none counts any more
//! goes. Once there are [`FILES_MAX`] of them, the next flush writes what still counts of all of them into one.
//!
//! | offset | what |
//! |---|---|
//! | 0 | `"etcl-ops"` |
//! | 8 | u32 format, 1 |
//! | 12 | u32 CRC-32 of everything behind it |
//! | 16 | u128 store id, u64 file id |
//! | 40 | u32 number of records, u32 zero |
//! | 48 | the records in the order of their log indexes |
//!
//! A record is: varint log index, u128 operation id, u64 fingerprint, varint time in ms since the Unix epoch, varint
//! revision, u8 1 if its result was cut, the result behind its varint length (`engine/results.rs`).
//!
//! What must be durable before what: the contents, then the directory entry, then (by the caller) the catalog's row.
//! The row has length and checksum again, so that a file of another time or place never passes for this one.

use std::sync::Arc;

use bytes::Bytes;

use crate::codec::{Reader, Write, crc32};
use crate::error::{Error, Result};
use crate::io::{Disk, IoSite, OpenMode, read_exact_at, write_all_at};
use crate::store::catalog::StateFileRow;

/// What is remembered of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Remembered {
    /// The log index of the command that it was.
    pub(crate) index: u64,
    pub(crate) id: u128,
    /// Tells its request from another one under the same id.
    pub(crate) fingerprint: u64,
    /// When it was ordered, in milliseconds since the Unix epoch; never less than that of the one before.
    pub(crate) time_ms: u64,
    /// The store's revision after it.
    pub(crate) revision: u64,
    /// Whether keys and values were left out of the result.
    pub(crate) truncated: bool,
    /// The first answer, encoded.
    pub(crate) result: Bytes,
}

/// How many state files there may be before a flush makes one of them.
pub(crate) const FILES_MAX: usize = 8;

/// The directory of the state files; it must exist.
pub(crate) const DIRECTORY: &str = "state";

/// The path of a state file.
pub(crate) fn state_path(id: u64) -> String {
    format!("{DIRECTORY}/{id:016x}.ops")
}

/// Writes `records`, at least one and in order, as file `id`; durable on return, directory entry included. After an
/// error the file is gone, as far as it could be removed.
pub(crate) fn write(
    disk: &Arc<dyn Disk>,
    store_id: u128,
    id: u64,
    records: &[Arc<Remembered>],
) -> Result<StateFileRow> {
    let bytes = encode(store_id, id, records);
    let path = state_path(id);
    let failed = |what| move |error| Error::io(what, state_path(id), error);
    let written = || -> Result<()> {
        let file = disk.open(IoSite::StateCreate, &path, OpenMode::Truncate).map_err(failed("create"))?;
        write_all_at(file.as_ref(), IoSite::StateWrite, &bytes, 0).map_err(failed("write"))?;
        file.sync_data(IoSite::StateSync).map_err(failed("sync"))?;
        disk.sync_dir(IoSite::StateSyncDir, DIRECTORY).map_err(|e| Error::io("sync directory", DIRECTORY, e))
    };
    written().inspect_err(|_| {
        // The error is what counts; what stays is removed by the next open.
        let _ = disk.remove(IoSite::StateRemove, &path);
    })?;
    let (first, last) = (records.first().expect("at least one record"), records.last().expect("at least one record"));
    let len = bytes.len() as u64;
    Ok(StateFileRow { first_index: first.index, last_index: last.index, len, crc: crc32(0, &bytes[CRC_END..]) })
}

/// Reads file `id` and verifies all of it.
///
/// # Errors
/// `Corrupt` if it is missing, damaged or not the one that `row` describes; `FormatTooNew`; `Io`.
pub(crate) fn read(disk: &Arc<dyn Disk>, store_id: u128, id: u64, row: &StateFileRow) -> Result<Vec<Arc<Remembered>>> {
    let path = state_path(id);
    let corrupt = |what| Error::corrupt(&path, 0, what);
    let file = disk.open(IoSite::StateRead, &path, OpenMode::Read).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => corrupt("a state file that the catalog names is missing"),
        _ => Error::io("open", &path, error),
    })?;
    let failed = |error| Error::io("read", &path, error);
    if file.len(IoSite::StateRead).map_err(failed)? != row.len {
        return Err(corrupt("a state file does not have the length that the catalog says"));
    }
    let len = usize::try_from(row.len).map_err(|_| corrupt("a state file is too long"))?;
    let mut bytes = vec![0; len];
    read_exact_at(file.as_ref(), IoSite::StateRead, &mut bytes, 0).map_err(failed)?;
    let format = bytes.get(8..12).and_then(|bytes| Reader::new(bytes).u32());
    if crc32(0, bytes.get(CRC_END..).unwrap_or_default()) != row.crc {
        return Err(corrupt("a state file fails its checksum"));
    }
    if bytes.starts_with(MAGIC)
        && let Some(format) = format.filter(|format| *format > FORMAT)
    {
        return Err(Error::FormatTooNew { file: path.into(), format });
    }
    decode(&bytes, store_id, id, row).ok_or_else(|| corrupt("a state file cannot be decoded"))
}

fn encode(store_id: u128, id: u64, records: &[Arc<Remembered>]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.put_u32(FORMAT);
    bytes.put_u32(0);
    bytes.put_u128(store_id);
    bytes.put_u64(id);
    bytes.put_u32(u32::try_from(records.len()).expect("the window has fewer records"));
    bytes.put_u32(0);
    for record in records {
        bytes.put_varint(record.index);
        bytes.put_u128(record.id);
        bytes.put_u64(record.fingerprint);
        bytes.put_varint(record.time_ms);
        bytes.put_varint(record.revision);
        bytes.put_u8(u8::from(record.truncated));
        bytes.put_bytes(&record.result);
    }
    let crc = crc32(0, &bytes[CRC_END..]);
    bytes[CRC_END - 4..CRC_END].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8], store_id: u128, id: u64, row: &StateFileRow) -> Option<Vec<Arc<Remembered>>> {
    let mut reader = Reader::new(bytes);
    let known = reader.take(MAGIC.len())? == MAGIC
        && (reader.u32()?, reader.u32()?) == (FORMAT, row.crc)
        && (reader.u128()?, reader.u64()?) == (store_id, id);
    let (count, zero) = (reader.u32()?, reader.u32()?);
    if !known || zero != 0 {
        return None;
    }
    let mut records: Vec<Arc<Remembered>> = Vec::new();
    for _ in 0..count {
        let record = read_record(&mut reader)?;
        if records.last().is_some_and(|last| last.index >= record.index) {
            return None;
        }
        records.push(Arc::new(record));
    }
    let spans = (records.first()?.index, records.last()?.index) == (row.first_index, row.last_index);
    (reader.is_empty() && spans).then_some(records)
}

fn read_record(reader: &mut Reader<'_>) -> Option<Remembered> {
    Some(Remembered {
        index: reader.varint()?,
        id: reader.u128()?,
        fingerprint: reader.u64()?,
        time_ms: reader.varint()?,
        revision: reader.varint()?,
        truncated: match reader.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        },
        result: Bytes::copy_from_slice(reader.bytes()?),
    })
}

const MAGIC: &[u8; 8] = b"etcl-ops";
const FORMAT: u32 = 1;
/// Where the part begins that the checksum covers.
const CRC_END: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::memory::MemoryDisk;

    fn records() -> Vec<Arc<Remembered>> {
        let record = |index: u64, truncated| Remembered {
            index,
            id: u128::from(index) << 70,
            fingerprint: 7,
            time_ms: 1_700_000_000_000,
            revision: index + 1,
            truncated,
            result: Bytes::from(vec![4; usize::try_from(index).expect("small")]),
        };
        vec![Arc::new(record(3, false)), Arc::new(record(300, true))]
    }

    fn disk() -> Arc<dyn Disk> {
        let disk = MemoryDisk::new();
        disk.create_dir(IoSite::StoreCreateDir, DIRECTORY).expect("memory has room");
        Arc::new(disk)
    }

    #[test]
    fn what_is_written_comes_back() {
        let disk = disk();
        let row = write(&disk, 9, 5, &records()).expect("writes");
        assert_eq!((row.first_index, row.last_index), (3, 300));
        assert_eq!(read(&disk, 9, 5, &row).expect("reads"), records());
        assert!(matches!(read(&disk, 8, 5, &row), Err(Error::Corrupt { .. })), "another store's");
        assert!(matches!(read(&disk, 9, 6, &row), Err(Error::Corrupt { .. })), "it is missing");
    }

    #[test]
    fn every_bit_counts() {
        let disk = disk();
        let row = write(&disk, 9, 5, &records()).expect("writes");
        let file = disk.open(IoSite::StateRead, &state_path(5), OpenMode::ReadWrite).expect("opens");
        for at in 0..row.len {
            let mut byte = [0];
            read_exact_at(file.as_ref(), IoSite::StateRead, &mut byte, at).expect("reads");
            for bit in 0..8 {
                write_all_at(file.as_ref(), IoSite::StateWrite, &[byte[0] ^ (1 << bit)], at).expect("writes");
                let found = read(&disk, 9, 5, &row);
                assert!(
                    matches!(found, Err(Error::Corrupt { .. } | Error::FormatTooNew { .. })),
                    "byte {at}, bit {bit}"
                );
            }
            write_all_at(file.as_ref(), IoSite::StateWrite, &byte, at).expect("writes");
        }
        assert!(read(&disk, 9, 5, &row).is_ok());
    }

    #[test]
    fn the_format_is_fixed() {
        let bytes = encode(1, 2, &records()[..1]);
        let crc = crc32(0, &bytes[16..]).to_le_bytes();
        let mut wanted = b"etcl-ops\x01\0\0\0".to_vec();
        wanted.extend(crc);
        wanted.extend([&[1][..], &[0; 15], &[2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3]].concat());
        wanted.extend((3u128 << 70).to_le_bytes());
        wanted.extend([7, 0, 0, 0, 0, 0, 0, 0, 0x80, 0xd0, 0x95, 0xff, 0xbc, 0x31, 4, 0, 3, 4, 4, 4]);
        assert_eq!(bytes, wanted);
    }
}
