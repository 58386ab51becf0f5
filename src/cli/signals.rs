//! SIGINT and SIGTERM for the commands that wait: they end the wait, the store is closed, and the exit code says which.
//! A command that does not wait leaves the signals alone. While a child runs, they are passed on to it.

use std::io;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals as Incoming};

use super::exit::{Exit, Failure};
use crate::io::{is_in_foreground, send_signal, wait_for_end};

/// Listens while it lives, in a thread of its own.
pub(super) struct Signals {
    got: Arc<Got>,
    handle: Handle,
    thread: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Got {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The first signal.
    first: Option<i32>,
    /// The child that runs; it has not been waited for, so the id is its own.
    child: Option<u32>,
    /// What the first signal sets off.
    calls: Vec<Box<dyn FnOnce() + Send>>,
}

impl Signals {
    pub(super) fn listen() -> Result<Signals, Failure> {
        let failed = |error| Failure::Outside("cannot listen for signals".into(), error);
        let mut incoming = Incoming::new([SIGINT, SIGTERM]).map_err(failed)?;
        let handle = incoming.handle();
        let got = Arc::new(Got::default());
        let thread = std::thread::spawn({
            let got = Arc::clone(&got);
            move || incoming.forever().for_each(|signal| got.signal(signal))
        });
        Ok(Signals { got, handle, thread: Some(thread) })
    }

    /// Waits for a signal; `None` if none came in that time.
    pub(super) fn wait(&self, timeout: Duration) -> Option<Exit> {
        let mut state = self.got.state.lock();
        self.got.changed.wait_while_for(&mut state, |state| state.first.is_none(), timeout);
        state.exit()
    }

    /// The exit code of the signal that came, if one did.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.got.state.lock().exit()
    }

    /// Waits for a child that was just started. Signals are the child's to answer: one that comes meanwhile is passed
    /// on, and so is one that came while it was started.
    pub(super) fn wait_for(&self, child: &mut Child) -> io::Result<ExitStatus> {
        self.got.adopt(child.id());
        let ended = wait_for_end(child.id());
        // Before its id is given back.
        self.got.state.lock().child = None;
        ended.and_then(|()| child.wait())
    }

    /// Has the first signal call this, at once if it has come.
    pub(super) fn on_signal(&self, call: impl FnOnce() + Send + 'static) {
        let mut state = self.got.state.lock();
        if state.first.is_none() {
            state.calls.push(Box::new(call));
        } else {
            drop(state);
            call();
        }
    }
}

impl State {
    /// As a shell numbers the end by a signal.
    fn exit(&self) -> Option<Exit> {
        self.first.map(|signal| Exit::Number(if signal == SIGINT { 130 } else { 143 }))
    }
}

impl Got {
    fn adopt(&self, child: u32) {
        let mut state = self.state.lock();
        state.child = Some(child);
        if let Some(signal) = state.first {
            // One that has ended already needs no signal.
            let _ = send_signal(child, signal);
        }
    }

    fn signal(&self, signal: i32) {
        let calls = {
            let mut state = self.state.lock();
            state.first.get_or_insert(signal);
            // The terminal has told the child of Ctrl-C itself; many programs take a second one for impatience.
            if let Some(child) = state.child.filter(|_| signal != SIGINT || !is_in_foreground()) {
                // One that has ended already needs no signal.
                let _ = send_signal(child, signal);
            }
            self.changed.notify_all();
            std::mem::take(&mut state.calls)
        };
        calls.into_iter().for_each(|call| call());
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // It ends once the handle is closed; that it panicked would have been told already.
            let _ = thread.join();
        }
    }
}
