//! Bytes that the library owns and C reads.

use crate::argument::Plain;
use crate::error::Failure;
use crate::guard::enter_free;
use crate::handle::{self, Object};

/// Bytes that belong to the library, until `etclite_buf_free`. All zero if there are none.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct etclite_buf {
    /// The bytes; any thread may read them. Null if `token` is 0.
    pub data: *const u8,
    /// How many there are.
    pub len: usize,
    /// What `etclite_buf_free` knows them by; 0 if there is nothing to free.
    pub token: u64,
}

// SAFETY: integers, and an address that is not followed.
unsafe impl Plain for etclite_buf {}

impl etclite_buf {
    /// No bytes.
    pub(crate) const EMPTY: etclite_buf = etclite_buf { data: std::ptr::null(), len: 0, token: 0 };
}

/// What a token of an `etclite_buf` stands for.
struct Bytes(#[allow(dead_code, reason = "C points into it")] Box<[u8]>);

/// C knows the token as a number.
pub(crate) enum NoPointer {}

impl Object for Bytes {
    type Opaque = NoPointer;
    const KIND: u64 = 12;
}

/// Bytes for C.
pub(crate) fn publish(bytes: Vec<u8>) -> Result<etclite_buf, Failure> {
    let bytes = bytes.into_boxed_slice();
    let (data, len) = (bytes.as_ptr(), bytes.len());
    let token = handle::publish(Bytes(bytes))?.addr() as u64;
    Ok(etclite_buf { data, len, token })
}

/// A place for a buffer that must be there. It is emptied at once.
///
/// # Safety
/// As [`crate::argument::out`].
pub(crate) unsafe fn out_buf<'a>(place: *mut etclite_buf) -> Result<&'a mut etclite_buf, Failure> {
    // SAFETY: as the caller promises.
    let place = unsafe { crate::argument::out(place) }?;
    *place = etclite_buf::EMPTY;
    Ok(place)
}

/// Frees what a buffer holds, and empties it. Null, and a buffer that is empty, are allowed and do nothing; a copy of a
/// buffer that was freed is `MISUSE`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_buf_free(buf: *mut etclite_buf) -> i32 {
    enter_free(|| {
        // SAFETY: null or a buffer, as the header file demands.
        let Some(buf) = (unsafe { buf.as_mut() }) else { return Ok(()) };
        if buf.token != 0 {
            #[allow(clippy::cast_possible_truncation, reason = "a usize has 64 bits here")]
            handle::free::<Bytes>(std::ptr::without_provenance(buf.token as usize))?;
        }
        *buf = etclite_buf::EMPTY;
        Ok(())
    })
}
