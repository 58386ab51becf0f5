//! SIGINT and SIGTERM for the commands that wait: they end the wait, the store is closed, and the exit code says which.
//! A command that does not wait leaves the signals alone.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals as Incoming};

use super::exit::{Exit, Failure};

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
    /// Of the first signal.
    exit: Option<Exit>,
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
        self.got.changed.wait_while_for(&mut state, |state| state.exit.is_none(), timeout);
        state.exit
    }

    /// The exit code of the signal that came, if one did.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.got.state.lock().exit
    }

    /// Has the first signal call this, at once if it has come.
    pub(super) fn on_signal(&self, call: impl FnOnce() + Send + 'static) {
        let mut state = self.got.state.lock();
        if state.exit.is_none() {
            state.calls.push(Box::new(call));
        } else {
            drop(state);
            call();
        }
    }
}

impl Got {
    fn signal(&self, signal: i32) {
        let calls = {
            let mut state = self.state.lock();
            // As a shell numbers the end by a signal.
            state.exit.get_or_insert(Exit::Number(if signal == SIGINT { 130 } else { 143 }));
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
