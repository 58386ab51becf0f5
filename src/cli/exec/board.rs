//! Who has what to do: a desk per client, where its lines queue, and how it all ends.
//!
//! The reader of stdin puts lines on desks, a thread per client takes them off, and the main thread waits for the end.
//! The end comes in two kinds:
//!
//! - **No more input**, or the first error with `--stop-on-error`: what is queued still runs (after an error it does not),
//!   and once every client is idle or in a wait without end, these waits are interrupted. What comes then may go on to
//!   other such waits; they are interrupted in turn.
//! - **Away at once**: a signal, or nobody reads what we print. All waits are interrupted, and whatever is queued or
//!   begins to wait later finds itself canceled.
//!
//! A wait says how to wake it. That is called under the board's lock, so that it is never called once the wait is over;
//! in exchange nobody may use the board under a lock which waking takes.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::request::Line;
use crate::cli::exit::Failure;

/// How many unanswered lines a client may have before stdin is not read on.
pub(super) const UNANSWERED_MAX: usize = 1024;

/// Why no more lines are taken.
#[derive(Debug)]
pub(super) enum End {
    /// The input has ended, or could not be read on.
    Input(Result<(), Failure>),
    /// `--stop-on-error`.
    Error,
    /// SIGINT or SIGTERM.
    Signal(i32),
    /// An answer could not be printed.
    Output(Failure),
}

impl End {
    /// Whether all waits end at once, and all that is queued.
    fn is_at_once(&self) -> bool {
        self.urgency() == 2
    }

    /// An end gives way to a more urgent one.
    fn urgency(&self) -> u8 {
        match self {
            End::Input(_) => 0,
            End::Error => 1,
            End::Signal(_) | End::Output(_) => 2,
        }
    }
}

/// The desks of all clients.
pub(super) struct Board {
    state: Mutex<State>,
    /// The reader waits for room on a desk.
    room: Condvar,
    /// The main thread waits for everything to be over.
    over: Condvar,
}

#[derive(Default)]
struct State {
    /// Invariant: a line that was read and not answered is counted on its desk, or is the one in the reader's hand.
    desks: BTreeMap<u8, Desk>,
    /// Whether the reader holds a line for which there is no room yet.
    in_hand: bool,
    end: Option<End>,
}

#[derive(Default)]
struct Desk {
    queue: VecDeque<Line>,
    /// Those in the queue and the one that runs.
    unanswered: usize,
    /// Its client waits here: for work, or asleep.
    client: Arc<Condvar>,
    wait: Option<Waiting>,
}

struct Waiting {
    endless: bool,
    interrupted: bool,
    wake: Box<dyn Fn() + Send>,
}

impl Desk {
    fn is_stuck(&self) -> bool {
        self.wait.as_ref().is_some_and(|wait| wait.endless && !wait.interrupted)
    }

    fn interrupt(&mut self) {
        if let Some(wait) = self.wait.as_mut().filter(|wait| !wait.interrupted) {
            wait.interrupted = true;
            (wait.wake)();
        }
        self.client.notify_all();
    }
}

impl State {
    fn is_at_once(&self) -> bool {
        self.end.as_ref().is_some_and(End::is_at_once)
    }

    fn is_idle(&self) -> bool {
        !self.in_hand && self.desks.values().all(|desk| desk.unanswered == 0)
    }

    /// To be called when something was done or a wait began: interrupts what nothing can end any more.
    fn settle(&mut self) {
        let stuck = |desk: &Desk| desk.unanswered == 0 || desk.is_stuck();
        if self.end.is_some() && !self.in_hand && self.desks.values().all(stuck) {
            self.desks.values_mut().filter(|desk| desk.is_stuck()).for_each(Desk::interrupt);
        }
    }
}

impl Board {
    pub(super) fn new() -> Board {
        Board { state: Mutex::new(State::default()), room: Condvar::new(), over: Condvar::new() }
    }

    /// Puts a line on its client's desk, once there is room. False: nothing more is taken.
    ///
    /// `hire` is called for the first line of a client, to start its thread. If it cannot, the line is given back.
    pub(super) fn put(
        &self,
        line: Line,
        hire: impl FnOnce(u8) -> io::Result<()>,
    ) -> Result<bool, Box<(Line, io::Error)>> {
        let client = line.client;
        let mut state = self.state.lock();
        while state.end.is_none() && state.desks.get(&client).is_some_and(|desk| desk.unanswered >= UNANSWERED_MAX) {
            state.in_hand = true;
            self.room.wait(&mut state);
        }
        let was_in_hand = std::mem::take(&mut state.in_hand);
        // What was read before an end at once is canceled by its client; the latter is still there.
        if state.end.is_some() && !(was_in_hand && state.is_at_once()) {
            self.tell_if_over(&state);
            return Ok(false);
        }
        if !state.desks.contains_key(&client)
            && let Err(error) = hire(client)
        {
            return Err(Box::new((line, error)));
        }
        let desk = state.desks.entry(client).or_default();
        desk.unanswered += 1;
        desk.queue.push_back(line);
        desk.client.notify_all();
        Ok(state.end.is_none())
    }

    /// The client's next line; waits for it. `None`: there will be none.
    pub(super) fn take(&self, client: u8) -> Option<Line> {
        let mut state = self.state.lock();
        loop {
            let ended = state.end.is_some() && !state.in_hand;
            let desk = state.desks.get_mut(&client)?;
            if let Some(line) = desk.queue.pop_front() {
                return Some(line);
            }
            if ended {
                return None;
            }
            let condvar = desk.client.clone();
            condvar.wait(&mut state);
        }
    }

    /// The line that the client has taken is answered.
    pub(super) fn answered(&self, client: u8) {
        let mut state = self.state.lock();
        if let Some(desk) = state.desks.get_mut(&client) {
            desk.unanswered -= 1;
        }
        self.room.notify_all();
        state.settle();
        self.tell_if_over(&state);
    }

    /// Ends it all. Of several ends the most urgent counts, of equal ones the first.
    pub(super) fn end(&self, end: End) {
        let mut state = self.state.lock();
        if state.end.as_ref().is_some_and(|first| first.urgency() >= end.urgency()) {
            return;
        }
        let (at_once, drops) = (end.is_at_once(), matches!(end, End::Error));
        state.end = Some(end);
        for desk in state.desks.values_mut() {
            if drops {
                desk.unanswered -= desk.queue.len();
                desk.queue.clear();
            }
            if at_once {
                desk.interrupt();
            }
            desk.client.notify_all();
        }
        self.room.notify_all();
        state.settle();
        self.tell_if_over(&state);
    }

    fn tell_if_over(&self, state: &State) {
        if state.end.is_some() && state.is_idle() {
            self.over.notify_all();
            // Those that waited for the reader's last line.
            for desk in state.desks.values() {
                desk.client.notify_all();
            }
        }
    }

    /// Waits until no more lines are taken and all that were are answered.
    pub(super) fn wait_until_over(&self) -> End {
        let mut state = self.state.lock();
        loop {
            if state.is_idle()
                && let Some(end) = state.end.take()
            {
                // Whoever looks must still find that it is over.
                state.end = Some(End::Error);
                return end;
            }
            self.over.wait(&mut state);
        }
    }

    /// Whether everything ends at once.
    pub(super) fn is_canceled(&self) -> bool {
        self.state.lock().is_at_once()
    }

    /// Begins a wait of this client, which `wake` interrupts. An endless one is interrupted, too, once nobody has
    /// anything else to do.
    pub(super) fn wait(&self, client: u8, endless: bool, wake: impl Fn() + Send + 'static) -> Wait<'_> {
        let mut state = self.state.lock();
        let at_once = state.is_at_once();
        if let Some(desk) = state.desks.get_mut(&client) {
            desk.wait = Some(Waiting { endless, interrupted: false, wake: Box::new(wake) });
            if at_once {
                desk.interrupt();
            }
        }
        state.settle();
        Wait { board: self, client }
    }
}

/// A wait of a client; it ends when dropped.
pub(super) struct Wait<'a> {
    board: &'a Board,
    client: u8,
}

impl Wait<'_> {
    /// Whether it was woken from outside.
    pub(super) fn is_interrupted(&self) -> bool {
        let state = self.board.state.lock();
        state.desks.get(&self.client).and_then(|desk| desk.wait.as_ref()).is_some_and(|wait| wait.interrupted)
    }

    /// Sleeps until then, or for ever; false if interrupted.
    pub(super) fn sleep_until(&self, until: Option<Instant>) -> bool {
        let mut state = self.board.state.lock();
        loop {
            let Some(desk) = state.desks.get(&self.client) else { return false };
            if desk.wait.as_ref().is_none_or(|wait| wait.interrupted) {
                return false;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return true;
            }
            let condvar = desk.client.clone();
            match until {
                Some(until) => drop(condvar.wait_until(&mut state, until)),
                None => condvar.wait(&mut state),
            }
        }
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        let mut state = self.board.state.lock();
        if let Some(desk) = state.desks.get_mut(&self.client) {
            desk.wait = None;
        }
    }
}
