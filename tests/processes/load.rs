//! The worker that is killed: threads that write as fast as they can and tell each acknowledgement, one line each.
//!
//! | line | meaning |
//! |---|---|
//! | `recovered R` | the store is open, at revision R |
//! | `MS e T R ITEMS` | thread T was told revision R; each item is `+key=value` or `-key` |
//! | `MS g T ID` | lease ID was granted |
//! | `MS i T ID` | lease ID is about to be revoked |
//! | `MS r T ID R ITEMS` | it was, with its keys |
//! | `MS c T R` | history below R was compacted |
//!
//! `MS` is the time since the start in milliseconds. Keys of thread T start with `T/`; those that a short lease may end
//! at any time start with `expiring/`.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use etclite::{Db, Delete, Error, LeaseId, Op, OpResponse, Put, PutOptions};

use crate::random::Random;
use crate::worker::{options, say};

/// The variable with what to do: `PATH SEED THREADS OPTIONS..`.
pub(crate) const ORDER: &str = "ETCLITE_PROCESSES_LOAD";
/// How the parent knows a key that may go by itself.
pub(crate) const EXPIRING: &str = "expiring/";

const KEYS: u64 = 24;
const LONG: Duration = Duration::from_secs(1_000_000);
const SHORT: Duration = Duration::from_millis(20);

/// Opens and writes until it is killed.
pub(crate) fn run() -> ExitCode {
    let order = std::env::var(ORDER).unwrap();
    let words: Vec<&str> = order.split(' ').collect();
    let (seed, threads): (u64, u64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
    say("opening");
    let db = match options(&words[3..]).open(words[0]) {
        Ok(db) => db,
        Err(error) => {
            say(&format!("failed to open: {error}"));
            return ExitCode::FAILURE;
        }
    };
    say(&format!("recovered {}", db.stats().recovered_revision));
    let started = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..threads {
            let writer = Writer { db: db.clone(), number, random: Random::new(seed ^ (number << 32)), started };
            scope.spawn(move || writer.run());
        }
    });
    ExitCode::FAILURE
}

struct Writer {
    db: Db,
    number: u64,
    random: Random,
    started: Instant,
}

impl Writer {
    fn run(mut self) {
        for counter in 0u64.. {
            if let Err(error) = self.step(counter) {
                // Nothing fails here: the parent treats this line as an error of the test.
                return say(&format!("failed: {error}"));
            }
        }
    }

    fn tell(&self, kind: char, rest: &str) {
        say(&format!("{} {kind} {} {rest}", self.started.elapsed().as_millis(), self.number));
    }

    fn key(&mut self) -> String {
        format!("{}/{:02}", self.number, self.random.below(KEYS))
    }

    fn value(&mut self, counter: u64) -> String {
        let padding = usize::try_from(self.random.below(500)).unwrap();
        format!("{}.{counter}.{:016x}{}", self.number, self.random.next(), "x".repeat(padding))
    }

    fn step(&mut self, counter: u64) -> Result<(), Error> {
        match self.random.below(100) {
            0..50 => {
                let (key, value) = (self.key(), self.value(counter));
                let revision = self.db.put(&key, &value)?.revision;
                self.tell('e', &format!("{revision} +{key}={value}"));
            }
            50..65 => {
                let key = self.key();
                let response = self.db.delete(key.as_str())?;
                if response.deleted > 0 {
                    self.tell('e', &format!("{} -{key}", response.revision));
                }
            }
            65..80 => self.txn(counter)?,
            80..90 => self.lease()?,
            90..98 => self.short_lease(counter)?,
            _ if self.number == 0 => self.compact()?,
            _ => {}
        }
        Ok(())
    }

    fn txn(&mut self, counter: u64) -> Result<(), Error> {
        let (first, second) = (format!("{}/txn", self.number), self.key());
        let gone = format!("{}/gone", self.number);
        let (one, two) = (self.value(counter), self.value(counter));
        let flip: Op =
            if counter.is_multiple_of(2) { Put::new(&gone, &one).into() } else { Delete::new(gone.as_str()).into() };
        let ops: [Op; 3] = [Put::new(&first, &one).into(), Put::new(&second, &two).into(), flip];
        let response = self.db.txn().then(ops).commit()?;
        let last = match &response.responses[2] {
            OpResponse::Put(_) => format!(" +{gone}={one}"),
            OpResponse::Delete(deleted) if deleted.deleted > 0 => format!(" -{gone}"),
            _ => String::new(),
        };
        self.tell('e', &format!("{} +{first}={one} +{second}={two}{last}", response.revision));
        Ok(())
    }

    /// Grants a lease, attaches a key, and sometimes revokes it with the key.
    fn lease(&mut self) -> Result<(), Error> {
        let id = i64::try_from(self.random.next() >> 1).unwrap();
        let lease = self.db.grant_with_id(id, LONG)?;
        self.tell('g', &id.to_string());
        let key = format!("{}/lease/{id}", self.number);
        let revision = self.db.put_with(&key, "held", PutOptions::new().lease(LeaseId::new(id)))?.revision;
        self.tell('e', &format!("{revision} +{key}=held"));
        if self.random.below(3) > 0 {
            self.tell('i', &id.to_string());
            let revision = lease.revoke()?;
            self.tell('r', &format!("{id} {revision} -{key}"));
        }
        Ok(())
    }

    /// A lease that ends by itself, perhaps before its key is put.
    fn short_lease(&mut self, counter: u64) -> Result<(), Error> {
        let lease = self.db.grant(SHORT)?;
        let (key, value) = (format!("{EXPIRING}{}", self.number), self.value(counter));
        match self.db.put_with(&key, &value, PutOptions::new().lease(lease.id())) {
            Ok(response) => self.tell('e', &format!("{} +{key}={value}", response.revision)),
            Err(Error::LeaseNotFound) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn compact(&mut self) -> Result<(), Error> {
        let revision = self.db.revision() - 300;
        if revision <= self.db.compact_revision() {
            return Ok(());
        }
        self.db.compact(revision)?;
        self.tell('c', &revision.to_string());
        Ok(())
    }
}
