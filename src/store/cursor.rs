//! A cursor over one run, forward or in reverse.
//!
//! Forward order is the order of the file. Reverse order walks the keys from the highest to the lowest, but the versions
//! of one key still from the newest to the oldest, so that a reader picks the version at its revision in the same way.
//! Entries can only be decoded forward; going back therefore decodes a group of eight (see `run/index.rs`) and keeps
//! where in it keys begin, and takes them from the end:
//!
//! ```text
//!   group 4:  b9 b7 | c5 | d8 d6 d1 | e3 |       starts: b9 c5 d8 e3, popped from the right;
//!             ^       ^    ^          ^          then group 3 is decoded
//! ```
//!
//! A group in which no key begins lies inside the history of one key, and the index says where that key begins.

use std::sync::Arc;

use crate::error::Result;
use crate::store::block::Header;
use crate::store::entry::EntryRef;
use crate::store::merge::Source;
use crate::store::run::data::Hold;
use crate::store::run::index::{GROUP, Target};
use crate::store::run::{Run, VERSIONS_WALKED_MAX};

/// See the module. Not positioned until the first seek; after an error, positioned nowhere.
pub(crate) struct RunCursor {
    run: Arc<Run>,
    reverse: bool,
    /// The current entry: where it begins, and its head.
    at: Option<(u64, Header)>,
    /// Owns the bytes of the current entry if the run is not mapped.
    hold: Hold,
    behind: Behind,
}

/// What a reverse cursor has not walked over yet.
#[derive(Default)]
struct Behind {
    /// Where keys of the decoded group begin, ascending, with the heads found there.
    starts: Vec<(u64, Header)>,
    /// The group to decode next, and the offset at which what is left of it ends; `None` is the beginning of the run.
    group: Option<(u64, u64)>,
    /// The key taken last; each must begin before it, or the file leads in circles.
    last: u64,
}

impl RunCursor {
    pub(crate) fn new(run: Arc<Run>, reverse: bool) -> RunCursor {
        RunCursor { run, reverse, at: None, hold: Hold::default(), behind: Behind::default() }
    }

    /// Forward: goes to the first entry whose key is at or above `key`. Reverse: to the newest entry of the last key
    /// below `key`.
    pub(crate) fn seek(&mut self, key: &[u8]) -> Result<()> {
        if self.reverse && *key > *self.run.info.last_key {
            return self.seek_last();
        }
        self.at = None;
        let found = self.run.find(Target::key(key))?;
        if self.reverse {
            self.turn_back(found.group, found.offset)
        } else {
            self.load(found.offset.max(self.run.begin))
        }
    }

    /// Goes to the newest entry of the lowest key.
    pub(crate) fn seek_first(&mut self) -> Result<()> {
        self.behind = Behind::default();
        self.load(self.run.begin)
    }

    /// Goes to the newest entry of the highest key.
    pub(crate) fn seek_last(&mut self) -> Result<()> {
        self.at = None;
        let found = self.run.find(Target::after(&self.run.info.last_key))?;
        self.turn_back(found.group, found.offset)
    }

    /// The current entry; `None` past the end.
    #[inline]
    pub(crate) fn entry(&self) -> Option<EntryRef<'_>> {
        let (offset, header) = self.at.as_ref()?;
        header.entry(self.run.data.held(*offset, header.len, &self.hold)?)
    }

    /// Goes to the next entry in the cursor's order; past the end it stays there.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<()> {
        let Some((offset, header)) = self.at.take() else { return Ok(()) };
        let next = header.next(offset);
        if !self.reverse {
            return self.load(next);
        }
        if next < self.run.end {
            let older = self.run.header(next, &mut self.hold)?;
            if !older.newest {
                return self.hold_entry(next, older);
            }
        }
        self.previous_key()
    }

    /// Goes to the next key in the cursor's order, over all older versions of this one.
    pub(crate) fn next_key(&mut self) -> Result<()> {
        let Some((offset, header)) = self.at.take() else { return Ok(()) };
        if self.reverse {
            return self.previous_key();
        }
        let mut next = header.next(offset);
        for _ in 0..VERSIONS_WALKED_MAX {
            if next >= self.run.end {
                return Ok(());
            }
            let following = self.run.header(next, &mut self.hold)?;
            if following.newest {
                return self.hold_entry(next, following);
            }
            next = following.next(next);
        }
        let key = self.run.entry(offset, &header, &mut self.hold)?.key.to_vec();
        let found = self.run.find(Target::after(&key))?;
        // Never back: a file that leads in circles would be read forever.
        self.load(found.offset.max(next))
    }

    #[inline]
    fn load(&mut self, offset: u64) -> Result<()> {
        self.at = None;
        if offset >= self.run.end {
            return Ok(());
        }
        let header = self.run.header(offset, &mut self.hold)?;
        self.hold_entry(offset, header)
    }

    #[inline]
    fn hold_entry(&mut self, offset: u64, header: Header) -> Result<()> {
        self.run.entry(offset, &header, &mut self.hold)?;
        self.at = Some((offset, header));
        Ok(())
    }

    /// Goes to the last key that begins before `limit`, which is in `group` or ends it.
    fn turn_back(&mut self, group: u64, limit: u64) -> Result<()> {
        let limit = limit.min(self.run.end);
        self.behind = Behind { starts: Vec::new(), group: Some((group, limit)), last: limit };
        self.previous_key()
    }

    /// Goes to the newest entry of the highest key not yet walked over.
    fn previous_key(&mut self) -> Result<()> {
        self.at = None;
        while self.behind.starts.is_empty() {
            let Some((group, limit)) = self.behind.group else { return Ok(()) };
            self.decode_group(group, limit)?;
        }
        let Some((start, header)) = self.behind.starts.pop() else { return Ok(()) };
        if start >= self.behind.last {
            return Err(self.run.data.corrupt(start, "the index leads in circles"));
        }
        self.behind.last = start;
        if start < self.run.begin {
            self.behind = Behind::default();
            return Ok(());
        }
        self.hold_entry(start, header)
    }

    /// Finds the keys that begin in a group, before `limit`.
    fn decode_group(&mut self, group: u64, limit: u64) -> Result<()> {
        let (run, first) = (&self.run, self.run.group_start(group)?);
        let mut offset = first;
        for _ in 0..GROUP {
            if offset >= limit {
                break;
            }
            let header = run.header(offset, &mut self.hold)?;
            if header.newest {
                self.behind.starts.push((offset, header));
            }
            offset = header.next(offset);
        }
        self.behind.group = group.checked_sub(1).map(|before| (before, u64::MAX));
        if self.behind.starts.is_empty() && first < limit && group > 0 {
            let header = run.header(first, &mut self.hold)?;
            let found = run.find(Target::key(run.entry(first, &header, &mut self.hold)?.key))?;
            let header = run.header(found.offset, &mut self.hold)?;
            self.behind.starts.push((found.offset, header));
            // All other keys of the group where it begins are before it.
            self.behind.group = Some((found.group, found.offset));
        }
        Ok(())
    }
}

impl Source for RunCursor {
    #[inline]
    fn entry(&self) -> Option<EntryRef<'_>> {
        RunCursor::entry(self)
    }

    #[inline]
    fn advance(&mut self) -> Result<()> {
        RunCursor::advance(self)
    }

    fn next_key(&mut self) -> Result<()> {
        RunCursor::next_key(self)
    }
}
