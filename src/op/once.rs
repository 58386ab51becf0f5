//! Operation ids, and answers that may be those of an earlier call.

use std::fmt;
use std::ops::Deref;

use crate::kv::Revision;

/// Names one write for ever, so that sending it again does not do it again; see [`Db::operation`](crate::Db::operation).
///
/// Any number but zero, chosen by the caller so that no other write has it: drawn at random
/// ([`Db::draw_operation_id`](crate::Db::draw_operation_id)), or made of who the caller is and a counter that it keeps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(u128);

impl OperationId {
    /// An id by number; zero is refused where it is used.
    pub const fn new(id: u128) -> Self {
        OperationId(id)
    }

    /// The number.
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl From<u128> for OperationId {
    fn from(id: u128) -> Self {
        OperationId(id)
    }
}

impl fmt::Display for OperationId {
    /// 32 lowercase hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperationId({self})")
    }
}

/// The answer to a write with an operation id. It derefs to the response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceResponse<T> {
    /// The first answer to this operation, with the revision of then.
    pub response: T,
    /// That revision: the one that the operation made, or if it changed no key the store's of then.
    pub revision: Revision,
    /// The operation had taken effect before; this call wrote nothing.
    pub replayed: bool,
    /// Of the first answer only revision, success and counts are left: its keys and values were too many to be kept. See
    /// [`Options::operation_result_bytes_max`](crate::Options::operation_result_bytes_max).
    pub truncated: bool,
}

impl<T> Deref for OnceResponse<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.response
    }
}
