//! The worker that does as it is told: a line in, a line out. Its main thread blocks in reading its input, so that what
//! else happens in the process is the store's doing.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use etclite::testing::{Knobs, with_knobs};
use etclite::{Db, Durability, Error, KeyRange, Options, Put, PutOptions};

use crate::random::Random;
use crate::system;

/// Answers lines until the input ends.
pub(crate) fn script() -> ExitCode {
    let mut stores = Stores::default();
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match stores.answer(words[0], &words[1..]) {
            Ok(text) if text.is_empty() => "ok".to_owned(),
            Ok(text) => format!("ok {text}"),
            Err(error) => render(&error),
        };
        say(&answer);
    }
    ExitCode::SUCCESS
}

/// One line in one write, so that a kill cannot mix two.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{line}\n").as_bytes());
    let _ = out.flush();
}

/// `error Variant: message`.
pub(crate) fn render(error: &Error) -> String {
    let debug = format!("{error:?}");
    let variant = debug.split([' ', '(', '{']).next().unwrap_or_default();
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let causes: String = causes.map(|cause| format!(": {cause}")).collect();
    format!("error {variant}: {error}{causes}")
}

/// Sizes at which rolling, flush and merge happen all the time.
pub(crate) fn tiny(options: Options) -> Options {
    let knobs = Knobs {
        segment_bytes: 64 << 10,
        fill_bytes: 8 << 10,
        memtable_bytes: 16 << 10,
        merge_runs: 2,
        ..Knobs::default()
    };
    with_knobs(options, knobs)
}

/// Options from words.
pub(crate) fn options(words: &[&str]) -> Options {
    words.iter().fold(Options::new(), |options, word| match *word {
        "synced" => options.durability(Durability::Synced),
        "written" => options.durability(Durability::Written),
        "buffered" => options.durability(Durability::Buffered),
        "default" => options,
        "tiny" => tiny(options),
        "read_only" => options.read_only(true),
        word => match word.strip_prefix("wait=") {
            Some(ms) => options.lock_wait(Duration::from_millis(ms.parse().unwrap())),
            None => panic!("unknown option {word}"),
        },
    })
}

/// The stores that are open; commands go to the one opened last.
#[derive(Default)]
struct Stores {
    open: Vec<(Db, PathBuf)>,
}

impl Stores {
    fn answer(&mut self, verb: &str, words: &[&str]) -> Result<String, Error> {
        match (verb, words) {
            ("open", [path, rest @ ..]) => {
                let db = options(rest).open(path)?;
                self.open.push((db, path.into()));
                return Ok(String::new());
            }
            ("nofile", [count]) => return Ok(system::limit_descriptors(count.parse().unwrap())),
            ("setuid", [user]) => return Ok(system::become_user(user.parse().unwrap())),
            ("remove", [path]) => return Ok(outcome(std::fs::remove_file(path))),
            ("mark", _) => return Ok("mark".to_owned()),
            ("become_child", _) => return Ok(system::become_child().to_string()),
            ("drop_first", _) => {
                self.open.remove(0);
                return Ok(String::new());
            }
            ("drop", _) => {
                self.open.pop();
                return Ok(String::new());
            }
            _ => {}
        }
        let Some((db, path)) = self.open.last() else { return Ok("no store".to_owned()) };
        command(db, path, verb, words)
    }
}

fn command(db: &Db, path: &Path, verb: &str, words: &[&str]) -> Result<String, Error> {
    Ok(match (verb, words) {
        ("put", [key, value]) => db.put(key, value)?.revision.to_string(),
        ("putn", [key, len]) => db.put(key, vec![b'x'; len.parse().unwrap()])?.revision.to_string(),
        ("get", [key]) => {
            db.get(key)?.map_or("nothing".to_owned(), |kv| String::from_utf8_lossy(&kv.value).into_owned())
        }
        ("del", [key]) => db.delete(*key)?.deleted.to_string(),
        ("txn", [key, other, value]) => {
            db.txn().then([Put::new(key, value), Put::new(other, value)]).commit()?.revision.to_string()
        }
        ("grant", [id, ttl_ms]) => {
            let lease = db.grant_with_id(id.parse::<i64>().unwrap(), Duration::from_millis(ttl_ms.parse().unwrap()))?;
            lease.granted().unwrap_or_default().as_millis().to_string()
        }
        ("attach", [key, id]) => {
            db.put_with(key, "held", PutOptions::new().lease(id.parse::<i64>().unwrap()))?.revision.to_string()
        }
        ("remaining", [id]) => {
            let found = db.lease(id.parse::<i64>().unwrap()).time_to_live()?;
            found.map_or("nothing".to_owned(), |status| status.remaining.as_millis().to_string())
        }
        ("fill", [prefix, len]) => fill(db, prefix, len.parse().unwrap()),
        ("mix", [round, count]) => mix(db, round.parse().unwrap(), count.parse().unwrap())?,
        ("count", []) => db.count(KeyRange::all())?.to_string(),
        ("watch", []) => watch(db)?,
        ("compact", [revision]) => db.compact(revision.parse::<u64>().unwrap())?.compact_revision.to_string(),
        ("reclaim", []) => db.compact_physical(db.revision())?.compact_revision.to_string(),
        ("flush", []) => db.flush().map(|()| String::new())?,
        ("sync", []) => db.sync().map(|()| String::new())?,
        ("check", []) => format!("{:?}", db.check()?.problems),
        ("health", []) => format!("{:?}", db.health()).split([' ', '(']).next().unwrap_or_default().to_owned(),
        ("close", []) => db.close().map(|()| String::new())?,
        ("stats", []) => stats(db, path),
        ("fork", []) => system::in_forked_child(|| forked(db)),
        _ => panic!("unknown command {verb} {words:?}"),
    })
}

/// Puts until it is refused: how many were acknowledged, and why it ended.
fn fill(db: &Db, prefix: &str, len: usize) -> String {
    let value = vec![b'x'; len];
    for count in 0u64.. {
        if let Err(error) = db.put(format!("{prefix}{count:08}"), &value) {
            return format!("{count} {}", render(&error));
        }
    }
    unreachable!("no disk is that large")
}

/// A bit of everything on a bounded set of keys, with a compaction at the end.
fn mix(db: &Db, round: u64, count: u64) -> Result<String, Error> {
    let mut random = Random::new(round);
    let mut watch = db.watch(KeyRange::prefix("key")).start()?;
    for _ in 0..count {
        let key = format!("key{}", random.below(600));
        match random.below(20) {
            0..12 => drop(db.put(&key, vec![b'x'; 200])?),
            12..14 => drop(db.delete(key.as_str())?),
            14..16 => drop(db.txn().then([Put::new(&key, "a"), Put::new("key", "b")]).commit()?),
            16 => drop(db.range(KeyRange::prefix("key1"))?.collect::<Result<Vec<_>, _>>()?),
            17 => drop(db.snapshot()?.get(&key)?),
            18 => while watch.try_next()?.is_some() {},
            _ => {
                let lease = db.grant(Duration::from_millis(1 + random.below(40)))?;
                match db.put_with(format!("held{}", random.below(20)), "x", PutOptions::new().lease(lease.id())) {
                    Ok(_) | Err(Error::LeaseNotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
    let revision = db.revision() - 500;
    if revision > db.compact_revision() {
        db.compact(revision)?;
    }
    Ok(String::new())
}

/// A thread that is blocked in a watch of a key that nobody writes.
fn watch(db: &Db) -> Result<String, Error> {
    let mut watch = db.watch("nobody writes this").start()?;
    std::thread::spawn(move || drop(watch.next()));
    Ok(String::new())
}

fn stats(db: &Db, path: &Path) -> String {
    let stats = db.stats();
    format!(
        "revision={} runs={} memtables={} threads={} descriptors={} rss_kib={} disk={}",
        stats.revision,
        stats.runs,
        stats.memtables,
        entries("/proc/self/task"),
        entries("/proc/self/fd"),
        system::resident_kib(),
        disk_bytes(path)
    )
}

fn entries(dir: &str) -> usize {
    std::fs::read_dir(dir).map_or(0, Iterator::count)
}

/// What the files of a store take, in allocated bytes; files may vanish while they are counted.
pub(crate) fn disk_bytes(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(files) = std::fs::read_dir(path) else { return 0 };
    let sizes = files.flatten().map(|entry| match entry.metadata() {
        Ok(data) if data.is_dir() => disk_bytes(&entry.path()),
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// A call on a store.
type Verb<'a> = &'a dyn Fn() -> Result<(), Error>;

/// What each verb says to a child that inherited the handle.
fn forked(db: &Db) -> String {
    let name = |result: Result<(), Error>| match result {
        Ok(()) => "Ok".to_owned(),
        Err(error) => render(&error).split([' ', ':']).nth(1).unwrap_or_default().to_owned(),
    };
    let verbs: [(&str, Verb<'_>); 15] = [
        ("put", &|| db.put("child", "was here").map(drop)),
        ("get", &|| db.get("a").map(drop)),
        ("range", &|| db.range(KeyRange::all()).map(drop)),
        ("txn", &|| db.txn().then([Put::new("child", "x")]).commit().map(drop)),
        ("delete", &|| db.delete("a").map(drop)),
        ("grant", &|| db.grant(Duration::from_secs(60)).map(drop)),
        ("compact", &|| db.compact(2u64).map(drop)),
        ("reclaim", &|| db.compact_physical(2u64).map(drop)),
        ("snapshot", &|| db.snapshot().map(drop)),
        ("backup", &|| db.backup(std::env::temp_dir().join("never made")).map(drop)),
        ("check", &|| db.check().map(drop)),
        ("sync", &|| db.sync()),
        ("flush", &|| db.flush()),
        ("watch", &|| db.watch("a").start().map(drop)),
        ("close", &|| db.close()),
    ];
    verbs.iter().map(|(verb, call)| format!("{verb}={}", name(call()))).collect::<Vec<_>>().join(" ")
}

fn outcome(result: std::io::Result<()>) -> String {
    result.map_or_else(|error| error.to_string(), |()| String::new())
}
