//! Large ranges, a piece at a time.

use std::collections::VecDeque;

use etclite::{Db, Error, KeyValue, RangeIter, Revision};
use parking_lot::Mutex;

use crate::argument::out_pointer;
use crate::code::{ETCLITE_END, ETCLITE_OK};
use crate::database::{database, etclite_db};
use crate::error::{Failure, etclite_error};
use crate::guard::{enter, enter_free};
use crate::handle::{self, Object};
use crate::kv::{etclite_range_options, range_of};
use crate::result::{ResultObject, etclite_result};

/// A walk over the keys of a range, as of one revision.
pub struct etclite_scan {
    _opaque: (),
}

/// How many keys a piece has at most, unless the caller says.
const KVS_DEFAULT: usize = 1000;
/// How many bytes of keys and values a piece has at most, unless the caller says.
const BYTES_DEFAULT: usize = 1 << 20;

/// What stands behind an `etclite_scan`.
struct Scan {
    db: Db,
    /// Held by the one thread that reads.
    walk: Mutex<Walk>,
}

impl Object for Scan {
    type Opaque = etclite_scan;
    const KIND: u64 = 3;

    fn database(&self) -> Option<&Db> {
        Some(&self.db)
    }
}

struct Walk {
    keys: RangeIter,
    /// Keys that were read and not handed out: the one that found no room, or a piece for which there was no handle.
    ahead: VecDeque<KeyValue>,
    /// What ended the walk. It is the answer to each call that follows.
    failed: Option<Error>,
}

impl Walk {
    /// The next keys: at least one, unless there is none left.
    fn piece(&mut self, kvs_max: usize, bytes_max: usize) -> Result<Vec<KeyValue>, Error> {
        if !self.ahead.is_empty() {
            // Reading one more finds out whether the store is still open.
            let next = self.read()?;
            self.ahead.extend(next);
        }
        let (mut piece, mut bytes) = (Vec::new(), 0usize);
        while piece.len() < kvs_max
            && let Some(kv) = self.next()?
        {
            bytes = bytes.saturating_add(kv.key.len()).saturating_add(kv.value.len());
            if bytes > bytes_max && !piece.is_empty() {
                self.ahead.push_front(kv);
                break;
            }
            piece.push(kv);
        }
        Ok(piece)
    }

    fn next(&mut self) -> Result<Option<KeyValue>, Error> {
        match self.ahead.pop_front() {
            Some(kv) => Ok(Some(kv)),
            None => self.read(),
        }
    }

    fn read(&mut self) -> Result<Option<KeyValue>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.keys.next().transpose().inspect_err(|error| self.failed = Some(error.clone()))
    }

    fn revision(&self) -> Revision {
        self.keys.revision()
    }
}

/// Begins a scan of a range, named as for `etclite_range`: all keys as of one revision, whatever is written or compacted
/// meanwhile. In the order of keys, in either direction, it needs constant memory; any other order sorts the range in
/// memory first; with `ETCLITE_RANGE_COUNT_ONLY` there are no keys. It holds what it reads from, memory and files, until
/// it is freed by `etclite_scan_free`. `options` may be null.
///
/// Errors: as `etclite_range`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_scan_open(
    db: *const etclite_db,
    key: *const u8,
    key_len: usize,
    end: *const u8,
    end_len: usize,
    options: *const etclite_range_options,
    scan: *mut *mut etclite_scan,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes, the options and the out parameter.
    unsafe {
        enter(err, || {
            let scan = out_pointer(scan)?;
            let range = range_of(key, key_len, end, end_len, options)?;
            let database = database(db)?;
            let keys = database.db.range(range)?;
            let walk = Mutex::new(Walk { keys, ahead: VecDeque::new(), failed: None });
            *scan = handle::publish(Scan { db: database.db.clone(), walk })?;
            Ok(ETCLITE_OK)
        })
    }
}

/// The next keys of the scan: at most `kvs_max` of them (0: 1000), and at most `bytes_max` bytes of keys and values (0: 1
/// MiB), but always one, whole, however large it is. Returns `ETCLITE_END`, without a result, each time once there are no
/// more. The result must be freed by `etclite_result_free`; its count is that of its own keys.
///
/// Errors: `CLOSED`, `IO`, `CORRUPT`: they end the scan, and are returned each time from then on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_scan_next(
    scan: *mut etclite_scan,
    kvs_max: usize,
    bytes_max: usize,
    result: *mut *mut etclite_result,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let result = out_pointer(result)?;
            let scan = handle::pin::<Scan>(scan)?;
            let mut walk = scan.walk.try_lock().ok_or(Failure::misuse())?;
            let default = |given, default| if given == 0 { default } else { given };
            let piece = walk.piece(default(kvs_max, KVS_DEFAULT), default(bytes_max, BYTES_DEFAULT))?;
            if piece.is_empty() {
                return Ok(ETCLITE_END);
            }
            let read = ResultObject::read(&scan.db, walk.revision(), &piece, piece.len() as u64, false);
            match handle::publish(read) {
                Ok(published) => *result = published,
                Err(failure) => {
                    piece.into_iter().rev().for_each(|kv| walk.ahead.push_front(kv));
                    return Err(failure);
                }
            }
            Ok(ETCLITE_OK)
        })
    }
}

/// Frees a scan, and lets go of what it held. Results that it returned go on. Null is allowed and does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_scan_free(scan: *mut etclite_scan) -> i32 {
    enter_free(|| if scan.is_null() { Ok(()) } else { handle::free::<Scan>(scan) })
}

#[cfg(test)]
mod tests;
