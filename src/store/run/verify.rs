//! Verifying a run: everything that is written down twice must agree.

use crate::error::Result;
use crate::store::block::{BLOCK_BYTES, Header};
use crate::store::entry::EntryRef;
use crate::store::run::data::Hold;
use crate::store::run::footer::Tally;
use crate::store::run::hash::bucket_count;
use crate::store::run::index::{BoundsBuilder, GROUP, Target};
use crate::store::run::{Run, key_hash};

/// See [`Run::verify`].
pub(super) fn verify(run: &Run, progress: &mut dyn FnMut(u64)) -> Result<()> {
    for block in 0..run.data.len() / BLOCK_BYTES as u64 {
        run.data.verify_block(block)?;
        progress(BLOCK_BYTES as u64);
    }
    entries(run)?;
    hash_is_full(run)?;
    progress(run.info.len - run.data.len());
    Ok(())
}

/// Walks over all entries and compares them with index, hash, bounds and properties.
fn entries(run: &Run) -> Result<()> {
    let (mut tally, mut bounds, mut offset) = (Tally::default(), BoundsBuilder::default(), 0);
    let mut hold = Hold::default();
    while offset < run.layout.entries_len {
        if tally.entries().is_multiple_of(GROUP) && run.group_start(tally.entries() / GROUP)? != offset {
            return Err(run.data.corrupt(offset, "the index has another separator"));
        }
        let header = run.header(offset, &mut hold)?;
        let entry = run.entry(offset, &header, &mut hold)?;
        match tally.push(entry) {
            None => return Err(run.data.corrupt(offset, "entries are out of order")),
            Some(newest) if newest != header.newest => {
                return Err(run.data.corrupt(offset, "an entry is wrongly marked as newest"));
            }
            Some(_) => ways_in(run, offset, &header, entry)?,
        }
        bounds.push(offset, u32::try_from(offset / 8).unwrap_or(u32::MAX), header.mod_revision);
        offset = header.next(offset);
    }
    block_bounds(run, bounds)?;
    if run.properties != tally.finish() {
        return Err(run.data.corrupt(run.layout.properties, "properties differ from the entries"));
    }
    Ok(())
}

/// The index leads to this entry; if it is the newest of its key, the hash does too.
fn ways_in(run: &Run, offset: u64, header: &Header, entry: EntryRef<'_>) -> Result<()> {
    if !header.newest {
        return Ok(());
    }
    if run.find(Target::key(entry.key))?.offset != offset {
        return Err(run.data.corrupt(offset, "the index does not lead to an entry"));
    }
    if run.newest(entry.key, key_hash(entry.key), &mut Hold::default())? != Some(offset) {
        return Err(run.data.corrupt(offset, "the hash does not lead to an entry"));
    }
    Ok(())
}

fn block_bounds(run: &Run, expected: BoundsBuilder) -> Result<()> {
    let expected = expected.build(run.layout.entries_len);
    let stored = run.data.read(run.layout.bounds, expected.len(), &mut Hold::default())?.to_vec();
    if stored != expected {
        return Err(run.data.corrupt(run.layout.bounds, "bounds of blocks differ from the entries"));
    }
    Ok(())
}

/// Every key was found in the hash; if it has no more slots taken than there are keys, it leads nowhere else.
fn hash_is_full(run: &Run) -> Result<()> {
    let (mut used, mut hold) = (0, Hold::default());
    for number in 0..bucket_count(run.layout.keys) {
        used += run.bucket(number, &mut hold)?.used();
    }
    if used != run.layout.keys {
        return Err(run.data.corrupt(run.layout.hash, "the hash holds more keys than the run"));
    }
    Ok(())
}
