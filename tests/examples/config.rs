//! A configuration centre: load everything under a prefix, then follow its changes without a gap in between.
//!
//! `cargo run --example config [PATH]`

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use etclite::{Db, Delete, EventKind, KeyValue, Op, Put, prefix};

/// The configuration as a program holds it in memory.
type Config = BTreeMap<String, String>;

pub(crate) fn run(db_path: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let db = Db::open(db_path)?;
    db.delete(prefix("config/"))?;
    db.txn().then([Put::new("config/log", "info"), Put::new("config/port", "8080")]).commit()?;

    // One call: what is there, and a watch that starts at the very next revision.
    let (loaded, watch) = db.load_and_watch(prefix("config/"))?;
    let mut config: Config = loaded.iter().map(entry).collect();
    writeln!(out, "loaded  {config:?}")?;

    thread::scope(|scope| {
        // Should this fail, then closing the store ends the watch as well.
        let changes = scope.spawn(|| change(&db).or_else(|error| db.close().and(Err(error))));
        let followed = follow(watch, &mut config, out);
        changes.join().expect("`change` does not panic")?;
        followed
    })?;
    db.close()?;
    Ok(())
}

/// An operator changes a value; then two at once, in a txn, which everybody sees as one change.
fn change(db: &Db) -> etclite::Result<()> {
    db.put("config/log", "debug")?;
    db.txn().then([Op::from(Delete::new("config/log")), Op::from(Put::new("config/port", "9090"))]).commit()?;
    Ok(())
}

/// Applies changes, a whole revision at a time, until the port is the one that the program waits for.
fn follow(watch: etclite::Watch, config: &mut Config, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    for batch in watch {
        let batch = batch?;
        // A batch may hold several revisions, each of them whole.
        for revision in batch.events().chunk_by(|a, b| a.kv.mod_revision == b.kv.mod_revision) {
            for event in revision {
                let (key, value) = entry(&event.kv);
                match event.kind {
                    EventKind::Put => config.insert(key, value),
                    EventKind::Delete => config.remove(&key),
                };
            }
            writeln!(out, "changed {config:?}")?;
        }
        if config.get("port").is_some_and(|port| port == "9090") {
            break;
        }
    }
    Ok(())
}

fn entry(kv: &KeyValue) -> (String, String) {
    let key = kv.key.strip_prefix(b"config/").unwrap_or(&kv.key);
    (String::from_utf8_lossy(key).into_owned(), String::from_utf8_lossy(&kv.value).into_owned())
}

fn main() -> Result<(), Box<dyn Error>> {
    let in_temp = || std::env::temp_dir().join("etclite-config");
    let db_path = std::env::args_os().nth(1).map_or_else(in_temp, PathBuf::from);
    println!("store: {}", db_path.display());
    run(&db_path, &mut std::io::stdout())
}
