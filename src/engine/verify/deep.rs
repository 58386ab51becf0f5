//! What a deep check adds: the state computed anew, from the oldest retained revision on.
//!
//! Keys are independent of one another, so it is computed key by key, from what is stored of each:
//!
//! - The oldest change above the compact revision creates the key, unless the key was there at the compact revision.
//! - A read as of each revision at which the key changed finds that change, and a read as of now the last one.
//! - A scan finds as many keys as there are, as of now and as of the compact revision.
//!
//! What keys share is counted: the changes of a revision are numbered from zero without a gap, so each change of each
//! revision above the compact one must be there once. A revision without any change is no fault: a store that was imported
//! may have some.

use std::collections::{BTreeMap, BTreeSet};

use super::{CheckReport, Ticks, entry_bytes};
use crate::error::Result;
use crate::store::Version;
use crate::store::entry::Entry;
use crate::store::key::all_user_keys;
use crate::store::merge::{Retention, Source};

pub(super) fn check(
    version: &Version,
    revision: u64,
    compacted: u64,
    ticks: &mut Ticks<'_>,
    report: &mut CheckReport,
) -> Result<()> {
    let bounds = all_user_keys();
    let mut merged = version.history(&bounds, revision)?;
    let mut sought = Sought { version, revision, compacted, live: BTreeMap::new(), places: Vec::new() };
    let mut of_key: Vec<Entry> = Vec::new();
    while let Some(entry) = merged.to_entry().filter(|entry| *entry.key < *bounds.end) {
        ticks.add(entry_bytes(&entry));
        if of_key.last().is_some_and(|last| last.key != entry.key) {
            sought.key(&std::mem::take(&mut of_key), report)?;
        }
        // A memtable takes writes meanwhile.
        if entry.mod_revision <= revision {
            of_key.push(entry);
        }
        merged.advance()?;
    }
    sought.key(&of_key, report)?;
    sought.scans(report)?;
    sought.count(report);
    Ok(())
}

struct Sought<'v> {
    version: &'v Version,
    revision: u64,
    compacted: u64,
    /// How many keys are live as of the revisions that are scanned.
    live: BTreeMap<u64, u64>,
    /// Revision and sub-revision of each change above the compact revision.
    places: Vec<(u64, u32)>,
}

impl Sought<'_> {
    /// Looks at all that is stored of a key, newest first.
    fn key(&mut self, stored: &[Entry], report: &mut CheckReport) -> Result<()> {
        let Some(newest) = stored.first() else { return Ok(()) };
        let mut keeps = Retention { compact_revision: self.compacted, bottom: true }.key(&newest.key);
        let retained: Vec<&Entry> = stored.iter().filter(|e| keeps.keeps(e.mod_revision, e.tombstone)).collect();
        if let Some(oldest) = retained.last().filter(|oldest| oldest.mod_revision > self.compacted) {
            let creates = !oldest.tombstone && oldest.version == 1 && oldest.create_revision == oldest.mod_revision;
            if !creates {
                report.add("", "the change that created a key is missing");
            }
        }
        let mut newer = None;
        for entry in &retained {
            if entry.mod_revision > self.compacted {
                self.places.push((entry.mod_revision, entry.sub));
            }
            // Of two changes in one revision, readers see the last.
            if newer != Some(entry.mod_revision) {
                self.reads(entry, entry.mod_revision, report)?;
            }
            newer = Some(entry.mod_revision);
        }
        self.reads(newest, self.revision, report)?;
        for at in BTreeSet::from([self.revision, self.compacted]) {
            let seen = stored.iter().find(|entry| entry.mod_revision <= at);
            *self.live.entry(at).or_default() += u64::from(seen.is_some_and(|entry| !entry.tombstone));
        }
        Ok(())
    }

    fn reads(&self, expected: &Entry, at: u64, report: &mut CheckReport) -> Result<()> {
        let found = self.version.get(&expected.key, at)?;
        // Once it is compacted, a tombstone and nothing at all are the same.
        if found.as_ref() != Some(expected) && !(found.is_none() && expected.tombstone) {
            report.add("", format!("a read as of revision {at} does not find what is stored"));
        }
        Ok(())
    }

    fn scans(&self, report: &mut CheckReport) -> Result<()> {
        for (at, count) in &self.live {
            let (mut scan, mut found) = (self.version.scan(all_user_keys(), *at, false)?, 0);
            while scan.next()?.is_some() {
                found += 1;
            }
            if found != *count {
                report.add("", format!("a scan as of revision {at} finds {found} keys of {count}"));
            }
        }
        Ok(())
    }

    fn count(&mut self, report: &mut CheckReport) {
        self.places.sort_unstable();
        let mut next = (0, 0);
        for &(revision, sub) in &self.places {
            let expected = if revision == next.0 { next.1 } else { 0 };
            if sub != expected {
                report.add("", format!("a change of revision {revision} is missing, or there twice"));
            }
            next = (revision, sub.saturating_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::*;
    use crate::engine::verify::CheckOptions;
    use crate::memtable::Memtable;
    use crate::store::key::user_key;

    fn entry(key: &str, [mod_revision, sub, create_revision, version]: [u64; 4]) -> Entry {
        let sub = u32::try_from(sub).expect("small");
        let key = user_key(key.as_bytes());
        let tombstone = version == 0;
        Entry { key, mod_revision, sub, create_revision, version, lease: 0, tombstone, value: Bytes::new() }
    }

    /// `a` put, put, deleted, put again; `b` and `c` in one revision.
    fn history() -> Vec<Entry> {
        vec![
            entry("a", [2, 0, 2, 1]),
            entry("b", [3, 0, 3, 1]),
            entry("c", [3, 1, 3, 1]),
            entry("a", [4, 0, 2, 2]),
            entry("a", [5, 0, 0, 0]),
            entry("a", [6, 0, 6, 1]),
        ]
    }

    fn problems(entries: &[Entry], compacted: u64) -> Vec<String> {
        let memtable = Memtable::default();
        memtable.insert(entries);
        let version = Version { memtables: vec![Arc::new(memtable)], runs: Vec::new(), compacted };
        let (mut report, mut tell) = (CheckReport::default(), |_, _| {});
        let mut ticks = Ticks::new(&version, &CheckOptions { deep: true }, &mut tell);
        check(&version, 6, compacted, &mut ticks, &mut report).expect("memory can be read");
        report.problems.into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn a_history_that_is_whole_is_clean() {
        assert_eq!(problems(&[], 0), [""; 0]);
        for compacted in 0..=6 {
            assert_eq!(problems(&history(), compacted), [""; 0], "compacted at {compacted}");
        }
    }

    #[test]
    fn what_compaction_drops_is_not_missed() {
        let history = history();
        for (compacted, dropped) in [(4, 0), (5, 3), (6, 4)] {
            let kept: Vec<Entry> =
                history.iter().enumerate().filter(|(i, _)| *i != dropped).map(|(_, e)| e.clone()).collect();
            assert_eq!(problems(&kept, compacted), [""; 0], "compacted at {compacted}");
        }
    }

    #[test]
    fn the_change_that_created_a_key_is_missed() {
        assert_eq!(problems(&history()[1..], 0), ["the change that created a key is missing"]);
    }

    #[test]
    fn each_change_of_a_revision_is_missed() {
        let mut first = history();
        first.remove(1);
        assert_eq!(problems(&first, 0), ["a change of revision 3 is missing, or there twice"]);
        let mut twice = history();
        twice[2].sub = 0;
        assert_eq!(problems(&twice, 0), ["a change of revision 3 is missing, or there twice"]);
    }
}
