//! The engine against the model: on a simulated disk and clock, with sizes so small that segments roll, memtables rotate
//! and runs merge every few operations.

use std::sync::Arc;
use std::time::Duration;

use etclite::io::sim::{SimClock, SimDisk};
use etclite::testing::{Knobs, expire, open_on, step, with_knobs};
use etclite::{Db, Options};

use super::db::{DbTarget, Host, model_options};
use super::generate::Profile;
use super::harness::check_seeds;

/// A store on a simulated disk, whose background work is done between operations.
pub(crate) struct Simulated {
    disk: SimDisk,
    clock: SimClock,
    knobs: Knobs,
}

impl Simulated {
    pub(crate) fn new(knobs: Knobs) -> Self {
        Simulated { disk: SimDisk::new(), clock: SimClock::new(1), knobs }
    }
}

impl Host for Simulated {
    fn open(&mut self) -> Db {
        let options = with_knobs(model_options(Options::new()), self.knobs);
        open_on(Arc::new(self.disk.clone()), Arc::new(self.clock.clone()), options).expect("opens")
    }

    fn advance(&mut self, ms: u64, db: Option<&Db>) {
        self.clock.advance(Duration::from_millis(ms));
        if let Some(db) = db {
            expire(db).expect("ends what is due");
            while step(db).expect("works") {}
        }
    }
}

pub(crate) const TINY: Knobs = Knobs {
    segment_bytes: 16 << 10,
    fill_bytes: 4 << 10,
    memtable_bytes: 1 << 10,
    merge_runs: 2,
    use_map: false,
    manual: true,
};

#[test]
fn random_sequences_on_a_tiny_engine() {
    check_seeds(100_000, &Profile::ALL, || DbTarget::open(Simulated::new(TINY)));
}
