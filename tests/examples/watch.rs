//! Watch a key while another thread changes it.
//!
//! `cargo run --example watch [PATH]`

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;

use etclite::{Db, Event, EventKind};

pub(crate) fn run(db_path: &Path, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let db = Db::open(db_path)?;
    let watch = db.watch("q1mi").start()?;

    thread::scope(|scope| {
        // Should this fail, then closing the store ends the watch as well.
        let changes = scope.spawn(|| change(&db).or_else(|error| db.close().and(Err(error))));
        let shown = show(watch, out);
        changes.join().expect("`change` does not panic")?;
        shown
    })?;

    db.close()?;
    Ok(())
}

/// What somebody else does to the key meanwhile.
fn change(db: &Db) -> etclite::Result<()> {
    db.put("q1mi", "dsb2")?;
    db.delete("q1mi")?;
    db.put("q1mi", "dsb3")?;
    Ok(())
}

/// Prints three events. How they are spread over batches depends on who is faster; none is missed, whoever it is.
fn show(watch: etclite::Watch, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let mut shown = 0;
    for batch in watch {
        for event in batch?.events() {
            print(event, out)?;
            shown += 1;
        }
        if shown >= 3 {
            break;
        }
    }
    Ok(())
}

fn print(event: &Event, out: &mut dyn Write) -> std::io::Result<()> {
    let kind = match event.kind {
        EventKind::Put => "PUT",
        EventKind::Delete => "DELETE",
    };
    writeln!(out, "Type: {kind} Key:{} Value:{}", event.kv.key.escape_ascii(), event.kv.value.escape_ascii())
}

fn main() -> Result<(), Box<dyn Error>> {
    let in_temp = || std::env::temp_dir().join("etclite-watch");
    let db_path = std::env::args_os().nth(1).map_or_else(in_temp, PathBuf::from);
    println!("store: {}", db_path.display());
    run(&db_path, &mut std::io::stdout())
}
