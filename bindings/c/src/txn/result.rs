//! What a txn answers: a tree, whose parts are handed out as handles that belong to its root.
//!
//! A part gets its handle when it is first asked for, so that a txn of thousands of operations takes up one. Freeing the
//! root ends them all; freeing a part is refused.

use etclite::{Db, OpResponse, TxnResponse};
use parking_lot::Mutex;

use crate::argument::out;
use crate::code::ETCLITE_OK;
use crate::error::{Failure, etclite_error};
use crate::guard::{enter, enter_free};
use crate::handle::{self, Object, Pinned};
use crate::result::{ResultObject, etclite_header, etclite_result, header, out_view};

/// What a txn answered. It never changes, and any number of threads may read it.
pub struct etclite_txn_result {
    _opaque: (),
}

/// What stands behind an `etclite_txn_result`.
pub(super) struct Answers {
    header: etclite_header,
    succeeded: bool,
    /// One for each operation of the branch that was run.
    ops: Vec<Mutex<Answer>>,
    /// Whether it is part of another one, and is freed with that.
    is_borrowed: bool,
}

/// What one operation answered.
enum Answer {
    /// Nobody has asked for it.
    Kept(OpResponse),
    /// The token of the handle that it was given.
    Result(usize),
    Txn(usize),
}

impl Object for Answers {
    type Opaque = etclite_txn_result;
    const KIND: u64 = 5;
}

impl Answers {
    pub(super) fn new(db: &Db, response: TxnResponse) -> Self {
        Answers::with(header(db, response.revision), response, false)
    }

    fn with(header: etclite_header, response: TxnResponse, is_borrowed: bool) -> Self {
        let ops = response.responses.into_iter().map(|response| Mutex::new(Answer::Kept(response))).collect();
        Answers { header, succeeded: response.succeeded, ops, is_borrowed }
    }

    fn op(&self, index: usize) -> Result<&Mutex<Answer>, Failure> {
        self.ops.get(index).ok_or(Failure::invalid("the branch that was run has fewer operations"))
    }

    /// The handle of the result of an operation.
    fn result(&self, index: usize) -> Result<*const etclite_result, Failure> {
        let mut answer = self.op(index)?.lock();
        if let Answer::Kept(response) = &*answer
            && let Some(result) = ResultObject::of_txn(self.header, response)
        {
            *answer = Answer::Result(handle::publish(result)?.addr());
        }
        match *answer {
            Answer::Result(token) => Ok(std::ptr::without_provenance(token)),
            _ => Err(Failure::invalid("the operation is a nested txn: its answer is told by etclite_txn_op_txn")),
        }
    }

    /// The handle of the answers of a nested txn.
    fn nested(&self, index: usize) -> Result<*const etclite_txn_result, Failure> {
        let mut answer = self.op(index)?.lock();
        if let Answer::Kept(OpResponse::Txn(response)) = &*answer {
            let answers = Answers::with(self.header, response.clone(), true);
            *answer = Answer::Txn(handle::publish(answers)?.addr());
        }
        match *answer {
            Answer::Txn(token) => Ok(std::ptr::without_provenance(token)),
            _ => Err(Failure::invalid("the operation is no nested txn: its answer is told by etclite_txn_op")),
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        for answer in &mut self.ops {
            // They cannot have ended before: C is refused to free them.
            let freed = match *answer.get_mut() {
                Answer::Kept(_) => Ok(()),
                Answer::Result(token) => handle::free::<ResultObject>(std::ptr::without_provenance(token)),
                Answer::Txn(token) => handle::free::<Answers>(std::ptr::without_provenance(token)),
            };
            debug_assert!(freed.is_ok(), "{freed:?}");
        }
    }
}

fn pin(result: *const etclite_txn_result) -> Result<Pinned<Answers>, Failure> {
    handle::pin(result)
}

/// Where the answer comes from, and at which revision: the one that the txn made, or if it changed nothing that of the
/// store. Of a nested txn it is that of the outermost one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_result_header(
    result: *const etclite_txn_result,
    header: *mut etclite_header,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let header = out(header)?;
            *header = pin(result)?.header;
            Ok(ETCLITE_OK)
        })
    }
}

/// Whether all comparisons held: 1 or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_succeeded(
    result: *const etclite_txn_result,
    succeeded: *mut i32,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let succeeded = out(succeeded)?;
            *succeeded = pin(result)?.succeeded.into();
            Ok(ETCLITE_OK)
        })
    }
}

/// How many operations the list that was run has, and so how many answers there are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_op_count(
    result: *const etclite_txn_result,
    count: *mut usize,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let count = out(count)?;
            *count = pin(result)?.ops.len();
            Ok(ETCLITE_OK)
        })
    }
}

/// What the operation `index`, from 0, of the list that was run answered: a put, a delete or a read. It belongs to the
/// txn's result: it is valid until that is freed, and freeing it itself is `MISUSE`. The revision of its header is the
/// txn's new one if it, or an operation before it, changed something; else the one before the txn.
///
/// Errors: `INVALID_ARGUMENT` if there is no such operation, or if it is a nested txn; `FULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_op(
    result: *const etclite_txn_result,
    index: usize,
    op: *mut *const etclite_result,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let op = out_view(op)?;
            *op = pin(result)?.result(index)?;
            Ok(ETCLITE_OK)
        })
    }
}

/// As `etclite_txn_op`, for an operation that is a nested txn.
///
/// Errors: `INVALID_ARGUMENT` if there is no such operation, or if it is no nested txn; `FULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_op_txn(
    result: *const etclite_txn_result,
    index: usize,
    nested: *mut *const etclite_txn_result,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let nested = out_view(nested)?;
            *nested = pin(result)?.nested(index)?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Frees what a txn answered, with the results of its operations. Null is allowed and does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_result_free(result: *mut etclite_txn_result) -> i32 {
    enter_free(|| {
        if result.is_null() {
            return Ok(());
        }
        if pin(result)?.is_borrowed {
            return Err(Failure::misused("the result belongs to a txn's answer, and is freed with that"));
        }
        handle::free::<Answers>(result)
    })
}
