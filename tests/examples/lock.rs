//! Two sessions that want the same lock: the second one gets it when the first one lets go.
//!
//! `cargo run --example lock [PATH]`

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use etclite::Db;

pub(crate) fn run(db_path: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let db = Db::open(db_path)?;
    let s1 = db.session(Duration::from_secs(60))?;
    let s2 = db.session(Duration::from_secs(60))?;

    let held = s1.mutex("/my-lock/").lock()?;
    writeln!(out, "acquired lock for s1")?;

    // The second session waits in a thread of its own, parked until it is its turn.
    let waiter = thread::spawn(move || s2.mutex("/my-lock/").lock());

    held.unlock()?;
    writeln!(out, "released lock for s1")?;

    let held = waiter.join().map_err(|_| "the waiter panicked")??;
    writeln!(out, "acquired lock for s2")?;

    // What must not happen without the lock is fenced with it: refused by the store once the lock is lost.
    db.fenced(&held).put("last-holder", "s2")?;

    held.unlock()?;
    s1.close()?;
    db.close()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let in_temp = || std::env::temp_dir().join("etclite-lock");
    let db_path = std::env::args_os().nth(1).map_or_else(in_temp, PathBuf::from);
    println!("store: {}", db_path.display());
    run(&db_path, &mut std::io::stdout())
}
