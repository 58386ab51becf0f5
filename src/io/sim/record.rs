//! The one ordered record of everything that was done to a disk, and what of it is pending at any place.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use parking_lot::Mutex;

use super::content::Content;
use super::crash::{self, Limits};
use super::{Image, SplitMix64};
use crate::io::{IoSite, parent_of};

/// One change, as it was made. Reads and failed calls change nothing and are not recorded.
#[derive(Clone, Debug)]
pub struct Op {
    /// Where in the program it was made.
    pub site: IoSite,
    /// What was done.
    pub kind: OpKind,
}

/// What a change does. Files are known by number: names come and go, files stay.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum OpKind {
    Write {
        file: usize,
        offset: u64,
        data: Arc<[u8]>,
    },
    SetLen {
        file: usize,
        len: u64,
    },
    /// A sync that succeeded.
    Sync {
        file: usize,
    },
    /// A sync that failed and dropped what was pending, as Linux does.
    Lose {
        file: usize,
    },
    Name(Change),
    SyncDir {
        path: Arc<str>,
    },
}

/// A change of a directory.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Change {
    CreateDir { path: Arc<str> },
    Create { path: Arc<str>, file: usize },
    Rename { from: Arc<str>, to: Arc<str>, node: Node },
    Remove { path: Arc<str>, file: usize },
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Dir,
    /// The file of that number.
    File(usize),
}

/// Names and what they stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(pub(super) BTreeMap<Arc<str>, Node>);

impl Names {
    /// Carries out a change, or as much of it as still makes sense when earlier ones were lost.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::CreateDir { path } => drop(self.0.insert(path.clone(), Node::Dir)),
            Change::Create { path, file } => drop(self.0.insert(path.clone(), Node::File(*file))),
            Change::Remove { path, file } => self.forget(path, Node::File(*file)),
            Change::Rename { from, to, node } => {
                self.forget(from, *node);
                if *node == Node::Dir {
                    self.move_below(from, to);
                }
                self.0.insert(to.clone(), *node);
            }
        }
    }

    fn forget(&mut self, path: &str, node: Node) {
        if self.0.get(path) == Some(&node) {
            self.0.remove(path);
        }
    }

    fn move_below(&mut self, from: &str, to: &str) {
        let moved: Vec<_> =
            self.0.iter().filter_map(|(path, node)| Some((path.clone(), *node, moved(path, from, to)?))).collect();
        for (old, node, new) in moved {
            self.0.remove(&old);
            self.0.insert(new, node);
        }
    }
}

/// Where a path below `from` is once that has become `to`.
fn moved(path: &str, from: &str, to: &str) -> Option<Arc<str>> {
    let rest = path.strip_prefix(from)?;
    rest.starts_with('/').then(|| format!("{to}{rest}").into())
}

impl Change {
    /// The directories that hold the names in question.
    fn dirs(&self) -> Vec<Arc<str>> {
        match self {
            Change::CreateDir { path } | Change::Create { path, .. } | Change::Remove { path, .. } => {
                vec![parent_of(path).into()]
            }
            Change::Rename { from, to, .. } => {
                let mut dirs = vec![parent_of(from).into(), parent_of(to).into()];
                dirs.dedup();
                dirs
            }
        }
    }
}

/// What was done to a disk from an image on. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Record(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    initial: Image,
    ops: Vec<Op>,
    /// The state at the place last asked for, so that going forward costs each operation once.
    last: Mutex<Option<Replay>>,
}

impl Record {
    pub(super) fn new(initial: Image, ops: Vec<Op>) -> Self {
        Record(Arc::new(Inner { initial, ops, last: Mutex::new(None) }))
    }

    /// The operations in order.
    pub fn ops(&self) -> &[Op] {
        &self.0.ops
    }

    /// The disk before the first of them.
    pub fn initial(&self) -> &Image {
        &self.0.initial
    }

    /// The places where a crash differs from the one before: before each operation, and after the last.
    pub fn crash_points(&self) -> RangeInclusive<usize> {
        0..=self.0.ops.len()
    }

    /// Builds images that a crash may leave once the first `position` operations were issued, within the usual
    /// limits. Equal images may come more than once.
    pub fn images_at(&self, position: usize, rng: &mut SplitMix64, visit: &mut dyn FnMut(Image)) {
        self.images_within(&Limits::default(), position, rng, visit);
    }

    /// The same within other limits.
    pub fn images_within(&self, limits: &Limits, position: usize, rng: &mut SplitMix64, visit: &mut dyn FnMut(Image)) {
        self.at(position, |replay, ops| crash::enumerate(replay, ops, limits, rng, visit));
    }

    /// What is certain to be there after a crash at `position`, and nothing more.
    pub fn durable_at(&self, position: usize) -> Image {
        self.at(position, |replay, ops| crash::extreme(replay, ops, false))
    }

    /// What is there if everything pending happens to reach the disk.
    pub fn complete_at(&self, position: usize) -> Image {
        self.at(position, |replay, ops| crash::extreme(replay, ops, true))
    }

    fn at<T>(&self, position: usize, f: impl FnOnce(&Replay, &[Op]) -> T) -> T {
        let position = position.min(self.0.ops.len());
        // Taken out, not held: `f` may come back here.
        let last = self.0.last.lock().take().filter(|replay| replay.position <= position);
        let mut replay = last.unwrap_or_else(|| Replay::new(&self.0.initial));
        replay.advance(&self.0.ops[..position]);
        let result = f(&replay, &self.0.ops);
        *self.0.last.lock() = Some(replay);
        result
    }
}

/// Durable and pending, at one place of a record. Pending operations are kept by their place.
#[derive(Debug)]
pub(super) struct Replay {
    position: usize,
    pub(super) files: Vec<FileState>,
    pub(super) names: Names,
    /// Starts with one that is not durable; later ones may be, but the order among them matters.
    pub(super) changes: Vec<PendingChange>,
}

#[derive(Debug)]
pub(super) struct FileState {
    pub(super) durable: Content,
    pub(super) pending: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct PendingChange {
    pub(super) op: usize,
    /// The directories that are still to be synced; when none is left, it is durable.
    pub(super) unsynced: Vec<Arc<str>>,
}

impl Replay {
    /// How many operations it has seen.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    fn new(initial: &Image) -> Self {
        let (names, contents) = initial.to_parts();
        let files = contents.into_iter().map(|durable| FileState { durable, pending: Vec::new() }).collect();
        Replay { position: 0, files, names, changes: Vec::new() }
    }

    /// Goes on to the end of `ops`.
    fn advance(&mut self, ops: &[Op]) {
        for at in self.position..ops.len() {
            match &ops[at].kind {
                OpKind::Write { file, .. } | OpKind::SetLen { file, .. } => self.files[*file].pending.push(at),
                OpKind::Sync { file } => self.files[*file].sync(ops),
                OpKind::Lose { file } => self.files[*file].pending.clear(),
                OpKind::Name(change) => self.change(at, change),
                OpKind::SyncDir { path } => self.sync_dir(path, ops),
            }
        }
        self.position = ops.len();
    }

    fn change(&mut self, at: usize, change: &Change) {
        match change {
            Change::Create { .. } => {
                self.files.push(FileState { durable: Content::default(), pending: Vec::new() });
            }
            Change::Rename { from, to, node: Node::Dir } => {
                for dir in self.changes.iter_mut().flat_map(|change| &mut change.unsynced) {
                    if let Some(new) = if dir == from { Some(to.clone()) } else { moved(dir, from, to) } {
                        *dir = new;
                    }
                }
            }
            _ => {}
        }
        self.changes.push(PendingChange { op: at, unsynced: change.dirs() });
    }

    fn sync_dir(&mut self, path: &str, ops: &[Op]) {
        for change in &mut self.changes {
            change.unsynced.retain(|dir| &**dir != path);
        }
        let done = self.changes.iter().take_while(|change| change.unsynced.is_empty()).count();
        for change in self.changes.drain(..done) {
            if let OpKind::Name(change) = &ops[change.op].kind {
                self.names.apply(change);
            }
        }
    }
}

impl FileState {
    fn sync(&mut self, ops: &[Op]) {
        for at in self.pending.drain(..) {
            match &ops[at].kind {
                OpKind::Write { offset, data, .. } => self.durable.write(data, *offset),
                OpKind::SetLen { len, .. } => self.durable.set_len(*len),
                _ => {}
            }
        }
    }
}
