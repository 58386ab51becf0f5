//! Put a key, get it back.
//!
//! `cargo run --example put_get [PATH]`

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

use etclite::Db;

pub(crate) fn run(db_path: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let db = Db::open(db_path)?;

    // Durable when it returns.
    db.put("q1mi", "dsb")?;

    if let Some(kv) = db.get("q1mi")? {
        writeln!(out, "{}:{}", kv.key.escape_ascii(), kv.value.escape_ascii())?;
    }

    // Dropping the last handle closes too; closing reports what may have gone wrong.
    db.close()?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let in_temp = || std::env::temp_dir().join("etclite-put-get");
    let db_path = std::env::args_os().nth(1).map_or_else(in_temp, PathBuf::from);
    println!("store: {}", db_path.display());
    run(&db_path, &mut std::io::stdout())
}
