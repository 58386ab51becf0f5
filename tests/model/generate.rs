//! Sequences of operations from a seed, or from the bytes of a fuzzer.
//!
//! The alphabets are small on purpose: a few keys that are prefixes and neighbours of one another, a few leases,
//! revisions around the head and the edge of compaction. What is interesting is collisions, so nearly every operation
//! meets what earlier ones left.

#![allow(dead_code, reason = "each test binary that includes this file uses its own part of it")]

use super::reference::{
    AdvanceOp, Blob, CALLERS_MAX, CompareOp, DeleteOp, GrantOp, Model, Op, Operand, PutOp, RangeOp, Relation, SortBy,
    Span, TokenOp, TxnItem, TxnOp, WatchOp,
};
use std::time::Duration;

/// A sequence of `length` operations. The same seed gives the same sequence, for ever.
pub(crate) fn sequence(seed: u64, length: usize, profile: &Profile) -> Vec<Op> {
    sequence_of(&mut Draws::from_seed(seed), length, profile)
}

/// A sequence from any source of draws. The model runs along, so that revisions near its head can be chosen.
pub(crate) fn sequence_of(draws: &mut Draws<'_>, length: usize, profile: &Profile) -> Vec<Op> {
    let mut model = Model::new();
    let mut ops = Vec::new();
    while ops.len() < length && !draws.is_exhausted() {
        let op = operation(draws, profile, &model);
        // A failure is as welcome as an answer; only the model's state matters here.
        drop(model.apply(&op));
        ops.push(op);
    }
    ops
}

/// What a target can do: the rest is not generated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Profile {
    /// Time passes ([`Op::Advance`], and time closed in [`Op::Reopen`]): needs a target with a clock that stands still.
    pub(crate) time: bool,
    /// The store is closed and opened again.
    pub(crate) reopen: bool,
    /// Watchers that stay open between operations.
    pub(crate) watchers: bool,
    /// Watch filters of WA-08.
    pub(crate) watch_filters: bool,
    /// Hashes of revisions.
    pub(crate) hashes: bool,
    /// Writes with an operation id, and repetitions of them.
    pub(crate) ids: bool,
    /// Durable cursors.
    pub(crate) cursors: bool,
    /// Cursors with a budget: needs a target that looks at it when the model does.
    pub(crate) lapses: bool,
}

impl Profile {
    /// Everything there is.
    pub(crate) const ALL: Profile = Profile {
        time: true,
        reopen: true,
        watchers: true,
        watch_filters: true,
        hashes: true,
        ids: true,
        cursors: true,
        lapses: true,
    };
}

/// One source of choices: a seeded generator (SplitMix64, Steele et al. 2014), or given bytes and then zeros.
pub(crate) enum Draws<'a> {
    Seed(u64),
    Bytes(&'a [u8]),
}

impl<'a> Draws<'a> {
    pub(crate) fn from_seed(seed: u64) -> Self {
        Draws::Seed(seed)
    }

    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Self {
        Draws::Bytes(bytes)
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        matches!(self, Draws::Bytes([]))
    }

    fn next(&mut self) -> u64 {
        match self {
            Draws::Seed(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
            Draws::Bytes(bytes) => {
                let (first, rest) = bytes.split_first().unwrap_or((&0, &[]));
                *bytes = rest;
                u64::from(*first)
            }
        }
    }

    /// A number below `bound`, which is at most 256 where bytes decide.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in `percent` of 100 draws.
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        let index = usize::try_from(self.below(choices.len() as u64)).expect("below the length of a slice");
        choices[index].clone()
    }
}

/// Neighbours, prefixes of one another, with the bytes 0x00 and 0xff at either end of the order.
pub(crate) const KEYS: [&[u8]; 14] = [
    b"a",
    b"a\0",
    b"a\0b",
    b"aa",
    b"ab",
    b"b",
    b"b\xff",
    b"b\xff\xff",
    b"ba",
    b"c",
    b"\0",
    b"\0\0",
    b"\xff",
    b"\xff\xff",
];
const VALUES: [&str; 5] = ["", "v1", "v2", "v10", "\0"];
const LEASES: [i64; 4] = [1, 2, 3, -7];
const TTLS_MICROS: [u64; 8] = [0, 1, 1_000, 1_001, 5_000, 20_000, 60_000, 250_000];
/// Some so close that they share a lease.
const PUT_TTLS_MS: [u64; 10] = [0, 1, 5, 16, 20, 90, 100, 103, 1_600, 1_625];
/// Lock delays: mostly none.
const DELAYS_MS: [u64; 6] = [0, 0, 0, 1, 5, 40];
const STEPS_MS: [u64; 6] = [0, 1, 2, 5, 20, 100];
const WATCHERS: u64 = 3;
const OPERATIONS: u64 = 9;
const CURSORS: [&str; 3] = ["one", "two", "three"];
const NESTING_MAX: u32 = 3;

fn operation(draws: &mut Draws<'_>, profile: &Profile, model: &Model) -> Op {
    let of_cursor = profile.cursors && draws.chance(12);
    let op = if of_cursor { cursor(draws, profile, model) } else { plain(draws, profile, model) };
    if profile.ids && draws.chance(20) { once(draws, model, op) } else { op }
}

fn cursor(draws: &mut Draws<'_>, profile: &Profile, model: &Model) -> Op {
    let name = Blob::from(draws.pick(&CURSORS));
    match draws.below(10) {
        0..4 => {
            // Few definitions, so that a cursor is found again.
            let span = Span { key: "a".into(), end: draws.pick(&["", "b", "c", "\0"]).into() };
            let at = if draws.chance(50) { None } else { Some(revision(draws, model)) };
            let max_lag = if profile.lapses { draws.pick(&[0, 0, 1, 4]) } else { 0 };
            Op::CreateCursor { name, span, no_delete: draws.chance(10), max_lag, at }
        }
        4 => Op::ResetCursor { name, to: revision(draws, model) },
        5 => Op::DropCursor(name),
        6 if profile.watchers => Op::WatchCursor { slot: slot(draws), name },
        _ => {
            // As a consumer does, together with what it writes.
            let write = draws.chance(70).then(|| TxnItem::Put(put(draws, model)));
            let then = write.into_iter().chain([advance(draws, model)]).collect();
            Op::Txn(TxnOp { then, ..TxnOp::default() })
        }
    }
}

/// Mostly from where the cursor stands.
fn advance(draws: &mut Draws<'_>, model: &Model) -> TxnItem {
    let name = Blob::from(draws.pick(&CURSORS));
    let at = model.cursors().into_iter().find(|(known, ..)| *known == name).map(|(_, position, _)| position);
    let from = at.filter(|_| draws.chance(85)).unwrap_or_else(|| revision(draws, model));
    let to = if draws.chance(70) {
        from.max(model.revision() - draws.below(3).min(model.revision() - 1))
    } else {
        revision(draws, model)
    };
    TxnItem::Advance(AdvanceOp { name, from, to })
}

/// A write under an id, or one that was sent before.
fn once(draws: &mut Draws<'_>, model: &Model, op: Op) -> Op {
    let since = if draws.chance(50) { None } else { Some(revision(draws, model)) };
    let known: Vec<(u128, Op)> = model.remembered().iter().map(|known| (known.id, known.op.clone())).collect();
    if !known.is_empty() && draws.chance(50) {
        let (id, op) = draws.pick(&known);
        return Op::Once { id, since, op: Box::new(op) };
    }
    let id = u128::from(1 + draws.below(OPERATIONS));
    match op {
        Op::Put(_)
        | Op::Delete(_)
        | Op::Txn(_)
        | Op::Grant { .. }
        | Op::Revoke(_)
        | Op::CreateCursor { .. }
        | Op::ResetCursor { .. }
        | Op::DropCursor(_) => Op::Once { id, since, op: Box::new(op) },
        other => other,
    }
}

fn plain(draws: &mut Draws<'_>, profile: &Profile, model: &Model) -> Op {
    match draws.below(100) {
        0..22 => Op::Put(put(draws, model)),
        22..32 => Op::Delete(delete(draws)),
        32..46 => Op::Range(range(draws, model)),
        46..66 => Op::Txn(txn(draws, model, 0)),
        66..71 => Op::Compact(revision(draws, model)),
        71..73 if profile.hashes => Op::Hash(revision(draws, model)),
        73..80 => Op::Grant(grant(draws)),
        80..83 => Op::Revoke(lease(draws)),
        83..85 => Op::KeepAlive(lease(draws)),
        85..86 => Op::TimeToLive(lease(draws)),
        86..87 => Op::Leases,
        87..91 if profile.watchers => Op::Watch { slot: slot(draws), watch: watch(draws, profile, model) },
        91..94 if profile.watchers => Op::Drain(slot(draws)),
        94..95 if profile.watchers => Op::Progress(slot(draws)),
        95..98 if profile.time => Op::Advance { ms: draws.pick(&STEPS_MS) },
        98..99 if profile.reopen => {
            let elapsed_ms = if profile.time { draws.pick(&STEPS_MS) } else { 0 };
            Op::Reopen { elapsed_ms, renewed: profile.time && draws.chance(30) }
        }
        _ => Op::Put(put(draws, model)),
    }
}

fn put(draws: &mut Draws<'_>, model: &Model) -> PutOp {
    let ignore_value = draws.chance(8);
    let ignore_lease = draws.chance(8);
    // Mostly well formed: a flag with the value or lease that it forbids now and then.
    let value = if ignore_value && draws.chance(85) { Blob::default() } else { draws.pick(&VALUES).into() };
    let has_lease = if ignore_lease { draws.chance(10) } else { draws.chance(35) };
    let lease = if has_lease { lease_in_use(draws, model) } else { 0 };
    // Mostly without a lease, which it may not have.
    let ttl_ms = draws.chance(if lease == 0 && !ignore_lease { 15 } else { 2 }).then(|| draws.pick(&PUT_TTLS_MS));
    PutOp { key: key(draws), value, lease, ttl_ms, prev_kv: draws.chance(40), ignore_value, ignore_lease }
}

fn delete(draws: &mut Draws<'_>) -> DeleteOp {
    DeleteOp { span: span(draws), prev_kv: draws.chance(50) }
}

fn range(draws: &mut Draws<'_>, model: &Model) -> RangeOp {
    let sorted = draws.chance(40);
    let sorts = [SortBy::Key, SortBy::Version, SortBy::Create, SortBy::Mod, SortBy::Value];
    let mut filter = |percent| if draws.chance(percent) { revision(draws, model) } else { 0 };
    let [min_mod, max_mod, min_create, max_create] = [filter(8), filter(8), filter(8), filter(8)];
    RangeOp {
        span: span(draws),
        revision: if draws.chance(50) { 0 } else { revision(draws, model) },
        limit: if draws.chance(50) { 0 } else { draws.below(5) },
        target: if sorted { draws.pick(&sorts) } else { SortBy::Key },
        descend: sorted && draws.chance(60),
        keys_only: draws.chance(15),
        count_only: draws.chance(10),
        with_count: draws.chance(20),
        min_mod,
        max_mod,
        min_create,
        max_create,
    }
}

fn txn(draws: &mut Draws<'_>, model: &Model, depth: u32) -> TxnOp {
    let compares = (0..draws.pick(&[0, 1, 1, 2])).map(|_| compare(draws, model)).collect();
    let fences = if depth == 0 { draws.pick(&[0, 0, 0, 0, 0, 0, 1, 2]) } else { 0 };
    let fences = (0..fences).map(|_| token(draws, model)).collect();
    let mut branch = |counts: &[u32]| (0..draws.pick(counts)).map(|_| item(draws, model, depth)).collect();
    TxnOp { fences, compares, then: branch(&[0, 1, 2, 2, 3]), or_else: branch(&[0, 0, 1, 2]) }
}

fn item(draws: &mut Draws<'_>, model: &Model, depth: u32) -> TxnItem {
    if !model.cursors().is_empty() && draws.chance(12) {
        return advance(draws, model);
    }
    match draws.below(20) {
        0..7 => TxnItem::Put(put(draws, model)),
        7..10 => TxnItem::Delete(delete(draws)),
        10..13 => from_key_delete(draws),
        13..16 if depth < NESTING_MAX => TxnItem::Txn(txn(draws, model, depth + 1)),
        16 => TxnItem::Grant(grant(draws)),
        17 => TxnItem::Revoke(lease_in_use(draws, model)),
        _ => {
            let mut range = range(draws, model);
            // A bad revision fails the whole txn; too many of them and nothing else is ever seen.
            if draws.chance(80) {
                range.revision = 0;
            }
            TxnItem::Range(range)
        }
    }
}

/// The delete that may stand beside a put of the same key (TX-10).
fn from_key_delete(draws: &mut Draws<'_>) -> TxnItem {
    let span = Span { key: Blob::from(draws.pick(&KEYS)), end: Blob(vec![0]) };
    TxnItem::Delete(DeleteOp { span, prev_kv: draws.chance(50) })
}

fn compare(draws: &mut Draws<'_>, model: &Model) -> CompareOp {
    let number = i64::try_from(revision(draws, model)).expect("revisions of a short sequence are small");
    if draws.chance(20) {
        return lease_compare(draws, model);
    }
    let operand = match draws.below(6) {
        0 => Operand::Version(draws.pick(&[-1, 0, 0, 1, 2, 3])),
        1 => Operand::Create(number),
        2 => Operand::Mod(number),
        3 => Operand::Lease(if draws.chance(40) { 0 } else { lease(draws) }),
        4 => Operand::Create(0),
        _ => Operand::Value(draws.pick(&VALUES).into()),
    };
    let relation = draws.pick(&[Relation::Equal, Relation::NotEqual, Relation::Greater, Relation::Less]);
    CompareOp { span: span(draws), operand, relation }
}

/// A compare that asks for a lease.
fn lease_compare(draws: &mut Draws<'_>, model: &Model) -> CompareOp {
    let relation = Relation::Equal;
    if draws.chance(50) {
        let operand = Operand::Alive(if draws.chance(5) { 0 } else { lease(draws) });
        return CompareOp { span: Span::default(), operand, relation };
    }
    let TokenOp { key, create, lease } = token(draws, model);
    CompareOp { span: Span { key, end: Blob::default() }, operand: Operand::Held { create, lease }, relation }
}

/// The token of a key that has a lease, if there is one: mostly as it is, else a little wrong.
fn token(draws: &mut Draws<'_>, model: &Model) -> TokenOp {
    let state = model.state(model.revision());
    let locks: Vec<TokenOp> = state
        .values()
        .filter(|kv| kv.lease != 0 && kv.lease <= CALLERS_MAX)
        .map(|kv| TokenOp { key: kv.key.clone(), create: kv.create, lease: kv.lease })
        .collect();
    if locks.is_empty() {
        return TokenOp { key: key(draws), create: revision(draws, model), lease: lease(draws) };
    }
    let mut token = draws.pick(&locks);
    match draws.below(12) {
        0 => token.key = key(draws),
        1 => token.create = revision(draws, model),
        2 => token.lease = if draws.chance(20) { 0 } else { lease(draws) },
        _ => {}
    }
    token
}

fn grant(draws: &mut Draws<'_>) -> GrantOp {
    let ttl = match draws.below(40) {
        0 => Duration::from_secs(9_000_000_000),
        1 => Duration::new(9_000_000_000, 1),
        _ => Duration::from_micros(draws.pick(&TTLS_MICROS)),
    };
    let delay_ms = if draws.below(40) == 0 { 60_001 } else { draws.pick(&DELAYS_MS) };
    GrantOp { id: draws.pick(&LEASES), ttl, delay_ms }
}

fn watch(draws: &mut Draws<'_>, profile: &Profile, model: &Model) -> WatchOp {
    let mut filter = || profile.watch_filters && draws.chance(15);
    let [no_put, no_delete] = [filter(), filter()];
    WatchOp { span: span(draws), from: revision(draws, model), prev_kv: draws.chance(60), no_put, no_delete }
}

fn slot(draws: &mut Draws<'_>) -> u8 {
    u8::try_from(draws.below(WATCHERS)).expect("few watchers")
}

fn key(draws: &mut Draws<'_>) -> Blob {
    if draws.chance(1) { Blob::default() } else { Blob::from(draws.pick(&KEYS)) }
}

fn span(draws: &mut Draws<'_>) -> Span {
    let key = key(draws);
    let end = match draws.below(20) {
        0..11 => Blob::default(),
        11..15 => Blob(prefix_end(&key)),
        15..17 => Blob(vec![0]),
        // Any two keys: in the wrong order, or equal, about half of the time.
        _ => Blob::from(draws.pick(&KEYS)),
    };
    Span { key, end }
}

/// The end of the range of all keys that begin with `key` (RV-09).
fn prefix_end(key: &[u8]) -> Vec<u8> {
    let mut end = key.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

/// Around the head, around the edge of compaction, anywhere between, or 0.
fn revision(draws: &mut Draws<'_>, model: &Model) -> u64 {
    let (head, compacted) = (model.revision(), model.compact_revision());
    match draws.below(12) {
        0..2 => 0,
        2..4 => head,
        4 => head + 1,
        5 => head + 1 + draws.below(4),
        6 => compacted,
        7 => compacted + 1,
        8 => compacted.saturating_sub(1),
        9 => head - 1,
        _ => compacted + draws.below(head - compacted + 1),
    }
}

fn lease(draws: &mut Draws<'_>) -> i64 {
    draws.pick(&LEASES)
}

/// One that exists, if there is one and mostly: an unknown lease fails a whole txn.
fn lease_in_use(draws: &mut Draws<'_>, model: &Model) -> i64 {
    let existing: Vec<i64> = LEASES.into_iter().filter(|id| model.lease_exists(*id)).collect();
    if existing.is_empty() || draws.chance(10) { lease(draws) } else { draws.pick(&existing) }
}
