//! The command line: it parses, calls public verbs of [`Db`](crate::Db), prints. Nothing else, and no access to the
//! engine's internals.
//!
//! | module | what |
//! |---|---|
//! | `args` | the words: which store, which command, the flags that all commands share |
//! | `context` | what a command is given: the flags, the store opened as it asks, the output |
//! | `exit` | how a command ends: exit codes, the error line and its hint |
//! | `out` | the one writer of stdout, which takes a closed pipe for the end |
//! | `json` | bytes, keys and errors as JSON objects, for `-w jsonl`, dumps and the driver |
//! | `print` | etcdctl's formats: simple, fields, json, table |
//! | `kv`, `txn`, `watch`, `lease`, `lock` | etcdctl's commands |
//! | `data`, `load`, `health`, `bench`, `group`, `completion` | commands of our own: the store as a whole |
//! | `report`, `progress` | what those print: names with values, and bars on stderr |
//! | `exec` | the JSON driver |

// The command line is the outside of the library: it has the time, the threads and the files of the host to itself.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the outside of the library")]

mod args;
mod bench;
mod completion;
mod context;
mod data;
mod exit;
mod group;
mod health;
mod json;
mod load;
mod out;
mod progress;
mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use context::Context;
use exit::{Exit, Failure};

/// What a command returns: how it ended, or why it failed.
type Outcome = Result<Exit, Failure>;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    heed_file_size_limit();
    let (global, command) = match args::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(exit) => return exit.code(),
    };
    let context = Context::new(global);
    let ended = command.run(&context).and_then(|exit| context.out.finish().map(|()| exit));
    match ended {
        Ok(exit) => exit.code(),
        Err(failure) => failure.report(context.global.write_out).code(),
    }
}

/// A write beyond the limit of a file's size (`ulimit -f`) ends a process, unless somebody handles the signal; then it
/// fails as a full disk does.
fn heed_file_size_limit() {
    let told = Arc::new(AtomicBool::new(false));
    // If that fails, the signal does what it always does.
    let _ = signal_hook::flag::register(libc::SIGXFSZ, told);
}
