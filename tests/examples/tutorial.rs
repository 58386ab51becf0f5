//! All the examples in order, on one store on disk that each of them opens anew.
//!
//! `cargo run --example tutorial [PATH]`

#![allow(dead_code, reason = "the `main` of each example, for when it runs alone")]

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[path = "config.rs"]
pub(crate) mod config;
#[path = "election.rs"]
pub(crate) mod election;
#[path = "keep_alive.rs"]
pub(crate) mod keep_alive;
#[path = "lease.rs"]
pub(crate) mod lease;
#[path = "lock.rs"]
pub(crate) mod lock;
#[path = "put_get.rs"]
pub(crate) mod put_get;
#[path = "services.rs"]
pub(crate) mod services;
#[path = "watch.rs"]
pub(crate) mod watch;

pub(crate) fn run(db_path: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    writeln!(out, "\n# put and get (put_get.rs)")?;
    put_get::run(db_path, out)?;

    writeln!(out, "\n# watch, while another thread changes the key (watch.rs)")?;
    watch::run(db_path, out)?;

    writeln!(out, "\n# a lease; 1 s here, 5 s in `cargo run --example lease` (lease.rs)")?;
    lease::run(db_path, out, Duration::from_secs(1))?;

    writeln!(out, "\n# keeping a lease of 5 s alive (keep_alive.rs)")?;
    keep_alive::run(db_path, out, 3, Duration::from_millis(300))?;

    writeln!(out, "\n# a configuration centre (config.rs)")?;
    config::run(db_path, out)?;

    writeln!(out, "\n# services that register and are discovered; one dies and is gone after 2 s (services.rs)")?;
    services::run(db_path, out, Duration::from_secs(2))?;

    writeln!(out, "\n# a lock that two sessions want (lock.rs)")?;
    lock::run(db_path, out)?;

    writeln!(out, "\n# an election with three candidates (election.rs)")?;
    election::run(db_path, out)
}

fn main() -> Result<(), Box<dyn Error>> {
    let in_temp = || std::env::temp_dir().join("etclite-tutorial");
    let db_path = std::env::args_os().nth(1).map_or_else(in_temp, PathBuf::from);
    println!("store: {}", db_path.display());
    run(&db_path, &mut std::io::stdout())
}
