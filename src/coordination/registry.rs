//! Services: instances say where they are for as long as they live, and clients know at any time who does.
//!
//! An instance is a key under its service, with the lease of a session. A thread per registration waits for the loss of
//! either and puts it back, so that no accident ends a registration whose owner lives: not an operator's delete, not a
//! pause longer than the lease.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::coordination::endpoint::Endpoint;
use crate::coordination::follow::{Change, FollowCanceller, Follower};
use crate::coordination::session::Session;
use crate::coordination::wait::{Cancel, WaitOptions, Waiter, prefix_of};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::io::thread::{self, JoinHandle};
use crate::kv::{KeyRange, LeaseId, Revision};
use crate::op::{PutOptions, Range};
use crate::watch::{Watch, WatchBatch};

/// How long a registration waits that could not be looked after, or put back.
const RETRY: Duration = Duration::from_millis(500);

/// The instances of one service; as etcd's `naming/endpoints.Manager`, with its keys (`service/instance`) and its values
/// (see [`Endpoint`]).
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// use etclite::coordination::Endpoint;
/// # use std::time::Duration;
/// let web = db.registry("services/web");
/// let registration = web.register("1", Endpoint::new("10.0.0.1:80"), Duration::from_secs(10))?;
/// assert_eq!(web.resolve()?["1"].addr, "10.0.0.1:80");
/// registration.deregister()?;
/// assert!(web.resolve()?.is_empty());
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry {
    db: Db,
    prefix: Bytes,
}

impl Db {
    /// The instances of a service. Nothing is done yet.
    pub fn registry(&self, service: impl AsRef<[u8]>) -> Registry {
        Registry { db: self.clone(), prefix: prefix_of(service.as_ref()) }
    }
}

impl Registry {
    /// Registers an instance for as long as the [`Registration`] lives. If its process dies, it is gone `ttl` later.
    /// Durable on return. One of this name that is there is replaced.
    ///
    /// # Errors
    /// As [`Db::session`] and [`Db::put`]; [`Error::Io`] if there is no thread to be had.
    pub fn register(&self, instance: impl AsRef<str>, endpoint: Endpoint, ttl: Duration) -> Result<Registration> {
        let key = Bytes::from([&self.prefix, instance.as_ref().as_bytes()].concat());
        let session = self.db.session(ttl)?;
        let revision = put(&session, &key, &endpoint)?;
        let shared = Arc::new(Shared {
            db: self.db.clone(),
            key,
            ttl,
            stop: Cancel::new(),
            state: Mutex::new(State { endpoint, session, revision, restored: 0, last_error: None }),
        });
        let keeper = shared.clone();
        let thread = thread::spawn("register", move || keeper.run())
            .map_err(|error| Error::io("start a thread for", "a registration", error))?;
        Ok(Registration { shared, thread: Some(thread) })
    }

    /// Adds an instance, or updates it, that no process keeps alive: it stays until it is deleted, or its lease ends.
    /// [`LeaseId::NONE`] is no lease.
    ///
    /// # Errors
    /// As [`Db::put_with`].
    pub fn put(&self, instance: impl AsRef<str>, endpoint: &Endpoint, lease: impl Into<LeaseId>) -> Result<Revision> {
        let key = [&self.prefix, instance.as_ref().as_bytes()].concat();
        Ok(self.db.put_with(key, endpoint.to_json(), PutOptions::new().lease(lease))?.revision)
    }

    /// Deletes an instance. Whether it was there; a [`Registration`] of it puts it back.
    ///
    /// # Errors
    /// As [`Db::delete`].
    pub fn delete(&self, instance: impl AsRef<str>) -> Result<bool> {
        let key = [&self.prefix, instance.as_ref().as_bytes()].concat();
        Ok(self.db.delete(key)?.deleted > 0)
    }

    /// The instances by name. A key that is no endpoint is left out.
    ///
    /// # Errors
    /// As [`Db::range`].
    pub fn resolve(&self) -> Result<BTreeMap<String, Endpoint>> {
        let mut found = BTreeMap::new();
        for kv in self.db.range(KeyRange::prefix(&self.prefix))? {
            let kv = kv?;
            if let Some(endpoint) = Endpoint::from_json(&kv.value) {
                found.insert(self.name(&kv.key), endpoint);
            }
        }
        Ok(found)
    }

    /// Follows the instances: first those that are there, then what becomes of them.
    ///
    /// # Errors
    /// As [`Db::load_and_watch`].
    pub fn watch(&self) -> Result<EndpointWatch> {
        let follower = Follower::new(&self.db, &self.prefix)?;
        let mut watch =
            EndpointWatch { registry: self.clone(), follower, known: BTreeMap::new(), updates: VecDeque::new() };
        let there: Vec<Change> = watch.follower.entries().values().cloned().map(Change::Put).collect();
        watch.note(there);
        Ok(watch)
    }

    fn name(&self, key: &[u8]) -> String {
        String::from_utf8_lossy(&key[self.prefix.len()..]).into_owned()
    }
}

fn put(session: &Session, key: &Bytes, endpoint: &Endpoint) -> Result<Revision> {
    let options = PutOptions::new().lease(session.lease());
    Ok(session.db().put_with(key, endpoint.to_json(), options)?.revision)
}

/// An instance that is registered. Dropping it ends that, as [`Registration::deregister`] does without telling of errors.
///
/// If its key or its lease is lost, it is registered again by itself, as often as it takes.
#[derive(Debug)]
pub struct Registration {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    db: Db,
    key: Bytes,
    ttl: Duration,
    stop: Cancel,
    /// Held while it is put, so that the last update wins.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    endpoint: Endpoint,
    session: Session,
    /// When it was put last.
    revision: Revision,
    /// How often it was put back.
    restored: u64,
    /// Why that, or looking whether it is needed, failed when it was last tried.
    last_error: Option<Error>,
}

impl Registration {
    /// Its key.
    pub fn key(&self) -> &Bytes {
        &self.shared.key
    }

    /// Its lease, which is another one after the loss of one.
    pub fn lease(&self) -> LeaseId {
        self.shared.state.lock().session.lease()
    }

    /// How often it was lost and registered again.
    pub fn restored(&self) -> u64 {
        self.shared.state.lock().restored
    }

    /// Why it could not be looked after, or put back, when that was last tried; `None` if it went well. It is tried again
    /// until it does, unless the store is closed, poisoned or read-only.
    pub fn last_error(&self) -> Option<Error> {
        self.shared.state.lock().last_error.clone()
    }

    /// Changes what is told of the instance. Durable on return; if it happens to be lost just now, it comes back with
    /// this.
    ///
    /// # Errors
    /// As [`Db::put`].
    pub fn update(&self, endpoint: Endpoint) -> Result<()> {
        let mut state = self.shared.state.lock();
        state.endpoint = endpoint;
        match put(&state.session, &self.shared.key, &state.endpoint) {
            Ok(revision) => state.revision = revision,
            Err(Error::LeaseNotFound) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Ends the registration: the key is gone on return.
    ///
    /// # Errors
    /// As [`Session::close`]; the key then goes with its lease.
    pub fn deregister(mut self) -> Result<()> {
        self.stop();
        let session = self.shared.state.lock().session.clone();
        session.close().map(drop)
    }

    fn stop(&mut self) {
        self.shared.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it ever did, a panic here, in a drop, would abort the program.
            let _ = thread.join();
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    /// Puts back what is lost, until stopped or the store takes no writes any more.
    fn run(&self) {
        loop {
            // A loss that was not put back is found again: it is looked for from the last put on.
            let Err(error) = self.await_loss().and_then(|()| self.restore()) else { continue };
            let canceled = matches!(error, Error::WaitCanceled);
            let over = canceled || matches!(error, Error::Closed | Error::Poisoned | Error::ReadOnly);
            if !canceled {
                self.state.lock().last_error = Some(error);
            }
            let pause = WaitOptions::new().timeout(RETRY).cancel(&self.stop);
            if over || Waiter::new(&self.db, None, &pause).wait(&mut []).is_err() {
                return;
            }
        }
    }

    /// Waits until key or lease is lost.
    fn await_loss(&self) -> Result<()> {
        let (session, revision) = {
            let state = self.state.lock();
            (state.session.clone(), state.revision)
        };
        let options = WaitOptions::new().cancel(&self.stop);
        let waiter = Waiter::new(&self.db, Some(&session), &options);
        let lost = match self.db.watch(&self.key).no_put().from(revision + 1).start() {
            Ok(watch) => {
                self.state.lock().last_error = None;
                waiter.wait(&mut [watch]).map(drop)
            }
            // It may have been deleted since: see `restore`.
            Err(Error::Compacted { .. }) => Ok(()),
            // Without a watch it is looked for now and then.
            Err(error) if session.is_alive() && self.is_there()? => Err(error),
            Err(_) => Ok(()),
        };
        if matches!(lost, Err(Error::SessionExpired)) { Ok(()) } else { lost }
    }

    fn is_there(&self) -> Result<bool> {
        Ok(!self.db.query(Range::new(&self.key).keys_only())?.kvs.is_empty())
    }

    fn restore(&self) -> Result<()> {
        let mut state = self.state.lock();
        if !state.session.is_alive() {
            state.session = self.db.session(self.ttl)?;
        } else {
            let found = self.db.query(Range::new(&self.key).keys_only())?;
            // Somebody has put it meanwhile: an update, or another instance of this name.
            if !found.kvs.is_empty() {
                state.revision = found.revision;
                return Ok(());
            }
        }
        state.revision = put(&state.session, &self.key, &state.endpoint)?;
        state.restored += 1;
        Ok(())
    }
}

/// What has become of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointUpdate {
    /// It is there, or what is told of it has changed.
    Up(String, Endpoint),
    /// It is gone.
    Down(String),
}

/// The instances of a service as they come and go: see [`Registry::watch`]. Slow or passed by a compaction, it skips what
/// is over and goes on with what is.
pub struct EndpointWatch {
    registry: Registry,
    follower: Follower,
    known: BTreeMap<String, Endpoint>,
    updates: VecDeque<EndpointUpdate>,
}

impl EndpointWatch {
    /// The instances by name, as of the last update that was returned or is about to be.
    pub fn known(&self) -> &BTreeMap<String, Endpoint> {
        &self.known
    }

    /// The next update, if there is one now.
    ///
    /// # Errors
    /// As [`Watch::try_next`], but for [`Error::Compacted`].
    pub fn try_next(&mut self) -> Result<Option<EndpointUpdate>> {
        self.next_by(Watch::try_next)
    }

    /// The next update; `None` if none came in that time, or at the end.
    ///
    /// # Errors
    /// As [`EndpointWatch::try_next`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<EndpointUpdate>> {
        self.next_by(|watch| watch.next_timeout(timeout))
    }

    /// The next update, for who waits for several things: see [`Watch::poll`].
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<EndpointUpdate>>> {
        loop {
            if let Some(update) = self.updates.pop_front() {
                return Poll::Ready(Some(Ok(update)));
            }
            match self.follower.poll(context) {
                Poll::Ready(Some(Ok(changes))) => self.note(changes),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// What cancels this from another thread.
    pub fn canceller(&self) -> FollowCanceller {
        self.follower.canceller()
    }

    fn next_by(&mut self, next: impl Fn(&mut Watch) -> Result<Option<WatchBatch>>) -> Result<Option<EndpointUpdate>> {
        loop {
            if let Some(update) = self.updates.pop_front() {
                return Ok(Some(update));
            }
            match self.follower.step(&next)? {
                Some(changes) => self.note(changes),
                None => return Ok(None),
            }
        }
    }

    fn note(&mut self, changes: Vec<Change>) {
        for change in changes {
            let (key, endpoint) = match change {
                Change::Put(kv) => (kv.key, Endpoint::from_json(&kv.value)),
                Change::Removed(key) => (key, None),
            };
            let name = self.registry.name(&key);
            match endpoint {
                Some(endpoint) if self.known.get(&name) == Some(&endpoint) => {}
                Some(endpoint) => {
                    self.known.insert(name.clone(), endpoint.clone());
                    self.updates.push_back(EndpointUpdate::Up(name, endpoint));
                }
                None => {
                    if self.known.remove(&name).is_some() {
                        self.updates.push_back(EndpointUpdate::Down(name));
                    }
                }
            }
        }
    }
}

impl Iterator for EndpointWatch {
    type Item = Result<EndpointUpdate>;

    /// Waits for the next update.
    fn next(&mut self) -> Option<Self::Item> {
        self.next_by(|watch| watch.next().transpose()).transpose()
    }
}

impl std::iter::FusedIterator for EndpointWatch {}

impl std::fmt::Debug for EndpointWatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointWatch").field("instances", &self.known.len()).finish_non_exhaustive()
    }
}
