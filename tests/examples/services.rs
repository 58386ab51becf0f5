//! Service registration and discovery: instances put their address with a lease, and whoever needs them watches the
//! prefix. An instance that stops without a word is gone when its lease ends.
//!
//! `cargo run --example services [PATH]`

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use etclite::{Db, EventKind, Lease, PutOptions, Watch, prefix};

pub(crate) fn run(db_path: &Path, out: &mut dyn Write, ttl: Duration) -> Result<(), Box<dyn Error>> {
    let db = Db::open(db_path)?;
    let (running, watch) = db.load_and_watch(prefix("services/web/"))?;
    for kv in &running {
        writeln!(out, "found {} at {}", kv.key.escape_ascii(), kv.value.escape_ascii())?;
    }

    thread::scope(|scope| {
        // Should this fail, then closing the store ends the watch as well.
        let instances = scope.spawn(|| instances(&db, ttl).or_else(|error| db.close().and(Err(error))));
        let discovered = discover(watch, out);
        instances.join().expect("`instances` does not panic")?;
        discovered
    })?;
    db.close()?;
    Ok(())
}

/// Two instances. The first says goodbye. The second is never heard of again; a handle on a lease keeps nothing alive.
fn instances(db: &Db, ttl: Duration) -> etclite::Result<()> {
    let first = register(db, "services/web/1", "10.0.0.1:80", Duration::from_secs(60))?;
    let _second = register(db, "services/web/2", "10.0.0.2:80", ttl)?;
    first.revoke()?;
    Ok(())
}

/// What an instance does when it starts. While it is healthy it then calls `keep_alive` every third of `ttl`, say.
fn register(db: &Db, name: &str, address: &str, ttl: Duration) -> etclite::Result<Lease> {
    let lease = db.grant(ttl)?;
    db.put_with(name, address, PutOptions::new().lease(lease.id()))?;
    Ok(lease)
}

/// What a client does: it knows at any time who is up. This one stops once both instances are gone.
fn discover(watch: Watch, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut gone = 0;
    for batch in watch {
        for event in batch?.events() {
            let name = event.kv.key.escape_ascii();
            match event.kind {
                EventKind::Put => writeln!(out, "up    {name} at {}", event.kv.value.escape_ascii())?,
                EventKind::Delete => {
                    writeln!(out, "down  {name}")?;
                    gone += 1;
                }
            }
        }
        if gone >= 2 {
            break;
        }
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let in_temp = || std::env::temp_dir().join("etclite-services");
    let db_path = std::env::args_os().nth(1).map_or_else(in_temp, PathBuf::from);
    println!("store: {}", db_path.display());
    run(&db_path, &mut std::io::stdout(), Duration::from_secs(3))
}
