//! A counter guarded by a lock, under paused holders, lost leases, crashes and reopens (testing.md 5.1).
//!
//! The lock is the plainest that can be made of leases and txns: a key per client under one prefix, owned by the oldest;
//! who is not the oldest waits until those before it are gone. Clients are outside the store's process: they survive its
//! crashes with their tokens, are paused for longer than their leases live, and learn of a loss only when they ask. Each
//! in turn reads the counter, and later writes it, one more, through its fence. In a run everything comes from one seed.
//!
//! What must hold: the counter ends at the number of writes that succeeded; of the lock's holders the tokens strictly rise;
//! an outside system that refuses tokens below the largest it has seen is never written by an earlier holder afterwards;
//! and two clients believe at once that they hold the lock only if the earlier one's key had gone before.

use std::collections::BTreeMap;
use std::panic::catch_unwind;

use etclite::io::IoSite;
use etclite::io::sim::{Fault, FaultKind, Image, Limits, SimClock, SimDisk, SplitMix64};
use etclite::sabotage::{Bug, plant};
use etclite::testing::{expire, step};
use etclite::{
    Compare, Db, Delete, Error, EventKind, GrantOptions, Op, OpResponse, Put, Range, Result, SortOrder, SortTarget,
    Token, Watch, prefix,
};

use super::rig::{TINY, ms, open_sim};

const CLIENTS: usize = 4;
const STEPS: usize = 120;
const COUNTER: &str = "counter";
const LOCKS: &str = "lock/";

#[test]
fn guarded_counter_under_paused_holders_lease_loss_crash_and_reopen() {
    let runs = std::env::var("ETCLITE_RUNS").map_or(2_000, |count| count.parse().unwrap());
    let first = std::env::var("ETCLITE_SEED").map_or(1, |seed| seed.parse().unwrap());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let met = std::thread::scope(|scope| {
        let work = |from: u64| move || (from..first + runs).step_by(workers).map(World::run).sum();
        let threads: Vec<_> = (first..).take(workers).map(|from| scope.spawn(work(from))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<Met>()
    });
    eprintln!("{runs} runs: {met:?}");
    assert!(runs < 2_000 || met.is_enough(runs), "{met:?}");
}

/// The runs can fail: without fences a holder that was paused overwrites what others have counted.
#[test]
fn s27_fence_not_checked() {
    plant(Some(Bug::FenceNotChecked));
    let caught = (1..=20).find(|seed| catch_unwind(|| World::run(*seed)).is_err());
    plant(None);
    World::run(caught.expect("an update is lost"));
}

/// What happened in runs.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    /// Times that a client came to hold the lock.
    held: u64,
    written: u64,
    /// Writes that a fence refused.
    refused: u64,
    /// Clients that came to hold the lock while an earlier one still believed that it did.
    overlaps: u64,
    /// Releases by a client that had lost the lock, which freed nothing.
    late_releases: u64,
    crashes: u64,
    /// Writes that a crash left in doubt, and that had taken effect.
    doubtful_done: u64,
    /// And those that had not.
    doubtful_undone: u64,
    lapsed: u64,
}

impl Met {
    /// Runs that come to nothing prove nothing.
    fn is_enough(&self, runs: u64) -> bool {
        let often = [self.held, self.written, self.refused, self.overlaps, self.crashes];
        let rarer = [self.late_releases, self.doubtful_done, self.doubtful_undone, self.lapsed];
        often.iter().all(|count| *count >= runs / 2) && rarer.iter().all(|count| *count >= runs / 40)
    }
}

impl std::iter::Sum for Met {
    fn sum<I: Iterator<Item = Met>>(runs: I) -> Met {
        runs.fold(Met::default(), |a, b| Met {
            held: a.held + b.held,
            written: a.written + b.written,
            refused: a.refused + b.refused,
            overlaps: a.overlaps + b.overlaps,
            late_releases: a.late_releases + b.late_releases,
            crashes: a.crashes + b.crashes,
            doubtful_done: a.doubtful_done + b.doubtful_done,
            doubtful_undone: a.doubtful_undone + b.doubtful_undone,
            lapsed: a.lapsed + b.lapsed,
        })
    }
}

/// What a client believes.
#[derive(Clone, Debug)]
enum Belief {
    Idle,
    /// Its key is in the queue.
    Waiting(Token),
    /// It holds the lock; what it has read of the counter, if it has.
    Holding(Token, Option<u64>),
}

struct Client {
    belief: Belief,
    /// It does nothing before this time.
    paused_until: u64,
}

struct World {
    seed: u64,
    rng: SplitMix64,
    disk: SimDisk,
    clock: SimClock,
    now: u64,
    db: Db,
    clients: Vec<Client>,
    next_lease: i64,
    /// What the counter must be: one for each write that succeeded.
    counter: u64,
    /// The tokens of holders so far, all below this.
    newest_token: u64,
    /// The largest token that the system outside has accepted.
    outside: u64,
    /// When each lock key went: the revision.
    gone: BTreeMap<Vec<u8>, u64>,
    watch: Watch,
    met: Met,
}

impl World {
    fn run(seed: u64) -> Met {
        let (disk, clock) = (SimDisk::new(), SimClock::new(seed));
        let db = open_sim(&disk, &clock, TINY);
        db.put(COUNTER, "0").unwrap();
        let watch = db.watch(prefix(LOCKS)).no_put().start().unwrap();
        let clients = (0..CLIENTS).map(|_| Client { belief: Belief::Idle, paused_until: 0 }).collect();
        let (rng, gone, met) = (SplitMix64::new(seed), BTreeMap::new(), Met::default());
        let (now, next_lease, counter, newest_token, outside) = (0, 1, 0, 0, 0);
        let mut world = World {
            seed,
            rng,
            disk,
            clock,
            now,
            db,
            clients,
            next_lease,
            counter,
            newest_token,
            outside,
            gone,
            watch,
            met,
        };
        for _ in 0..STEPS {
            world.step();
        }
        assert_eq!(world.read_counter(), world.counter, "seed {seed}: an update was lost");
        assert!(world.db.check().unwrap().is_clean(), "seed {seed}");
        world.met
    }

    fn step(&mut self) {
        match self.rng.below(40) {
            0..=4 => self.pass(),
            5 | 6 => expire(&self.db).unwrap(),
            7 => drop(step(&self.db).unwrap()),
            8 if self.rng.flip() => self.reopen(),
            9 if self.rng.one_in(3) => self.crash(false),
            _ => self.act(),
        }
    }

    /// Time passes; whether somebody ends what is due is another matter.
    fn pass(&mut self) {
        let by = 1 + self.rng.below(12);
        self.clock.advance(ms(by));
        self.now += by;
    }

    fn act(&mut self) {
        let at = self.rng.index(CLIENTS);
        if self.clients[at].paused_until > self.now {
            return;
        }
        if self.rng.one_in(12) {
            // Up to three times the longest time that a lease has.
            self.clients[at].paused_until = self.now + self.rng.below(90);
            return;
        }
        let belief = std::mem::replace(&mut self.clients[at].belief, Belief::Idle);
        self.clients[at].belief = match belief {
            Belief::Idle => self.enqueue(),
            Belief::Waiting(token) => self.look(at, token),
            Belief::Holding(token, read) => self.hold(token, read),
        };
    }

    /// Grants a lease and joins the queue, in one txn.
    fn enqueue(&mut self) -> Belief {
        let id = self.next_lease;
        self.next_lease += 1;
        let ttl = 5 + self.rng.below(25);
        let delay = if self.rng.one_in(4) { 1 + self.rng.below(15) } else { 0 };
        let key = format!("{LOCKS}{id:x}");
        let grant = GrantOptions::new(ms(ttl)).id(id).lock_delay(ms(delay));
        let done = self.db.txn().then([Op::from(grant), Put::new(&key, "").lease(id).into()]).commit().unwrap();
        Belief::Waiting(Token::new(key, done.revision, id))
    }

    /// The oldest key owns the lock.
    fn look(&mut self, at: usize, token: Token) -> Belief {
        self.keep_alive(&token);
        let oldest = Range::new(prefix(LOCKS)).sort(SortTarget::CreateRevision, SortOrder::Ascend).limit(1);
        let found = self.db.query(oldest).unwrap().kvs;
        self.note_gone();
        if self.gone.contains_key(&token.key[..]) {
            return Belief::Idle;
        }
        if found.first().is_none_or(|kv| kv.key != token.key) {
            return Belief::Waiting(token);
        }
        self.met.held += 1;
        assert!(token.revision.get() > self.newest_token, "seed {}: tokens rise", self.seed);
        self.newest_token = token.revision.get();
        self.explain_overlaps(at);
        Belief::Holding(token, None)
    }

    /// Whoever else still believes that it holds the lock has lost its key.
    fn explain_overlaps(&mut self, at: usize) {
        for (other, client) in self.clients.iter().enumerate() {
            let Belief::Holding(token, _) = &client.belief else { continue };
            if other != at {
                assert!(self.gone.contains_key(&token.key[..]), "seed {}: two hold the lock", self.seed);
                self.met.overlaps += 1;
            }
        }
    }

    fn keep_alive(&mut self, token: &Token) {
        if self.rng.one_in(3) {
            // That the lease is gone is not looked at: such a client is the dangerous one.
            drop(self.db.lease(token.lease).keep_alive());
        }
    }

    fn hold(&mut self, token: Token, read: Option<u64>) -> Belief {
        self.keep_alive(&token);
        match (self.rng.below(8), read) {
            (0, _) => self.release(&token),
            (1, Some(read)) => self.write_into_a_crash(token, read),
            (2..=4, Some(read)) => self.write(token, read),
            (5, _) => {
                self.write_outside(&token);
                Belief::Holding(token, read)
            }
            _ => Belief::Holding(token, Some(self.read_counter())),
        }
    }

    /// The system outside knows nothing of the store: it compares tokens.
    fn write_outside(&mut self, token: &Token) {
        if token.revision.get() >= self.outside {
            self.outside = token.revision.get();
        } else {
            let latest = self.newest_token >= self.outside && token.revision.get() < self.newest_token;
            assert!(latest, "seed {}: it refuses a holder that nobody came after", self.seed);
        }
    }

    /// Writes through the fence; now and then releases the lock in the same revision.
    fn write(&mut self, token: Token, read: u64) -> Belief {
        let release = self.rng.one_in(4);
        match self.fenced_write(&token, read, release) {
            Ok(()) => {
                assert_eq!(read, self.counter, "seed {}: a holder overwrote what it had not read", self.seed);
                self.counter += 1;
                self.met.written += 1;
                if release { Belief::Idle } else { Belief::Holding(token, Some(read + 1)) }
            }
            Err(Error::SessionExpired) => {
                self.met.refused += 1;
                self.must_be_lost(&token);
                Belief::Idle
            }
            Err(other) => panic!("seed {}: {other}", self.seed),
        }
    }

    fn fenced_write(&self, token: &Token, read: u64, release: bool) -> Result<()> {
        let mut ops = vec![Op::from(Put::new(COUNTER, (read + 1).to_string()))];
        if release {
            ops.push(Delete::new(&token.key).into());
        }
        self.db.txn().fenced(token).then(ops).commit().map(drop)
    }

    /// What was refused is never let through again, whoever asks in whatever way.
    fn must_be_lost(&self, token: &Token) {
        let held = self.db.txn().when([Compare::held(token)]).then([Put::new("never", "")]).commit().unwrap();
        assert!(!held.succeeded, "seed {}: {token:?} holds again", self.seed);
    }

    /// The power goes while the write is being made durable: nobody knows whether it was. So one reads.
    fn write_into_a_crash(&mut self, token: Token, read: u64) -> Belief {
        let failures = [
            (IoSite::LogAppend, FaultKind::Eio),
            (IoSite::LogSync, FaultKind::Eio),
            (IoSite::LogSync, FaultKind::SyncLosesData),
        ];
        let (site, kind) = failures[self.rng.index(failures.len())];
        self.disk.fail(Fault { site: Some(site), nth: 1, kind, forever: true });
        let done = self.fenced_write(&token, read, false);
        self.disk.clear_faults();
        let refused = matches!(done, Err(Error::SessionExpired));
        assert!(done.is_err(), "seed {}: nothing was synced", self.seed);
        self.crash(true);
        let now = self.read_counter();
        let before = self.counter;
        if now == before + 1 && !refused {
            assert_eq!(read, before, "seed {}: a lost holder's write took effect", self.seed);
            self.counter = now;
            self.met.doubtful_done += 1;
            return Belief::Holding(token, Some(now));
        }
        assert_eq!(now, before, "seed {}: {done:?}", self.seed);
        self.met.doubtful_undone += 1;
        Belief::Holding(token, None)
    }

    /// Deletes the key, if it still is this holding of the lock.
    fn release(&mut self, token: &Token) -> Belief {
        let before = self.db.count(prefix(LOCKS)).unwrap();
        let released = self.db.txn().fenced(token).then([Delete::new(&token.key)]).commit();
        match released {
            Ok(done) => assert!(matches!(&done.responses[..], [OpResponse::Delete(gone)] if gone.deleted == 1)),
            Err(Error::SessionExpired) => {
                self.met.late_releases += 1;
                self.note_gone();
                let after = self.db.count(prefix(LOCKS)).unwrap();
                let lapsed = self.db.get(&token.key).unwrap().is_some();
                self.met.lapsed += u64::from(lapsed);
                assert!(after == before || !lapsed, "seed {}: a late release frees nothing", self.seed);
            }
            Err(other) => panic!("seed {}: {other}", self.seed),
        }
        Belief::Idle
    }

    fn read_counter(&self) -> u64 {
        let kv = self.db.get(COUNTER).unwrap().unwrap();
        String::from_utf8_lossy(&kv.value).parse().unwrap()
    }

    /// Which lock keys have gone. A poisoned store tells what it had published, and that this is all.
    fn note_gone(&mut self) {
        loop {
            match self.watch.try_next() {
                Ok(Some(batch)) => batch.events().iter().for_each(|event| {
                    assert_eq!(event.kind, EventKind::Delete);
                    self.gone.insert(event.kv.key.to_vec(), event.kv.mod_revision.get());
                }),
                Ok(None) | Err(Error::Poisoned) => return,
                Err(other) => panic!("seed {}: {other}", self.seed),
            }
        }
    }

    fn reopen(&mut self) {
        self.note_gone();
        self.db.close().unwrap();
        self.pass();
        self.open_again();
    }

    /// A power cut, or a kill; of what is not acknowledged anything may be there.
    fn crash(&mut self, in_flight: bool) {
        self.met.crashes += 1;
        self.note_gone();
        let image = self.image(in_flight);
        self.disk.fail(Fault { site: None, nth: 1, kind: FaultKind::Eio, forever: true });
        drop(self.db.close());
        self.disk = SimDisk::from_image(image);
        if self.rng.flip() {
            self.pass();
        }
        self.open_again();
    }

    fn image(&mut self, in_flight: bool) -> Image {
        let (record, position) = (self.disk.record(), self.disk.position());
        if !in_flight {
            return if self.rng.flip() { record.durable_at(position) } else { self.disk.image() };
        }
        let mut images = Vec::new();
        let limits = Limits { exhaustive: 2, each: 2, pairs: 0, random: 2, variations: 1, ..Limits::default() };
        record.images_within(&limits, position, &mut self.rng, &mut |image| images.push(image));
        images.swap_remove(self.rng.index(images.len()))
    }

    fn open_again(&mut self) {
        let from = self.watch.progress() + 1;
        self.db = open_sim(&self.disk, &self.clock, TINY);
        self.watch = self.db.watch(prefix(LOCKS)).no_put().from(from).start().unwrap();
    }
}
