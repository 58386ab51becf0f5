//! Txns: built call by call, then committed by one. What they answer is in `txn/result.rs`.

use etclite::{Compare, CompareOn, KeyRange, Op, Range, Token, Txn};
use parking_lot::Mutex;

use crate::argument::{bytes, check_flags, out, out_pointer, out_pointer_or_null};
use crate::code::{ETCLITE_E_TOO_MANY_OPS, ETCLITE_OK};
use crate::coordination::mutex::{etclite_mutex, token_of};
use crate::database::{database, etclite_db};
use crate::error::{Failure, etclite_error};
use crate::guard::{enter, enter_free};
use crate::handle::{self, Object};
use crate::kv::{
    ETCLITE_RANGE_FROM_KEY, ETCLITE_RANGE_PREFIX, delete_of, etclite_put_options, etclite_range_options, keys, put_of,
    range_of,
};

mod result;

use result::{Answers, etclite_txn_result};

/// A txn that is being built.
pub struct etclite_txn {
    _opaque: (),
}

/// The key's number of puts since its creation; 0 if it does not exist.
pub const ETCLITE_TARGET_VERSION: u32 = 0;
/// The revision of the key's creation; 0 if it does not exist.
pub const ETCLITE_TARGET_CREATE: u32 = 1;
/// The revision of the key's latest change; 0 if it does not exist.
pub const ETCLITE_TARGET_MOD: u32 = 2;
/// The key's value, bytewise. No comparison with the value of a key that does not exist holds.
pub const ETCLITE_TARGET_VALUE: u32 = 3;
/// The id of the key's lease; 0 if it has none, or does not exist.
pub const ETCLITE_TARGET_LEASE: u32 = 4;

/// What is stored equals what is given.
pub const ETCLITE_COMPARE_EQUAL: u32 = 0;
/// What is stored is greater.
pub const ETCLITE_COMPARE_GREATER: u32 = 1;
/// What is stored is less.
pub const ETCLITE_COMPARE_LESS: u32 = 2;
/// What is stored differs.
pub const ETCLITE_COMPARE_NOT_EQUAL: u32 = 3;

/// How deep txns nest at most, whatever the store allows.
const DEPTH_MAX: u32 = 128;

/// What stands behind an `etclite_txn`.
struct Builder(Mutex<Parts>);

impl Object for Builder {
    type Opaque = etclite_txn;
    const KIND: u64 = 4;
}

#[derive(Clone, Default)]
struct Parts {
    fences: Vec<Token>,
    compares: Vec<Compare>,
    then: Vec<Op>,
    or_else: Vec<Op>,
    /// Operations go to the else-branch now.
    in_else: bool,
    /// How many levels of txns are nested in this one.
    depth: u32,
}

impl Parts {
    fn branch(&mut self) -> &mut Vec<Op> {
        if self.in_else { &mut self.or_else } else { &mut self.then }
    }

    fn build(self) -> Txn {
        let txn = self.fences.iter().fold(Txn::new(), Txn::fenced);
        txn.when(self.compares).then(self.then).or_else(self.or_else)
    }

    /// Takes the other over; if it is refused, it stays as it is.
    fn nest(&mut self, nested: &mut Parts) -> Result<(), Failure> {
        if !nested.fences.is_empty() {
            return Err(Failure::invalid("a nested txn takes no fences"));
        }
        if nested.depth + 2 > DEPTH_MAX {
            let message = "txns are nested too deep";
            return Err(Failure::Boundary { code: ETCLITE_E_TOO_MANY_OPS, message, detail: DEPTH_MAX.into() });
        }
        self.depth = self.depth.max(nested.depth + 1);
        let nested = std::mem::take(nested);
        self.branch().push(Op::from(nested.build()));
        Ok(())
    }
}

/// Changes what is being built.
fn change(txn: *mut etclite_txn, change: impl FnOnce(&mut Parts) -> Result<(), Failure>) -> Result<i32, Failure> {
    let builder = handle::pin::<Builder>(txn)?;
    let mut parts = builder.0.try_lock().ok_or(Failure::misuse())?;
    change(&mut parts)?;
    Ok(ETCLITE_OK)
}

/// Adds an operation to the branch that is being built.
fn add(txn: *mut etclite_txn, op: impl Into<Op>) -> Result<i32, Failure> {
    change(txn, |parts| {
        parts.branch().push(op.into());
        Ok(())
    })
}

/// Begins a txn, which belongs to no store until it is committed: comparisons, and two lists of operations, of which the
/// first is run if all comparisons hold, and else the second. Operations go to the first one until `etclite_txn_else`.
/// Nothing of it is checked against a store before it is committed. It must be freed by `etclite_txn_free`.
///
/// Errors: `FULL`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_new(txn: *mut *mut etclite_txn, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let txn = out_pointer(txn)?;
            *txn = handle::publish(Builder(Mutex::default()))?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Adds a comparison of a key's value, bytewise, by an operator `ETCLITE_COMPARE_..`. It holds for no key that does not
/// exist, whatever the operator. All comparisons of a txn must hold; they see the store as it was before the txn.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_if_value(
    txn: *mut etclite_txn,
    key: *const u8,
    key_len: usize,
    op: u32,
    value: *const u8,
    value_len: usize,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the bytes.
    unsafe {
        enter(err, || {
            let compare = by_value(bytes(key, key_len)?.into(), op, bytes(value, value_len)?)?;
            compare_too(txn, compare)
        })
    }
}

/// Adds a comparison of one of a key's numbers, `ETCLITE_TARGET_..` other than its value, by an operator
/// `ETCLITE_COMPARE_..`. That a key does not exist is `ETCLITE_TARGET_VERSION` equal to 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_if_int(
    txn: *mut etclite_txn,
    key: *const u8,
    key_len: usize,
    target: u32,
    op: u32,
    number: i64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the bytes.
    unsafe {
        enter(err, || {
            let compare = by_number(number_of(target, bytes(key, key_len)?.into())?, op, number)?;
            compare_too(txn, compare)
        })
    }
}

/// Adds a comparison that must hold for every key of a range, named as for `etclite_range`; `flags` are
/// `ETCLITE_RANGE_PREFIX` and `ETCLITE_RANGE_FROM_KEY`. The value is for `ETCLITE_TARGET_VALUE`, the number for all other
/// targets; the one that is not used must be empty, or 0. An empty range is judged as a key that does not exist.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_if_range(
    txn: *mut etclite_txn,
    key: *const u8,
    key_len: usize,
    end: *const u8,
    end_len: usize,
    flags: u32,
    target: u32,
    op: u32,
    value: *const u8,
    value_len: usize,
    number: i64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the bytes.
    unsafe {
        enter(err, || {
            check_flags(flags, ETCLITE_RANGE_PREFIX | ETCLITE_RANGE_FROM_KEY)?;
            let range = keys(key, key_len, end, end_len, flags)?;
            let value = bytes(value, value_len)?;
            let compare = match (target, value, number) {
                (ETCLITE_TARGET_VALUE, value, 0) => by_value(range, op, value)?,
                (_, [], number) => by_number(number_of(target, range)?, op, number)?,
                _ => return Err(Failure::invalid("a value and a number")),
            };
            compare_too(txn, compare)
        })
    }
}

fn compare_too(txn: *mut etclite_txn, compare: Compare) -> Result<i32, Failure> {
    change(txn, |parts| {
        parts.compares.push(compare);
        Ok(())
    })
}

fn number_of(target: u32, range: KeyRange) -> Result<CompareOn<i64>, Failure> {
    Ok(match target {
        ETCLITE_TARGET_VERSION => Compare::version(range),
        ETCLITE_TARGET_CREATE => Compare::create_revision(range),
        ETCLITE_TARGET_MOD => Compare::mod_revision(range),
        ETCLITE_TARGET_LEASE => Compare::lease(range),
        _ => return Err(Failure::invalid("a target that is unknown, or no number")),
    })
}

fn by_number(on: CompareOn<i64>, op: u32, number: i64) -> Result<Compare, Failure> {
    Ok(match op {
        ETCLITE_COMPARE_EQUAL => on.eq(number),
        ETCLITE_COMPARE_GREATER => on.gt(number),
        ETCLITE_COMPARE_LESS => on.lt(number),
        ETCLITE_COMPARE_NOT_EQUAL => on.ne(number),
        _ => return Err(Failure::invalid("an unknown operator")),
    })
}

fn by_value(range: KeyRange, op: u32, value: &[u8]) -> Result<Compare, Failure> {
    let on = Compare::value(range);
    Ok(match op {
        ETCLITE_COMPARE_EQUAL => on.eq(value),
        ETCLITE_COMPARE_GREATER => on.gt(value),
        ETCLITE_COMPARE_LESS => on.lt(value),
        ETCLITE_COMPARE_NOT_EQUAL => on.ne(value),
        _ => return Err(Failure::invalid("an unknown operator")),
    })
}

/// Has the txn run only while a lock is held that `mutex` holds now: committed after that was lost, neither list is run, and
/// the answer is `SESSION_EXPIRED`. That is decided by the store, in the order of all writes, and not by what this process
/// believes. The mutex may be unlocked or freed afterwards. Of several fences all must hold.
///
/// Errors: `LOCK_RELEASED` if the mutex holds no lock; `SESSION_EXPIRED` if it is known to have lost it; `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_fenced(
    txn: *mut etclite_txn,
    mutex: *const etclite_mutex,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            let token = token_of(mutex)?;
            change(txn, |parts| {
                parts.fences.push(token);
                Ok(())
            })
        })
    }
}

/// Operations go from now on to the list that is run if all comparisons hold.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_then(txn: *mut etclite_txn, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe { enter(err, || go_to(txn, false)) }
}

/// Operations go from now on to the list that is run if a comparison does not hold.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_else(txn: *mut etclite_txn, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe { enter(err, || go_to(txn, true)) }
}

fn go_to(txn: *mut etclite_txn, in_else: bool) -> Result<i32, Failure> {
    change(txn, |parts| {
        parts.in_else = in_else;
        Ok(())
    })
}

/// Adds a put, as `etclite_put`. A txn may put a key once. `options` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_put(
    txn: *mut etclite_txn,
    key: *const u8,
    key_len: usize,
    value: *const u8,
    value_len: usize,
    options: *const etclite_put_options,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes and the options.
    unsafe { enter(err, || add(txn, put_of((key, key_len), (value, value_len), options)?)) }
}

/// Adds a read of a range, as `etclite_range`. It sees what the operations before it did. `options` may be null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_range(
    txn: *mut etclite_txn,
    key: *const u8,
    key_len: usize,
    end: *const u8,
    end_len: usize,
    options: *const etclite_range_options,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes and the options.
    unsafe { enter(err, || add(txn, range_of(key, key_len, end, end_len, options)?.with_count())) }
}

/// Adds a read of one key. Its result is empty if the key is not there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_get(
    txn: *mut etclite_txn,
    key: *const u8,
    key_len: usize,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the bytes.
    unsafe { enter(err, || add(txn, Range::new(bytes(key, key_len)?).with_count())) }
}

/// Adds a delete, as `etclite_delete`: its result has the count, and the keys if `ETCLITE_DELETE_PREV_KV` asks for them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_delete(
    txn: *mut etclite_txn,
    key: *const u8,
    key_len: usize,
    end: *const u8,
    end_len: usize,
    flags: u32,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the bytes.
    unsafe { enter(err, || add(txn, delete_of(key, key_len, end, end_len, flags)?)) }
}

/// Adds another txn as an operation, and takes it over: if this returns `ETCLITE_OK`, its handle `nested` has ended, and
/// need not be freed. Its comparisons see the store as it was before the outermost txn.
///
/// Errors: `INVALID_ARGUMENT` if the nested txn has a fence; `TOO_MANY_OPS` above 128 levels.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_nested(
    txn: *mut etclite_txn,
    nested: *mut etclite_txn,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            change(txn, |parts| {
                let pinned = handle::pin::<Builder>(nested)?;
                // A txn in itself finds its own lock held.
                let mut taken = pinned.0.try_lock().ok_or(Failure::misuse())?;
                parts.nest(&mut taken)?;
                // If another thread has just freed it, that is as well.
                handle::end(&pinned);
                Ok(())
            })
        })
    }
}

/// Forgets everything that was added, as if the txn were new.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_reset(txn: *mut etclite_txn, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            change(txn, |parts| {
                *parts = Parts::default();
                Ok(())
            })
        })
    }
}

/// Runs a txn: all that it changes, in one revision, or nothing. Durable on return as the store was opened. A comparison
/// that does not hold is no error: `*succeeded` is 0 then, and 1 if all held. `result` may be null, or gets what the
/// operations answered, which must be freed by `etclite_txn_result_free`.
///
/// The txn stays as it was built: it may be committed again, to any store, by several threads at once, be added to, or be
/// emptied by `etclite_txn_reset`.
///
/// Errors: `SESSION_EXPIRED` if the lock behind a fence was lost; `DUPLICATE_KEY`, `TOO_MANY_OPS`; those of its
/// operations, each of which fails the whole txn; as `etclite_put`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_commit(
    db: *const etclite_db,
    txn: *const etclite_txn,
    succeeded: *mut i32,
    result: *mut *mut etclite_txn_result,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameters.
    unsafe {
        enter(err, || {
            let result = out_pointer_or_null(result);
            let succeeded = out(succeeded)?;
            let database = database(db)?;
            let parts = handle::pin::<Builder>(txn)?.0.lock().clone();
            let response = database.db.execute(parts.build())?;
            let (held, wrote) = (response.succeeded, etclite::host::may_have_written(&response));
            if let Some(result) = result {
                let answers = Answers::new(&database.db, response);
                *result = handle::publish(answers).map_err(|failure| failure.after(wrote))?;
            }
            *succeeded = held.into();
            Ok(ETCLITE_OK)
        })
    }
}

/// Frees a txn. Null is allowed and does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_txn_free(txn: *mut etclite_txn) -> i32 {
    enter_free(|| if txn.is_null() { Ok(()) } else { handle::free::<Builder>(txn) })
}

#[cfg(test)]
mod tests;
