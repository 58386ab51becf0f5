//! What is wrong with a request by its shape alone, found before it is ordered: empty keys, budgets, duplicate keys.
//! `Db::check`, which looks for damage, is in `verify.rs`.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::code;
use crate::error::{Error, Invalid, Result};
use crate::kv::{KeyRange, RangeEnd};
use crate::op::{Op, Txn, check_key};

/// Bounds of a txn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TxnLimits {
    pub(crate) ops_max: usize,
    pub(crate) depth_max: usize,
}

/// Shape errors of a txn, on either branch (TX-07 to TX-11).
pub(crate) fn check_txn(txn: &Txn, limits: TxnLimits) -> Result<()> {
    check_level(txn, limits.ops_max, limits.ops_max, limits.depth_max, 1)?;
    check_intervals(&txn.then)?;
    check_intervals(&txn.or_else)?;
    Ok(())
}

/// Each level counts its longest list against what its parent left over (TX-08).
fn check_level(txn: &Txn, budget: usize, ops_max: usize, depth_max: usize, depth: usize) -> Result<()> {
    let too_large = |what, len: usize, max: usize| Error::TooLarge { what, len: len as u64, max: max as u64 };
    if depth > depth_max {
        return Err(too_large(code::TXN_DEPTH, depth, depth_max));
    }
    let count = txn.compares.len().max(txn.then.len()).max(txn.or_else.len());
    if count > budget {
        return Err(too_large(code::TXN_OPS, ops_max - budget + count, ops_max));
    }
    let argument = |what| Error::InvalidArgument(Invalid::Argument(what));
    for token in &txn.fences {
        check_key(&token.key)?;
    }
    for compare in &txn.compares {
        compare.check()?;
    }
    for op in txn.then.iter().chain(&txn.or_else) {
        match op {
            Op::Put(put) => put.check()?,
            Op::Delete(delete) => check_key(&delete.range.start)?,
            Op::Range(range) => range.check()?,
            Op::Advance(advance) => advance.check()?,
            Op::Txn(nested) if !nested.fences.is_empty() => return Err(argument("a nested txn takes no fences")),
            Op::Txn(nested) => check_level(nested, budget - count, ops_max, depth_max, depth + 1)?,
            Op::Grant(grant) if grant.id.is_none() => return Err(argument("a grant in a txn names its lease")),
            Op::Grant(grant) => grant.check()?,
            Op::Revoke(_) => {}
        }
    }
    Ok(())
}

/// The keys that a list of operations puts, and the ranges that it deletes.
#[derive(Default)]
struct Touched<'a> {
    puts: BTreeSet<&'a [u8]>,
    deletes: Deletes<'a>,
}

/// A union of deleted keys and intervals, kept disjoint so that a look-up is one search.
#[derive(Default)]
struct Deletes<'a> {
    keys: BTreeSet<&'a [u8]>,
    intervals: BTreeMap<&'a [u8], &'a [u8]>,
}

impl<'a> Deletes<'a> {
    /// Ranges without end, and empty ones, meet no put: that is TX-10 (a).
    fn add(&mut self, range: &'a KeyRange) {
        match &range.end {
            RangeEnd::Key => {
                self.keys.insert(&range.start);
            }
            RangeEnd::Before(end) if **end > *range.start => self.add_interval(&range.start, end),
            RangeEnd::Before(_) | RangeEnd::Unbounded => {}
        }
    }

    fn add_interval(&mut self, mut start: &'a [u8], mut end: &'a [u8]) {
        while let Some((&other_start, &other_end)) = self.intervals.range(..=end).next_back() {
            if other_end < start {
                break;
            }
            start = start.min(other_start);
            end = end.max(other_end);
            self.intervals.remove(other_start);
        }
        self.intervals.insert(start, end);
    }

    fn merge(&mut self, other: Deletes<'a>) {
        self.keys.extend(other.keys);
        for (start, end) in other.intervals {
            self.add_interval(start, end);
        }
    }

    fn contains(&self, key: &[u8]) -> bool {
        self.keys.contains(key) || self.intervals.range(..=key).next_back().is_some_and(|(_, end)| key < *end)
    }
}

/// Refuses two puts of a key, and a put of a deleted key, in one list of operations (TX-09).
///
/// The order of the steps is etcd's (`checkIntervals`) and decides what is *not* found (TX-10): the deletes of this
/// level are known before its nested txns are looked at, those of a nested txn only to the siblings behind it.
fn check_intervals(ops: &[Op]) -> Result<Touched<'_>> {
    let mut touched = Touched::default();
    for op in ops {
        if let Op::Delete(delete) = op {
            touched.deletes.add(&delete.range);
        }
    }
    for op in ops {
        if let Op::Txn(nested) = op {
            let then = check_intervals(&nested.then)?;
            let or_else = check_intervals(&nested.or_else)?;
            for key in &then.puts {
                touched.add_put(key)?;
            }
            // One key in both branches of a nested txn is fine: only one of them runs.
            for key in or_else.puts.iter().filter(|key| !then.puts.contains(*key)) {
                touched.add_put(key)?;
            }
            touched.deletes.merge(then.deletes);
            touched.deletes.merge(or_else.deletes);
        }
    }
    for op in ops {
        if let Op::Put(put) = op {
            touched.add_put(&put.key)?;
        }
    }
    Ok(touched)
}

impl<'a> Touched<'a> {
    fn add_put(&mut self, key: &'a [u8]) -> Result<()> {
        if self.deletes.contains(key) || !self.puts.insert(key) {
            return Err(Error::DuplicateKey);
        }
        Ok(())
    }
}
