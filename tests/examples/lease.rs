//! A key that goes when its lease ends.
//!
//! `cargo run --example lease [PATH]`

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etclite::{Db, EventKind, PutOptions};

pub(crate) fn run(db_path: &Path, out: &mut dyn Write, ttl: Duration) -> Result<(), Box<dyn Error>> {
    let db = Db::open(db_path)?;

    let lease = db.grant(ttl)?;
    let put = db.put_with("/nazha/", "dsb", PutOptions::new().lease(lease.id()))?;
    writeln!(out, "/nazha/ is there, for {ttl:?}")?;

    // From the revision after the put: whatever happens to the key from then on is seen. Nobody keeps the lease alive.
    let mut watch = db.watch("/nazha/").from(put.revision + 1).start()?;
    let batch = watch.next().ok_or("the store was closed")??;
    for event in batch.events().iter().filter(|event| event.kind == EventKind::Delete) {
        writeln!(out, "Type: DELETE Key:{} Value:", event.kv.key.escape_ascii())?;
    }

    if db.get("/nazha/")?.is_none() && lease.time_to_live()?.is_none() {
        writeln!(out, "/nazha/ and its lease are gone")?;
    }
    db.close()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let in_temp = || std::env::temp_dir().join("etclite-lease");
    let db_path = std::env::args_os().nth(1).map_or_else(in_temp, PathBuf::from);
    println!("store: {}", db_path.display());
    run(&db_path, &mut std::io::stdout(), Duration::from_secs(5))
}
