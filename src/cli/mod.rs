//! The command line: it parses, calls public verbs of [`Db`](crate::Db), prints. Nothing else, and no access to the
//! engine's internals.
//!
//! | module | what |
//! |---|---|
//! | `args` | the words: which store, which command, the flags that all commands share |
//! | `usage` | what is wrong with a command line, on one line and without its values |
//! | `help`, `etcdctl` | how help reads; flags that only a server needs, taken and ignored |
//! | `context` | what a command is given: the flags, the store opened as it asks, the output |
//! | `exit` | how a command ends: exit codes, the error line and its hint |
//! | `out` | the one writer of stdout, which takes a closed pipe for the end |
//! | `json` | bytes, keys and errors as JSON objects, for `-w jsonl`, dumps and the driver |
//! | `words`, `quote` | what arguments stand for: bytes, ranges, lease ids; Go's quoted strings |
//! | `child` | commands that are run for an event or under a lock |
//! | `signals` | SIGINT and SIGTERM, for commands that wait |
//! | `print` | etcdctl's formats: simple, fields, json, table |
//! | `kv`, `txn`, `watch`, `lease`, `lock` | etcdctl's commands |
//! | `data`, `load`, `health`, `bench`, `group`, `completion` | commands of our own: the store as a whole |
//! | `report`, `progress` | what those print: names with values, and bars on stderr |
//! | `exec` | the JSON driver |

// The command line is the outside of the library: it has the time, the threads and the files of the host to itself.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the outside of the library")]

mod args;
mod bench;
mod child;
mod completion;
mod context;
mod data;
mod etcdctl;
mod exec;
mod exit;
mod group;
mod health;
mod help;
mod json;
mod kv;
mod lease;
mod load;
mod lock;
mod out;
mod print;
mod progress;
mod quote;
mod report;
mod signals;
mod txn;
mod usage;
mod watch;
mod words;

use std::process::ExitCode;

use context::Context;
use exit::{Exit, Failure};

/// What a command returns: how it ended, or why it failed.
type Outcome = Result<Exit, Failure>;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let (global, command) = match args::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(exit) => return exit.code(),
    };
    keep_going_at_the_file_size_limit();
    let context = Context::new(global);
    let ended = command.run(&context).and_then(|exit| context.out.finish().map(|()| exit));
    match ended {
        Ok(exit) => exit.code(),
        Err(failure) => failure.report(&context).code(),
    }
}

/// Makes a write beyond RLIMIT_FSIZE an error, as a full disk is. By default its signal ends the process; the library
/// leaves signals to its host, which here is us.
fn keep_going_at_the_file_size_limit() {
    #[cfg(unix)]
    // Nothing looks at the flag. If it cannot be registered, the limit works as for any program.
    let _ = signal_hook::flag::register(libc::SIGXFSZ, std::sync::Arc::default());
}
