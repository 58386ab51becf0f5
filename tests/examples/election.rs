//! Three candidates, each of which leads once, and an observer that sees every leader in order.
//!
//! `cargo run --example election [PATH]`

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use etclite::{Db, prefix};

pub(crate) fn run(db_path: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let db = Db::open(db_path)?;
    let observer = db.observe_leader("scheduler")?;

    let mut candidates = Vec::new();
    for (place, name) in ["a", "b", "c"].into_iter().enumerate() {
        candidates.push(stand(&db, name));
        // The order in which they lead is that in which they came; here each comes after the one before stands.
        await_candidates(&db, place + 1)?;
    }
    // The first one led all the while, and may now go.
    db.put("go", "")?;

    for leader in observer.take(5) {
        let leader = leader?;
        writeln!(out, "leader: {}", leader.value.escape_ascii())?;
    }
    for candidate in candidates {
        candidate.join().map_err(|_| "a candidate panicked")??;
    }
    db.delete("go")?;
    db.close()?;
    Ok(())
}

/// Stands for election, and once elected says so, waits for leave to go, and resigns.
fn stand(db: &Db, name: &'static str) -> JoinHandle<etclite::Result<()>> {
    let db = db.clone();
    thread::spawn(move || {
        let session = db.session(Duration::from_secs(60))?;
        let lead = session.election("scheduler").campaign(name)?;
        if name == "b" {
            lead.proclaim("b, with news")?;
            lead.proclaim("b, with more news")?;
        }
        let (there, mut watch) = db.load_and_watch("go")?;
        if there.is_empty() {
            watch.next().transpose()?;
        }
        lead.resign().map(drop)
    })
}

fn await_candidates(db: &Db, count: usize) -> etclite::Result<()> {
    let (standing, watch) = db.load_and_watch(prefix("scheduler/"))?;
    if standing.len() < count {
        // Nobody goes before all are there.
        for batch in watch.take(count - standing.len()) {
            batch?;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let in_temp = || std::env::temp_dir().join("etclite-election");
    let db_path = std::env::args_os().nth(1).map_or_else(in_temp, PathBuf::from);
    println!("store: {}", db_path.display());
    run(&db_path, &mut std::io::stdout())
}
