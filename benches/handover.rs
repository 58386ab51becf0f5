//! How long does a lock take to go from one holder to the next, beside the sync that its release waits for?
//!
//! Threads wait for one lock, a session each. Each that gets it gives it back at once, and rests until all are through.
//! Measured is, per hand-over, the time from the call of `unlock` until the next one's `lock` has returned. In it lies one
//! durable write, the release, which no lock can do without; its system calls are timed where they are made, in the thread
//! that releases, and taken off. So each hand-over is compared with its own sync, and a disk that others slow down in the
//! meantime disturbs little. What is left is told as a whole, and from the return of `unlock`, when the release is durable
//! and the next one was called: below zero if that one was there before `unlock` was back.
//!
//! The same is done in memory, where there is nothing to be waited for, and once more between two bare threads: how long it
//! takes until one runs that another has woken, as much of which as the machine likes is in every hand-over. Both threads
//! rest in between for as long as a sync takes, since a processor that was idle for a while takes longer to come back.
//!
//! ```text
//! cargo bench --bench handover [-- WAITERS ..] [--rounds N] [--dir PATH]
//! ```

#![allow(clippy::unwrap_used, reason = "a measurement that fails is no measurement")]

use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use etclite::coordination::LockGuard;
use etclite::io::fs::{FsDisk, FsOptions, SystemClock};
use etclite::io::{Disk, DiskFile, DiskLock, IoSite, LockError, Map, OpenMode};
use etclite::testing::{open_on, waiter_wakes};
use etclite::{Db, Options, Session, prefix};

/// Enough for a lock; a machine has it for ten thousand threads.
const STACK_BYTES: usize = 256 << 10;
/// As long as no session ends by itself meanwhile.
const TTL: Duration = Duration::from_secs(3600);
/// How many threads open sessions, each of which is a sync.
const OPENERS: usize = 64;
/// About what a sync takes.
const REST: Duration = Duration::from_micros(100);

struct Settings {
    waiters: Vec<usize>,
    rounds: usize,
    dir: PathBuf,
}

fn settings() -> Settings {
    let mut settings = Settings { waiters: Vec::new(), rounds: 5, dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")) };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match &*argument {
            "--bench" => {}
            "--rounds" => settings.rounds = arguments.next().unwrap().parse().unwrap(),
            "--dir" => settings.dir = arguments.next().unwrap().into(),
            count => settings.waiters.push(count.parse().expect("a number of waiters")),
        }
    }
    if settings.waiters.is_empty() {
        settings.waiters = vec![10, 1_000, 10_000];
    }
    settings
}

thread_local! {
    /// What this thread has waited for writes and syncs of the log.
    static WAITED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Files of the system; notes what the log's writes and syncs take.
#[derive(Debug)]
struct TimedDisk(FsDisk);

#[derive(Debug)]
struct TimedFile(Arc<dyn DiskFile>);

fn timed<T>(site: IoSite, call: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = call();
    if matches!(site, IoSite::LogAppend | IoSite::LogSync) {
        WAITED.set(WAITED.get() + started.elapsed());
    }
    result
}

impl Disk for TimedDisk {
    fn open(&self, site: IoSite, path: &str, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(TimedFile(self.0.open(site, path, mode)?)))
    }

    fn create_dir(&self, site: IoSite, path: &str) -> io::Result<()> {
        self.0.create_dir(site, path)
    }

    fn rename(&self, site: IoSite, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(site, from, to)
    }

    fn remove(&self, site: IoSite, path: &str) -> io::Result<()> {
        self.0.remove(site, path)
    }

    fn list(&self, site: IoSite, path: &str) -> io::Result<Vec<String>> {
        self.0.list(site, path)
    }

    fn sync_dir(&self, site: IoSite, path: &str) -> io::Result<()> {
        self.0.sync_dir(site, path)
    }

    fn lock(&self, exclusive: bool) -> Result<DiskLock, LockError> {
        self.0.lock(exclusive)
    }
}

impl DiskFile for TimedFile {
    fn read_at(&self, site: IoSite, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(site, buf, offset)
    }

    fn write_at(&self, site: IoSite, buf: &[u8], offset: u64) -> io::Result<usize> {
        timed(site, || self.0.write_at(site, buf, offset))
    }

    fn set_len(&self, site: IoSite, len: u64) -> io::Result<()> {
        self.0.set_len(site, len)
    }

    fn len(&self, site: IoSite) -> io::Result<u64> {
        self.0.len(site)
    }

    fn sync_data(&self, site: IoSite) -> io::Result<()> {
        timed(site, || self.0.sync_data(site))
    }

    fn sync_all(&self, site: IoSite) -> io::Result<()> {
        self.0.sync_all(site)
    }

    fn write_back(&self, offset: u64, len: u64) {
        self.0.write_back(offset, len);
    }

    fn map(&self, len: u64) -> io::Result<Option<Map>> {
        self.0.map(len)
    }
}

/// In microseconds; below zero if `to` was first.
fn between(from: Instant, to: Instant) -> f64 {
    let us = |time: Duration| time.as_secs_f64() * 1e6;
    to.checked_duration_since(from).map_or_else(|| -us(from - to), us)
}

/// Median and 99th percentile.
fn figures(mut times: Vec<f64>) -> [f64; 2] {
    times.sort_by(f64::total_cmp);
    [times[times.len() / 2], times[(times.len() - 1) * 99 / 100]]
}

/// From the call that wakes a thread until it runs.
fn wake_up() -> [f64; 2] {
    let ((there, comes), (back, returns)) = (channel::<Instant>(), channel());
    let other =
        std::thread::spawn(move || comes.iter().for_each(|sent| back.send(between(sent, Instant::now())).unwrap()));
    let once = |_| {
        std::thread::sleep(REST);
        there.send(Instant::now()).unwrap();
        returns.recv().unwrap()
    };
    let times = (0..2_000).map(once).collect();
    drop(there);
    other.join().unwrap();
    figures(times)
}

/// When somebody got the lock, called for its release, and came back from that, and what the disk took of it.
#[derive(Clone, Copy)]
struct Holder {
    taken: Instant,
    released: Instant,
    returned: Instant,
    synced_us: f64,
}

impl Holder {
    /// Of a lock that was just taken.
    fn release(guard: &LockGuard) -> Holder {
        let taken = Instant::now();
        let waited = WAITED.get();
        let released = Instant::now();
        guard.unlock().unwrap();
        let returned = Instant::now();
        Holder { taken, released, returned, synced_us: (WAITED.get() - waited).as_secs_f64() * 1e6 }
    }
}

/// Opens as many sessions, many at a time.
fn sessions(db: &Db, count: usize) -> Vec<Session> {
    let open = |count| {
        let db = db.clone();
        std::thread::spawn(move || (0..count).map(|_| db.session(TTL).unwrap()).collect::<Vec<_>>())
    };
    let threads: Vec<JoinHandle<Vec<Session>>> =
        (0..OPENERS).map(|number| open(count / OPENERS + usize::from(number < count % OPENERS))).collect();
    threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
}

/// Those who had the lock, in order, and how many were woken for it.
fn hand_over(db: &Db, sessions: &[Session]) -> (Vec<Holder>, u64) {
    let first = db.session(TTL).unwrap().mutex("bench").lock().unwrap();
    let served = Arc::new(Mutex::new(Vec::with_capacity(sessions.len() + 1)));
    let through = Arc::new(Barrier::new(sessions.len() + 1));
    let wait = |session: &Session| {
        let (session, served, through) = (session.clone(), served.clone(), through.clone());
        let body = move || {
            let guard = session.mutex("bench").lock().unwrap();
            let holder = Holder::release(&guard);
            served.lock().unwrap().push(holder);
            // Ending a thread is work, too.
            through.wait();
        };
        Builder::new().stack_size(STACK_BYTES).spawn(body).unwrap()
    };
    let threads: Vec<_> = sessions.iter().map(wait).collect();
    while db.count(prefix("bench/")).unwrap() <= sessions.len() as u64 {
        std::thread::sleep(Duration::from_millis(10));
    }
    // They stand in line; the last one falls asleep, and background work ends.
    std::thread::sleep(Duration::from_millis(500));
    let wakes = waiter_wakes(db);
    let first = Holder::release(&first);
    through.wait();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let mut holders = std::mem::take(&mut *served.lock().unwrap());
    holders.push(first);
    // Noted after the release, so perhaps not in order.
    holders.sort_by_key(|holder| holder.taken);
    (holders, waiter_wakes(db) - wakes)
}

/// One round on a fresh store; the median of what a hand-over takes beside its sync.
fn round(name: &str, db: &Db, count: usize) -> f64 {
    let sessions = sessions(db, count);
    let (holders, wakes) = hand_over(db, &sessions);
    let each = |figure: &dyn Fn(Holder, Holder) -> f64| {
        figures(holders.windows(2).map(|pair| figure(pair[0], pair[1])).collect())
    };
    let sync = each(&|from, _| from.synced_us);
    let whole = each(&|from, to| between(from.released, to.taken));
    let beside = each(&|from, to| between(from.released, to.taken) - from.synced_us);
    let after = each(&|from, to| between(from.returned, to.taken));
    print!("{name:>7} {count:>7}");
    [sync, whole, beside, after].iter().for_each(|[median, p99]| print!(" {median:>9.1} {p99:>9.1}"));
    println!(" {:>6.2}", wakes as f64 / count as f64);
    beside[0]
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").map_or_else(|_| "unknown".into(), |load| load.trim_end().to_owned())
}

fn main() {
    let settings = settings();
    std::fs::create_dir_all(&settings.dir).unwrap();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("{cores} cores; load {}; stores in {}; synced; a session a waiter", load(), settings.dir.display());
    let [median, p99] = wake_up();
    println!("waking a bare thread takes {median:.1} us, p99 {p99:.1}\n");
    println!(
        "{:>15} {:>19} {:>19} {:>19} {:>19} {:>6}",
        "", "sync", "hand-over", "beside the sync", "after unlock", "wakes"
    );
    println!("{:>7} {:>7}{}  each", "store", "waiters", format!(" {:>9} {:>9}", "median us", "p99").repeat(4));
    let mut least = Vec::new();
    for &count in &settings.waiters {
        for name in ["memory", "disk"] {
            let figure = |_| {
                let dir = tempfile::tempdir_in(&settings.dir).unwrap();
                let db = if name == "disk" {
                    let create = FsOptions { create: true, ..FsOptions::default() };
                    let disk = TimedDisk(FsDisk::open(&dir.path().join("store"), create).unwrap());
                    open_on(Arc::new(disk), Arc::new(SystemClock::new()), Options::new())
                } else {
                    Options::new().in_memory()
                };
                let db = db.unwrap();
                let figure = round(name, &db, count);
                db.close().unwrap();
                figure
            };
            least.push((name, count, (0..settings.rounds).map(figure).fold(f64::INFINITY, f64::min)));
        }
    }
    println!("\nbeside the sync, least of the medians of {} rounds; load {}", settings.rounds, load());
    least.iter().for_each(|(name, count, us)| println!("{name:>7} {count:>7} {us:>9.1} us"));
}
