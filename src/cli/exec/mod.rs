//! `exec --json`: the driver. One request a line on stdin, exactly one result a line on stdout.
//!
//! ```text
//! > {"id":1,"cmd":"put","key":"a","value":"1"}
//! < {"id":1,"ok":true,"revision":2}
//! ```
//!
//! One process owns a store, so whoever wants concurrency asks for it by **clients**: each number is a thread, requests
//! of one run in order, clients beside one another.
//!
//! | file | what |
//! |---|---|
//! | `tree` | JSON as it was written, duplicate fields and all |
//! | `request` | fields, taken one by one and strictly |
//! | `board` | which client has what to do, waits, and how it all ends |
//! | `client` | the threads: the reader of stdin, one per client |
//! | `commands` | a function per command, a file per noun |
//! | `handles` | what requests name by number |
//! | `answer` | results and errors as JSON |
//!
//! **A result is printed after** the write is as durable as `--durability` promises, and stdout is flushed after each.

mod answer;
mod board;
mod client;
mod commands;
mod handles;
mod request;
mod tree;

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use parking_lot::{Mutex, RwLock};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::Outcome;
use super::context::{Context, Create};
use super::exit::{Exit, Failure, exit_of};
use super::json::{Bytes, Object, error_object};
use super::out::Out;
use crate::error::{Error, Result};
use crate::{Db, Options};
use board::{Board, End};
use handles::Handles;

/// What `exec` is given.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct Args {
    /// One JSON object a line, in and out
    #[arg(long, required = true)]
    json: bool,
    /// Print all bytes in base64
    #[arg(long)]
    b64: bool,
    /// Use a store in memory; name no STORE then
    #[arg(long)]
    in_memory: bool,
    /// End with 1 after the first error
    #[arg(long)]
    stop_on_error: bool,
}

/// What the threads of the driver share.
struct Driver {
    /// The open store; replaced by `reopen`. Held for reading only to clone the handle.
    db: RwLock<Db>,
    place: Place,
    handles: Handles,
    board: Board,
    out: Out,
    form: Bytes,
    stop_on_error: bool,
    /// Joined at the end.
    clients: Mutex<Vec<JoinHandle<()>>>,
}

impl Driver {
    fn db(&self) -> Db {
        self.db.read().clone()
    }

    /// Prints a line. If nobody reads it, that is the end.
    fn tell(&self, line: Object) {
        if let Err(failure) = self.out.line_now(serde_json::Value::Object(line).to_string()) {
            self.board.end(End::Output(failure));
        }
    }
}

/// Where the store is, and how it is opened.
#[derive(Clone)]
struct Place {
    options: Options,
    /// None is memory.
    path: Option<PathBuf>,
}

impl Place {
    fn of(context: &Context, args: Args) -> Result<Place, Failure> {
        let options = context.options(Create::Allowed);
        if !args.in_memory {
            return Ok(Place { options, path: Some(context.store()?) });
        }
        // A variable that is set for other commands does not name a store for this one.
        if context
            .global
            .db
            .as_ref()
            .is_some_and(|named| std::env::var_os("ETCLITE_DB").as_deref() != Some(named.as_os_str()))
        {
            return Err(Failure::Usage("--in-memory takes no STORE".into()));
        }
        Ok(Place { options, path: None })
    }

    fn open(&self) -> Result<Db> {
        self.open_with(self.options.clone())
    }

    /// Opens what was open before. If it is gone, an empty store in its place would pass for it.
    fn open_again(&self) -> Result<Db> {
        self.open_with(self.options.clone().create(false))
    }

    fn open_with(&self, options: Options) -> Result<Db> {
        match &self.path {
            Some(path) => options.open(path),
            None => options.in_memory(),
        }
    }
}

pub(super) fn run(args: Args, context: &Context) -> Outcome {
    let place = Place::of(context, args)?;
    let out = Out::new();
    let db = match place.open() {
        Ok(db) => db,
        Err(error) => return refuse(&out, &error),
    };
    let driver = Arc::new(Driver {
        db: RwLock::new(db),
        place,
        handles: Handles::new(),
        board: Board::new(),
        out,
        form: if args.b64 { Bytes::Base64 } else { Bytes::Text },
        stop_on_error: args.stop_on_error,
        clients: Mutex::default(),
    });
    let unstarted = |error| Failure::Outside("cannot start".into(), error);
    listen(&driver).map_err(unstarted)?;
    client::start_reader(&driver).map_err(unstarted)?;
    let end = driver.board.wait_until_over();
    finish(&driver, end)
}

/// The one line of a driver that could not open its store.
fn refuse(out: &Out, error: &Error) -> Outcome {
    out.line_now(error_object(error).to_string())?;
    Ok(Exit::Number(exit_of(error.code())))
}

/// Turns signals into an end. After the store was opened: until then they end the process as usual, `--wait` included.
fn listen(driver: &Arc<Driver>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let driver = driver.clone();
    let forward = move || signals.forever().for_each(|signal| driver.board.end(End::Signal(signal)));
    thread::Builder::new().name("signals".into()).spawn(forward).map(drop)
}

/// Closes sessions and the store, and says how it all ended.
fn finish(driver: &Driver, end: End) -> Outcome {
    for client in driver.clients.lock().drain(..) {
        // It answers its own panics, so there is nothing to learn here.
        let _ = client.join();
    }
    driver.handles.close();
    let closed = driver.db().close().map_err(Failure::Store);
    match end {
        End::Input(read) => read.and(closed).map(|()| Exit::Done),
        End::Error => closed.map(|()| Exit::FAILED),
        End::Signal(signal) => closed.map(|()| Exit::Number(u8::try_from(128 + signal).unwrap_or(1))),
        End::Output(failure) => Err(failure),
    }
}
