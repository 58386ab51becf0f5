//! What a request is answered with, ready to be written where the caller wants it.

use prost::Message;
use prost::bytes::BufMut;

use super::Identity;
use super::wire::{PutParts, RangeParts};
use crate::kv::{KeyValue, Revision};
use crate::op::{PutResponse, RangeResponse};
use crate::watch::WatchBatch;

/// The reply to a request: an encoded message, of which the length is known before it is written.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// let reply = etclite::proto::execute(&db, etclite::proto::LEASE_LEASES, &[])?;
/// let mut out = [0; 64];
/// let mut free = &mut out[..];
/// reply.write(&mut free); // there is room for it
/// assert_eq!(free.len(), 64 - reply.len());
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reply {
    body: Body,
    may_have_written: bool,
}

/// What is asked for most is encoded from the store's own values; the rest was encoded already.
#[derive(Clone, Debug)]
enum Body {
    Get { identity: Identity, revision: Revision, kv: Option<KeyValue> },
    Range { identity: Identity, response: RangeResponse },
    Put { identity: Identity, response: PutResponse },
    Encoded(Vec<u8>),
}

impl Reply {
    pub(super) fn get(identity: Identity, revision: Revision, kv: Option<KeyValue>) -> Self {
        Reply { body: Body::Get { identity, revision, kv }, may_have_written: false }
    }

    pub(super) fn range(identity: Identity, response: RangeResponse) -> Self {
        Reply { body: Body::Range { identity, response }, may_have_written: false }
    }

    pub(super) fn put(identity: Identity, response: PutResponse) -> Self {
        Reply { body: Body::Put { identity, response }, may_have_written: true }
    }

    /// Of what may have written.
    pub(super) fn encode(message: &impl Message) -> Self {
        Reply { body: Body::Encoded(message.encode_to_vec()), may_have_written: true }
    }

    pub(super) fn written(self, may_have_written: bool) -> Self {
        Reply { may_have_written, ..self }
    }

    /// The response that tells a batch of a watch; see [`watch_response`](super::watch_response).
    pub fn watch(identity: Identity, watch_id: i64, batch: WatchBatch) -> Self {
        Reply::encode(&super::watch_response(identity, watch_id, batch)).written(false)
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        match &self.body {
            Body::Get { identity, revision, kv } => get_parts(*identity, *revision, kv).len(),
            Body::Range { identity, response } => range_parts(*identity, response).len(),
            Body::Put { identity, response } => put_parts(*identity, response).len(),
            Body::Encoded(bytes) => bytes.len(),
        }
    }

    /// Whether the request may have changed something. If not, a caller for whom the reply is lost may simply ask again.
    pub fn may_have_written(&self) -> bool {
        self.may_have_written
    }

    /// Whether it has no bytes: a message all of whose fields are unset.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Writes it.
    ///
    /// # Panics
    /// If `out` has less room than [`Reply::len`], as [`BufMut`] says.
    pub fn write(&self, out: &mut impl BufMut) {
        match &self.body {
            Body::Get { identity, revision, kv } => get_parts(*identity, *revision, kv).write(out),
            Body::Range { identity, response } => range_parts(*identity, response).write(out),
            Body::Put { identity, response } => put_parts(*identity, response).write(out),
            Body::Encoded(bytes) => out.put_slice(bytes),
        }
    }

    /// Its bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len());
        self.write(&mut out);
        out
    }
}

fn get_parts(identity: Identity, revision: Revision, kv: &Option<KeyValue>) -> RangeParts<'_> {
    let kvs = kv.as_slice();
    RangeParts { header: identity.header(revision), kvs, more: false, count: kvs.len() as u64 }
}

fn range_parts(identity: Identity, response: &RangeResponse) -> RangeParts<'_> {
    let RangeResponse { revision, kvs, more, count } = response;
    RangeParts { header: identity.header(*revision), kvs, more: *more, count: count.unwrap_or(0) }
}

fn put_parts(identity: Identity, response: &PutResponse) -> PutParts<'_> {
    PutParts { header: identity.header(response.revision), prev: response.prev.as_ref() }
}
