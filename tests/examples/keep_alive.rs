//! A lease that is kept alive: each time, its five seconds start anew.
//!
//! `cargo run --example keep_alive [PATH]`

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use etclite::{Db, PutOptions};

pub(crate) fn run(db_path: &Path, out: &mut dyn Write, times: usize, interval: Duration) -> Result<(), Box<dyn Error>> {
    let db = Db::open(db_path)?;
    let lease = db.grant(Duration::from_secs(5))?;
    db.put_with("/nazha/", "dsb", PutOptions::new().lease(lease.id()))?;

    for _ in 0..times {
        // Writes nothing, except the first time.
        let ttl = lease.keep_alive()?;
        writeln!(out, "ttl: {}", ttl.as_secs())?;
        thread::sleep(interval);
    }

    // Its keys need not wait for the lease to run out.
    lease.revoke()?;
    db.close()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let in_temp = || std::env::temp_dir().join("etclite-keep-alive");
    let db_path = std::env::args_os().nth(1).map_or_else(in_temp, PathBuf::from);
    println!("store: {}", db_path.display());
    // Seven seconds: longer than the lease would live if it were left alone.
    run(&db_path, &mut std::io::stdout(), 7, Duration::from_secs(1))
}
