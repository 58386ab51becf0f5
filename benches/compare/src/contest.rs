//! The contest: load everybody, then ask each question in rounds.
//!
//! In a round every store has its turn, the first one another each time, with the floor measured before and after.
//! Whatever else the machine does therefore meets all of them alike, and only ratios inside a round are trusted. Round 0
//! warms caches and is thrown away.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::disk::{self, Disk};
use crate::floor::{FLOOR_MAX, Floor};
use crate::measure::{Latencies, Sample, Spread};
use crate::processor::{self, Watch};
use crate::question::{Question, Work};
use crate::store::{Contestant, Mode, Result, Store};
use crate::work::{self, Amount};
use crate::workload::mix;

/// Everything that was measured for one question.
pub struct Answer {
    /// The question.
    pub question: &'static Question,
    /// Who took part; samples are in this order.
    pub contestants: Vec<Contestant>,
    /// The rounds that count.
    pub rounds: Vec<Round>,
    /// Rounds with a slow floor that were thrown away.
    pub repeated: usize,
}

/// One round of one question.
pub struct Round {
    /// Times of the floor before and after the stores.
    pub floor: Spread,
    /// Flushes for each sync of the floor, if the disk tells.
    pub floor_flushes: Option<f64>,
    /// The part of all processors' time that other processes and the kernel's threads took, if the system tells.
    pub others: Option<f64>,
    /// One sample for each contestant.
    pub samples: Vec<Sample>,
}

/// The stores, open or not, and what is needed to measure them.
pub struct Contest {
    dir: PathBuf,
    disk: Option<Disk>,
    floor: Floor,
    amount: Amount,
    entrants: Vec<Entrant>,
}

struct Entrant {
    contestant: Contestant,
    dir: PathBuf,
    store: Option<Box<dyn Store>>,
    mode: Mode,
}

impl Contest {
    /// Creates and loads all stores below `dir`.
    pub fn load(dir: &Path, contestants: &[Contestant], amount: Amount) -> Result<Contest> {
        let mut entrants: Vec<Entrant> = Vec::new();
        for contestant in contestants {
            let started = Instant::now();
            let sibling = entrants.iter().find(|e| e.contestant.family == contestant.family).map(|e| e.dir.clone());
            entrants.push(Entrant::load(*contestant, dir.join(contestant.name), sibling.as_deref(), &amount)?);
            eprintln!("loaded {:<16} {:6.1} s", contestant.name, started.elapsed().as_secs_f64());
        }
        let floor = Floor::create(dir)?;
        wait_until_idle();
        disk::write_back(dir)?;
        Ok(Contest { dir: dir.to_owned(), disk: Disk::of(dir), floor, amount, entrants })
    }

    /// Asks one question in `rounds` rounds that count. Up to `repeats_max` rounds with a slow floor are thrown away and
    /// made again; those after them stay, and make the answer void.
    pub fn ask(&mut self, question: &'static Question, rounds: usize, repeats_max: usize) -> Result<Answer> {
        let started = Instant::now();
        for entrant in self.entrants.iter_mut().filter(|e| question.is_for(&e.contestant)) {
            entrant.open(question.mode)?;
            if question.work == Work::GetHot {
                work::heat(entrant.store()?, self.amount.keys)?;
            }
        }
        let contestants: Vec<Contestant> =
            self.entrants.iter().map(|e| e.contestant).filter(|c| question.is_for(c)).collect();
        self.round(question, 0)?;
        let mut counting = Vec::new();
        let mut repeated = 0;
        while counting.len() < rounds {
            let round = self.round(question, counting.len() + repeated + 1)?;
            if round.floor.p50 > FLOOR_MAX.as_nanos() as f64 && repeated < repeats_max {
                repeated += 1;
            } else {
                counting.push(round);
            }
        }
        eprintln!("asked  {:<16} {:6.1} s", question.id, started.elapsed().as_secs_f64());
        Ok(Answer { question, contestants, rounds: counting, repeated })
    }

    fn round(&mut self, question: &Question, number: usize) -> Result<Round> {
        let watch = Watch::start();
        let mut floor = Latencies::with_capacity(self.amount.syncs);
        let before = self.burst(&mut floor)?;
        let players: Vec<&Entrant> = self.entrants.iter().filter(|e| question.is_for(&e.contestant)).collect();
        let mut turns: Vec<usize> = (0..players.len()).collect();
        turns.rotate_left(number % players.len().max(1));
        let mut samples: Vec<(usize, Sample)> = Vec::new();
        for turn in turns {
            samples.push((turn, self.sample(players[turn], question, number)?));
        }
        samples.sort_unstable_by_key(|(turn, _)| *turn);
        let samples = samples.into_iter().map(|(_, sample)| sample).collect();
        let after = self.burst(&mut floor)?;
        let syncs = floor.count().max(1) as f64;
        let floor_flushes = before.zip(after).map(|(a, b)| (a + b) as f64 / syncs);
        Ok(Round { floor: floor.spread(), floor_flushes, others: watch.others(), samples })
    }

    /// Half of the round's floor; the flushes that it took.
    fn burst(&mut self, floor: &mut Latencies) -> Result<Option<u64>> {
        disk::write_back(&self.dir)?;
        let before = self.counters();
        self.floor.burst(self.amount.syncs / 2, floor)?;
        Ok(before.zip(self.counters()).map(|(before, after)| after.since(before).flushes))
    }

    /// One turn of one store. Bytes are counted until its background work has ended and everything is written back, so
    /// that the next store inherits neither; flushes only while it runs, since those of the writing back are not its own.
    fn sample(&self, entrant: &Entrant, question: &Question, round: usize) -> Result<Sample> {
        let seed = mix(round as u64);
        if !question.work.writes() {
            return work::work(entrant.store()?, question.work, &self.amount, seed);
        }
        disk::write_back(&self.dir)?;
        let before = self.counters();
        let mut sample = work::work(entrant.store()?, question.work, &self.amount, seed)?;
        let after = self.counters();
        wait_until_idle();
        disk::write_back(&self.dir)?;
        let settled = self.counters();
        if let (Some(before), Some(after), Some(settled)) = (before, after, settled) {
            let mut used = settled.since(before);
            used.flushes = after.since(before).flushes;
            sample.disk = Some(used);
        }
        Ok(sample)
    }

    fn counters(&self) -> Option<disk::Counters> {
        self.disk.as_ref()?.counters()
    }

    /// Closes all stores.
    pub fn close(self) -> Result<()> {
        self.entrants.into_iter().filter_map(|entrant| entrant.store).try_for_each(Store::close)
    }
}

impl Entrant {
    fn load(contestant: Contestant, dir: PathBuf, sibling: Option<&Path>, amount: &Amount) -> Result<Entrant> {
        let mode = Mode::Relaxed;
        if let Some(sibling) = sibling {
            copy_dir(sibling, &dir)?;
            return Ok(Entrant { contestant, dir, store: None, mode });
        }
        fs::create_dir_all(&dir)?;
        let store = (contestant.open)(&dir, mode)?;
        work::load(store.as_ref(), amount.keys)?;
        store.settle()?;
        let mut entrant = Entrant { contestant, dir, store: Some(store), mode };
        if contestant.on_disk {
            entrant.close()?;
        }
        Ok(entrant)
    }

    /// Opens the store in this mode, unless it is. What lives in memory alone has no modes and stays open.
    fn open(&mut self, mode: Mode) -> Result<()> {
        if self.store.is_some() && (self.mode == mode || !self.contestant.on_disk) {
            return Ok(());
        }
        self.close()?;
        self.store = Some((self.contestant.open)(&self.dir, mode)?);
        self.mode = mode;
        Ok(())
    }

    fn store(&self) -> Result<&dyn Store> {
        self.store.as_deref().ok_or_else(|| format!("{} is not open", self.contestant.name).into())
    }

    fn close(&mut self) -> Result<()> {
        self.store.take().map_or(Ok(()), Store::close)
    }
}

/// Waits for background threads, such as those that flush and merge: until this process uses next to no processor time,
/// or for [`IDLE_WAIT_MAX`].
fn wait_until_idle() {
    let started = Instant::now();
    loop {
        let before = processor::own();
        thread::sleep(IDLE_STEP);
        if processor::own() - before < IDLE_STEP / 10 || started.elapsed() > IDLE_WAIT_MAX {
            return;
        }
    }
}

const IDLE_STEP: Duration = Duration::from_millis(10);
const IDLE_WAIT_MAX: Duration = Duration::from_secs(3);

fn copy_dir(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::question::QUESTIONS;
    use crate::stores;

    /// Every store answers every question, and all of them read the same bytes.
    #[test]
    fn stores_agree() {
        let dir = std::env::temp_dir().join(format!("etclite-compare-test-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let amount = Amount { keys: 2_000, slice: Duration::from_millis(5), gets: 320, ranges: 40, syncs: 4 };
        let mut contest = Contest::load(&dir, &stores::all(), amount).unwrap();
        for question in QUESTIONS {
            let answer = contest.ask(question, 1, 0).unwrap();
            let samples = &answer.rounds[0].samples;
            assert_eq!(samples.len(), answer.contestants.len());
            assert!(samples.iter().all(|sample| sample.ops > 0 && sample.checksum == samples[0].checksum));
        }
        contest.close().unwrap();
        fs::remove_dir_all(&dir).unwrap();
    }
}
