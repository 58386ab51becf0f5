//! The second tier: any request as bytes, for bindings of other languages. What the bytes mean is decided in
//! `etclite::proto`; here they are taken in and handed out.

use etclite::proto::{self, Reply};
use etclite::{Applied, Error};

use crate::argument::bytes;
use crate::buf::etclite_buf;
use crate::code::{ETCLITE_E_INDETERMINATE, ETCLITE_E_REQUEST_TOO_LARGE, ETCLITE_OK};
use crate::database::{database, etclite_db};
use crate::error::{Failure, etclite_error};
use crate::guard::enter;
use crate::reply::{Place, Sink, place};

/// How many requests a batch may have.
pub const ETCLITE_BATCH_REQUESTS_MAX: u32 = 1024;
/// How many bytes a batch may have, with all that is between its requests: 1 MiB.
pub const ETCLITE_BATCH_BYTES_MAX: u32 = 1_048_576;

/// Runs the request `op`, whose bytes are a message as protobuf encodes it, and writes its reply, a message too. Below
/// 1000 these are etcd's messages, of the package `etcdserverpb`; from 1000 on our own, of `etclitepb`. Fields that the
/// library does not know are skipped. Durable on return as the store was opened.
///
///       1 Range         4 Txn             11 LeaseRevoke        14 LeaseLeases
///       2 Put           5 Compaction      12 LeaseKeepAlive     20 Status
///       3 DeleteRange  10 LeaseGrant      13 LeaseTimeToLive    21 HashKV
///      22 Hash         23 Alarm           24 Defragment
///
/// A reply that fits is written to `out`: `*out_len` is its length, and `spill` is empty. Otherwise the whole of it is in
/// `spill`, which must then be freed by `etclite_buf_free`, and `*out_len` is 0. Either way the request runs once.
///
/// Errors: those of the request, as the typed function for it has them; `INVALID_ARGUMENT` if the bytes are no such
/// message; `UNSUPPORTED` for a number that is not in use, and for 30 to 34, which are a group's. If no handle is left
/// for a reply that does not fit: `INDETERMINATE` if the request has written, `FULL` if it has changed nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_call(
    db: *const etclite_db,
    op: u32,
    request: *const u8,
    len: usize,
    out: *mut u8,
    cap: usize,
    out_len: *mut usize,
    spill: *mut etclite_buf,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes and the out parameters.
    unsafe {
        enter(err, || {
            let place = place(out, cap, out_len, spill)?;
            let request = bytes(request, len)?;
            let database = database(db)?;
            panic_if_asked(op);
            let reply = proto::execute(&database.db, op, request)?;
            place.put_reply(&reply).map_err(|failure| failure.after(reply.may_have_written()))?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Runs many requests in order, as `etclite_call` runs one. Each has its own revision and its own status; one that fails
/// does not stop the next; each sees those before it. Writes in a row are made durable by one commit. A request that reads,
/// renews, compacts, has an operation id, or makes, resets or drops a cursor waits for the writes before it.
///
/// All numbers are little-endian, and each part is followed by as many zero bytes as make it a multiple of 8 long:
///
///     in     u32 op       u32 len   the request's bytes    .. for each request
///     out    i32 status   u32 len   the reply's bytes      .. for each request, in the same order
///
/// The bytes of a reply with a status below 0 are a text for people, without a zero at its end. Output goes to `out` or
/// `spill` as in `etclite_call`.
///
/// Errors, of the call as a whole, which has then done nothing: `INVALID_ARGUMENT` if the parts do not add up;
/// `REQUEST_TOO_LARGE` above `ETCLITE_BATCH_REQUESTS_MAX` or `ETCLITE_BATCH_BYTES_MAX` (`detail`: the one passed).
/// If no handle is left for replies that do not fit: `INDETERMINATE` if one of the requests may have written, `FULL` if
/// none has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_call_batch(
    db: *const etclite_db,
    requests: *const u8,
    len: usize,
    out: *mut u8,
    cap: usize,
    out_len: *mut usize,
    spill: *mut etclite_buf,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes and the out parameters.
    unsafe {
        enter(err, || {
            let place = place(out, cap, out_len, spill)?;
            let requests = parts(bytes(requests, len)?)?;
            let database = database(db)?;
            requests.iter().for_each(|(op, _)| panic_if_asked(*op));
            let replies = proto::batch(&database.db, &requests);
            let wrote = replies.iter().any(may_have_written);
            put_all(place, replies).map_err(|failure| failure.after(wrote))?;
            Ok(ETCLITE_OK)
        })
    }
}

/// The number and the bytes of a request.
type Request<'a> = (u32, &'a [u8]);

/// The requests of a batch.
fn parts(mut rest: &[u8]) -> Result<Vec<Request<'_>>, Failure> {
    if rest.len() > ETCLITE_BATCH_BYTES_MAX as usize {
        return Err(too_large(ETCLITE_BATCH_BYTES_MAX));
    }
    let mut requests = Vec::new();
    while !rest.is_empty() {
        if requests.len() == ETCLITE_BATCH_REQUESTS_MAX as usize {
            return Err(too_large(ETCLITE_BATCH_REQUESTS_MAX));
        }
        let (request, behind) = part(rest).ok_or(Failure::invalid("a batch whose parts do not add up"))?;
        requests.push(request);
        rest = behind;
    }
    Ok(requests)
}

/// The first request, and what is behind it.
fn part(bytes: &[u8]) -> Option<(Request<'_>, &[u8])> {
    let (op, rest) = bytes.split_first_chunk()?;
    let (len, rest) = rest.split_first_chunk()?;
    let len = u32::from_le_bytes(*len) as usize;
    let (padded, behind) = rest.split_at_checked(len.next_multiple_of(8))?;
    Some(((u32::from_le_bytes(*op), &padded[..len]), behind))
}

fn too_large(max: u32) -> Failure {
    Failure::Boundary {
        code: ETCLITE_E_REQUEST_TOO_LARGE,
        message: "a batch of too many requests or bytes",
        detail: max.into(),
    }
}

fn may_have_written(reply: &Result<Reply, Error>) -> bool {
    match reply {
        Ok(reply) => reply.may_have_written(),
        Err(error) => error.applied() != Applied::No,
    }
}

/// What is written for one request.
enum Outcome {
    Done(Reply),
    Failed(i32, String),
}

impl Outcome {
    fn of(reply: Result<Reply, Error>) -> Self {
        match reply {
            Ok(reply) => Outcome::Done(reply),
            Err(error) => {
                let failure = Failure::from(error);
                Outcome::Failed(failure.code(), failure.text())
            }
        }
    }

    /// With its length, which is found out once: to measure a reply is to walk over it.
    fn measured(self) -> (Self, u32) {
        let len = match &self {
            Outcome::Done(reply) => reply.len(),
            Outcome::Failed(_, text) => text.len(),
        };
        u32::try_from(len).map(|len| (self, len)).unwrap_or_else(|_| {
            let text = "the request was run, but its reply is longer than a batch can tell";
            Outcome::Failed(ETCLITE_E_INDETERMINATE, text.to_owned()).measured()
        })
    }

    fn write(&self, len: u32, sink: &mut Sink<'_>) {
        let status = if let Outcome::Failed(status, _) = self { *status } else { ETCLITE_OK };
        sink.bytes(&status.to_le_bytes());
        sink.bytes(&len.to_le_bytes());
        match self {
            Outcome::Done(reply) => sink.reply(reply),
            Outcome::Failed(_, text) => sink.bytes(text.as_bytes()),
        }
        let len = len as usize;
        sink.bytes(&[0; 8][..len.next_multiple_of(8) - len]);
    }
}

fn put_all(place: Place<'_>, replies: Vec<Result<Reply, Error>>) -> Result<(), Failure> {
    let outcomes: Vec<_> = replies.into_iter().map(|reply| Outcome::of(reply).measured()).collect();
    let all = outcomes.iter().map(|(_, len)| 8 + (*len as usize).next_multiple_of(8)).sum();
    place.put(all, |sink| outcomes.iter().for_each(|(outcome, len)| outcome.write(*len, sink)))
}

/// There is a request that panics, for tests of what becomes of it.
#[cfg(any(test, feature = "_testing"))]
fn panic_if_asked(op: u32) {
    assert_ne!(op, 0xffff, "the panic that was asked for");
}

#[cfg(not(any(test, feature = "_testing")))]
fn panic_if_asked(_: u32) {}

#[cfg(test)]
mod tests;
