//! Doors to stop a store at: a disk whose calls wait at a gate, and a clock that does something when it is read.

use std::fmt;
use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use etclite::io::sim::{SimClock, SimDisk};
use etclite::io::{Alarm, Clock, Disk, DiskFile, DiskLock, IoSite, LockError, Now, OpenMode};

/// A simulated disk on which the calls of one site can be held up.
#[derive(Clone, Debug)]
pub(crate) struct GateDisk {
    disk: SimDisk,
    gate: Arc<Gate>,
}

/// The gate of one site.
#[derive(Debug)]
pub(crate) struct Gate {
    site: IoSite,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    /// How many calls wait here.
    held: usize,
    /// How many of them may pass though it is shut.
    permits: usize,
}

/// Longer than any test takes; who waits for a thing that never happens fails instead of hanging.
pub(crate) const LONG: Duration = Duration::from_secs(20);

impl GateDisk {
    /// A disk with an open gate at `site`.
    pub(crate) fn new(disk: &SimDisk, site: IoSite) -> GateDisk {
        let gate = Gate { site, state: Mutex::default(), changed: Condvar::new() };
        GateDisk { disk: disk.clone(), gate: Arc::new(gate) }
    }

    pub(crate) fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
    }
}

impl Gate {
    pub(crate) fn shut(&self) {
        self.state.lock().unwrap().shut = true;
    }

    /// Waits until somebody waits at the gate.
    pub(crate) fn await_call(&self) {
        let state = self.state.lock().unwrap();
        let nobody = |state: &mut State| state.held == state.permits;
        let (_state, late) = self.changed.wait_timeout_while(state, LONG, nobody).unwrap();
        assert!(!late.timed_out(), "nobody comes to {:?}", self.site);
    }

    /// Lets one call pass.
    pub(crate) fn let_one_pass(&self) {
        self.state.lock().unwrap().permits += 1;
        self.changed.notify_all();
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().shut = false;
        self.changed.notify_all();
    }

    fn pass(&self, site: IoSite) {
        let mut state = self.state.lock().unwrap();
        if site != self.site || !state.shut {
            return;
        }
        state.held += 1;
        self.changed.notify_all();
        let closed = |state: &mut State| state.shut && state.permits == 0;
        state = self.changed.wait_timeout_while(state, LONG, closed).unwrap().0;
        state.held -= 1;
        state.permits = state.permits.saturating_sub(1);
        self.changed.notify_all();
    }
}

impl Disk for GateDisk {
    fn open(&self, site: IoSite, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.gate.pass(site);
        let file = self.disk.open(site, path, mode)?;
        Ok(Arc::new(GateFile { file, gate: self.gate.clone() }))
    }

    fn create_dir(&self, site: IoSite, path: &str) -> io::Result<()> {
        self.disk.create_dir(site, path)
    }

    fn rename(&self, site: IoSite, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(site, from, to)
    }

    fn remove(&self, site: IoSite, path: &str) -> io::Result<()> {
        self.disk.remove(site, path)
    }

    fn list(&self, site: IoSite, path: &str) -> io::Result<Vec<String>> {
        self.disk.list(site, path)
    }

    fn sync_dir(&self, site: IoSite, path: &str) -> io::Result<()> {
        self.gate.pass(site);
        self.disk.sync_dir(site, path)
    }

    fn lock(&self, exclusive: bool) -> Result<DiskLock, LockError> {
        self.disk.lock(exclusive)
    }
}

#[derive(Debug)]
struct GateFile {
    file: Arc<dyn DiskFile>,
    gate: Arc<Gate>,
}

impl DiskFile for GateFile {
    fn read_at(&self, site: IoSite, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(site, buf, offset)
    }

    fn write_at(&self, site: IoSite, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.gate.pass(site);
        self.file.write_at(site, buf, offset)
    }

    fn set_len(&self, site: IoSite, len: u64) -> io::Result<()> {
        self.file.set_len(site, len)
    }

    fn len(&self, site: IoSite) -> io::Result<u64> {
        self.file.len(site)
    }

    fn sync_data(&self, site: IoSite) -> io::Result<()> {
        self.gate.pass(site);
        self.file.sync_data(site)
    }

    fn sync_all(&self, site: IoSite) -> io::Result<()> {
        self.gate.pass(site);
        self.file.sync_all(site)
    }
}

type Act = Box<dyn FnOnce() + Send>;

/// A clock that, once, does something when it is read: between two steps of a call that reads it.
#[derive(Clone)]
pub(crate) struct ActingClock {
    clock: SimClock,
    act: Arc<Mutex<Option<Act>>>,
}

impl ActingClock {
    pub(crate) fn new(clock: &SimClock) -> ActingClock {
        ActingClock { clock: clock.clone(), act: Arc::default() }
    }

    /// What the next reading of all clocks does first; looking at the boot clock alone, as deadlines do, does nothing.
    pub(crate) fn at_next_reading(&self, act: impl FnOnce() + Send + 'static) {
        *self.act.lock().unwrap() = Some(Box::new(act));
    }

    pub(crate) fn has_acted(&self) -> bool {
        self.act.lock().unwrap().is_none()
    }
}

impl fmt::Debug for ActingClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clock.fmt(f)
    }
}

impl Clock for ActingClock {
    fn now(&self) -> Now {
        let act = self.act.lock().unwrap().take();
        if let Some(act) = act {
            act();
        }
        self.clock.now()
    }

    fn boot(&self) -> Duration {
        self.clock.boot()
    }

    fn alarm(&self) -> Arc<dyn Alarm> {
        self.clock.alarm()
    }

    fn random(&self, buf: &mut [u8]) {
        self.clock.random(buf);
    }
}
