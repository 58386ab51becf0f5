//! The questions: what is asked, how it is measured, and what etclite has to reach.

use crate::store::{Contestant, Mode};

/// One question, asked of every contestant in every round.
pub struct Question {
    /// Its name in `--questions`.
    pub id: &'static str,
    /// Its heading in the output.
    pub title: &'static str,
    /// What is done.
    pub work: Work,
    /// How durable writes are meanwhile.
    pub mode: Mode,
    /// The figure that ratios are taken of.
    pub headline: Headline,
    /// How many times faster etclite is to be than each peer.
    pub targets: &'static [(&'static str, f64)],
    /// What etclite is to reach by itself.
    pub bound: &'static str,
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Overwrites keys chosen at random, from so many threads, for the length of a slice.
    Put { threads: usize },
    /// Reads keys chosen at random from all keys.
    Get,
    /// Reads keys chosen at random from a few that were just written.
    GetHot,
    /// Reads [`RANGE_LEN`] pairs from a random key on.
    Range,
}

/// The figure that ratios are taken of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headline {
    /// The median time of one operation.
    P50,
    /// Operations in a second.
    PerSecond,
}

/// Pairs in one range.
pub const RANGE_LEN: usize = 100;
/// Keys that are written just before they are read as hot ones.
pub const HOT_KEYS: u64 = 256;

impl Work {
    /// Whether it writes.
    pub fn writes(self) -> bool {
        matches!(self, Work::Put { .. })
    }

    /// Threads that do it.
    pub fn threads(self) -> usize {
        match self {
            Work::Put { threads } => threads,
            _ => 1,
        }
    }
}

impl Question {
    /// Whether this contestant takes part.
    pub fn is_for(&self, contestant: &Contestant) -> bool {
        contestant.only.is_empty() || contestant.only.contains(&self.id)
    }
}

/// All questions in the order in which they are asked: reading first, while all stores still hold the same bytes in their
/// best shape; relaxed writing last, after the stores were opened anew.
pub const QUESTIONS: &[Question] = &[
    Question {
        id: "get-run",
        title: "get, fresh snapshot, uniform, freshly loaded and merged (mean of 16)",
        work: Work::Get,
        mode: Mode::Durable,
        headline: Headline::P50,
        targets: &[("lmdb", 2.0), ("redb", 4.0), ("sqlite", 8.0), ("fjall", 7.0)],
        bound: "",
    },
    Question {
        id: "range",
        title: "range of 100, fresh snapshot, uniform, freshly loaded and merged",
        work: Work::Range,
        mode: Mode::Durable,
        headline: Headline::P50,
        targets: &[("lmdb", 1.5), ("redb", 2.0), ("sqlite", 5.0), ("fjall", 5.0)],
        bound: "",
    },
    Question {
        id: "put-1",
        title: "durable put, 1 thread",
        work: Work::Put { threads: 1 },
        mode: Mode::Durable,
        headline: Headline::P50,
        targets: &[("lmdb", 2.0), ("redb", 1.7), ("sqlite", 1.1), ("sqlite-growing", 2.0), ("fjall", 1.0)],
        bound: "<= 1.10 x floor",
    },
    Question {
        id: "put-16",
        title: "durable puts, 16 threads",
        work: Work::Put { threads: 16 },
        mode: Mode::Durable,
        headline: Headline::PerSecond,
        targets: &[("lmdb", 15.0), ("redb", 12.0), ("sqlite", 8.0), ("fjall", 7.0)],
        bound: "",
    },
    Question {
        id: "put-64",
        title: "durable puts, 64 threads",
        work: Work::Put { threads: 64 },
        mode: Mode::Durable,
        headline: Headline::PerSecond,
        targets: &[("lmdb", 40.0), ("redb", 30.0), ("sqlite", 20.0), ("fjall", 18.0)],
        bound: ">= 110 k/s on 2 cores",
    },
    Question {
        id: "get-hot",
        title: "get, fresh snapshot, 256 keys just written: memtable or warm pages (mean of 16)",
        work: Work::GetHot,
        mode: Mode::Durable,
        headline: Headline::P50,
        targets: &[("lmdb", 2.0), ("redb", 6.0), ("sqlite", 25.0), ("fjall", 4.0)],
        bound: "<= 100 ns",
    },
    Question {
        id: "relaxed",
        title: "relaxed puts, 1 thread",
        work: Work::Put { threads: 1 },
        mode: Mode::Relaxed,
        headline: Headline::PerSecond,
        targets: &[("lmdb", 8.0), ("lmdb-writemap", 1.9), ("redb", 8.0), ("sqlite", 12.0), ("fjall", 1.3)],
        bound: ">= 500 k/s",
    },
];
