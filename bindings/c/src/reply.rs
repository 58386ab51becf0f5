//! An answer in bytes: in the caller's memory if it fits there, else in a buffer of the library's, whole.

use std::mem::MaybeUninit;

use etclite::proto::Reply;

use crate::argument::out;
use crate::buf::{self, etclite_buf, out_buf};
use crate::error::Failure;

/// Where an answer goes. Nothing is written but by [`Place::put`]; the buffer is empty until then.
pub(crate) struct Place<'a> {
    room: &'a mut [MaybeUninit<u8>],
    len: &'a mut usize,
    spill: &'a mut etclite_buf,
}

/// # Safety
/// `room` is null or the start of `cap` bytes that can be written while the answer lives; the others as [`out`].
pub(crate) unsafe fn place<'a>(
    room: *mut u8,
    cap: usize,
    len: *mut usize,
    spill: *mut etclite_buf,
) -> Result<Place<'a>, Failure> {
    // SAFETY: as the caller promises.
    let (spill, len) = unsafe { (out_buf(spill)?, out(len)?) };
    if cap > isize::MAX as usize {
        return Err(Failure::invalid("a length above PTRDIFF_MAX"));
    }
    let room = match (room.is_null(), cap) {
        (true, 0) => &mut [][..],
        (true, _) => return Err(Failure::null()),
        // SAFETY: not null, no longer than an object can be, and writable as the caller promises.
        (false, _) => unsafe { std::slice::from_raw_parts_mut(room.cast(), cap) },
    };
    Ok(Place { room, len, spill })
}

impl Place<'_> {
    /// Writes an answer of `len` bytes.
    ///
    /// # Errors
    /// `FULL` if it does not fit and there is no handle left for a buffer: nothing is written.
    pub(crate) fn put(self, len: usize, answer: impl FnOnce(&mut Sink)) -> Result<(), Failure> {
        if let Some(room) = self.room.get_mut(..len) {
            answer(&mut Sink::Room(room));
            *self.len = len;
            return Ok(());
        }
        let mut sink = Sink::Bytes(Vec::with_capacity(len));
        answer(&mut sink);
        if let Sink::Bytes(bytes) = sink {
            *self.spill = buf::publish(bytes)?;
            *self.len = 0;
        }
        Ok(())
    }

    /// Writes a reply.
    ///
    /// # Errors
    /// As [`Place::put`].
    pub(crate) fn put_reply(self, reply: &Reply) -> Result<(), Failure> {
        self.put(reply.len(), |sink| sink.reply(reply))
    }
}

/// Where an answer is written, part by part. It has room for all of it.
pub(crate) enum Sink<'a> {
    Room(&'a mut [MaybeUninit<u8>]),
    Bytes(Vec<u8>),
}

impl Sink<'_> {
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        match self {
            Sink::Room(room) => {
                let (head, tail) = std::mem::take(room).split_at_mut(bytes.len());
                for (to, from) in head.iter_mut().zip(bytes) {
                    to.write(*from);
                }
                *room = tail;
            }
            Sink::Bytes(all) => all.extend_from_slice(bytes),
        }
    }

    pub(crate) fn reply(&mut self, reply: &Reply) {
        match self {
            Sink::Room(room) => reply.write(room),
            Sink::Bytes(all) => reply.write(all),
        }
    }
}
