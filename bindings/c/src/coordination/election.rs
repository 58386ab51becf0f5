//! An election by name.

use std::sync::Arc;
use std::time::Duration;

use etclite::coordination::{Election, LeaderObserver, Leadership};
use etclite::{Db, Error, KeyValue, Revision, Session, Token, WatchCanceller};
use parking_lot::Mutex;

use crate::argument::{bytes, out_pointer, timeout};
use crate::code::{ETCLITE_NOT_FOUND, ETCLITE_OK, ETCLITE_TIMEOUT};
use crate::coordination::session::{SessionObject, etclite_session};
use crate::coordination::{Guard, Holding, open};
use crate::error::{Failure, etclite_error};
use crate::guard::{enter, enter_free};
use crate::handle::{self, Object};
use crate::result::{ResultObject, etclite_result};

/// An election by name, for one session. The candidate that came first leads until it resigns or its session ends, then
/// the next; its value, the proposal, is for all to see. Keys are as those of an `etclite_mutex`.
///
/// With one session a second candidacy of the name, by this handle or another, is the first one again.
pub struct etclite_election {
    _opaque: (),
}

/// What stands behind an `etclite_election`.
struct ElectionObject {
    session: Session,
    name: Box<[u8]>,
    election: Election,
    holding: Holding<Leadership>,
    /// Locked by who has the turn.
    observed: Mutex<Observed>,
    /// Of what is being observed. Taken for a moment.
    canceller: Mutex<Option<Arc<WatchCanceller>>>,
}

/// What an election's observer has seen.
#[derive(Default)]
struct Observed {
    observer: Option<LeaderObserver>,
    /// What could not be handed out, there being no handle left. It comes again.
    untold: Option<KeyValue>,
    /// Key and mod revision of what was told last.
    told: Option<(Vec<u8>, Revision)>,
}

impl Observed {
    fn was_told(&self, leader: &KeyValue) -> bool {
        self.told.as_ref().is_some_and(|(key, revision)| *key == leader.key && *revision == leader.mod_revision)
    }

    fn told(&mut self, leader: &KeyValue) {
        self.told = Some((leader.key.to_vec(), leader.mod_revision));
    }
}

impl Object for ElectionObject {
    type Opaque = etclite_election;
    const KIND: u64 = 11;

    fn database(&self) -> Option<&Db> {
        Some(self.session.db())
    }
}

impl Guard for Leadership {
    const MISSING: Error = Error::NotLeaderOfElection;

    fn token(&self) -> &Token {
        Leadership::token(self)
    }

    fn leave(self) {
        Leadership::leave(self);
    }

    fn release(&self) -> Result<(), Error> {
        self.resign().map(drop)
    }
}

/// An election by this name. Nothing is done yet. The handle must be freed by `etclite_election_free`; it holds the
/// session, which must still be closed.
///
/// Errors: `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_election_new(
    session: *const etclite_session,
    name: *const u8,
    name_len: usize,
    election: *mut *mut etclite_election,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err`, the bytes and the out parameter.
    unsafe {
        enter(err, || {
            let election = out_pointer(election)?;
            let name = bytes(name, name_len)?;
            let session = open::<SessionObject>(session)?.session.clone();
            *election = handle::publish(ElectionObject {
                election: session.election(name),
                session,
                name: name.into(),
                holding: Holding::new(),
                observed: Mutex::default(),
                canceller: Mutex::default(),
            })?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Stands for election with a proposal and waits for the lead for at most `timeout_ms`: -1 for ever, 0 not at all.
/// Returns `ETCLITE_TIMEOUT` if it did not come to lead in time: then it stands no more. Who leads already, or stands by
/// another handle of the session, changes the proposal to this one.
///
/// Errors: `SESSION_EXPIRED` as soon as the session is over, while somebody else may still lead; `CANCELED`; `CLOSED` as
/// soon as the store is closed; `MISUSE` while another thread is in a call with this handle that needs it alone; as
/// `etclite_put`. After an error it does not stand, and what could not be removed goes with the session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_election_campaign(
    election: *mut etclite_election,
    value: *const u8,
    value_len: usize,
    timeout_ms: i64,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the bytes.
    unsafe {
        enter(err, || {
            let value = bytes(value, value_len)?;
            let timeout = timeout(timeout_ms)?;
            let object = open::<ElectionObject>(election)?;
            let _turn = object.holding.turn()?;
            object.holding.check_canceled()?;
            Ok(if object.campaign(value, timeout)? { ETCLITE_OK } else { ETCLITE_TIMEOUT })
        })
    }
}

/// Changes the proposal of the leader, without another election: key, lease and place stay. Durable on return.
///
/// Errors: `NOT_LEADER_OF_ELECTION` if it does not lead, or not any more; `MISUSE` while another thread is in a call with
/// this handle that needs it alone; as `etclite_put`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_election_proclaim(
    election: *mut etclite_election,
    value: *const u8,
    value_len: usize,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the bytes.
    unsafe {
        enter(err, || {
            let value = bytes(value, value_len)?;
            let object = open::<ElectionObject>(election)?;
            let _turn = object.holding.turn()?;
            object.holding.held()?.proclaim(value)?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Gives the lead to the next candidate: the key is gone on return, durably. After another error than
/// `NOT_LEADER_OF_ELECTION` it leads as before, and this can be called again.
///
/// Errors: as `etclite_election_proclaim`. (etcd's clients say nothing if it does not lead.)
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_election_resign(election: *mut etclite_election, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            let object = open::<ElectionObject>(election)?;
            let _turn = object.holding.turn()?;
            object.holding.release()?;
            Ok(ETCLITE_OK)
        })
    }
}

/// The leader's key with its proposal, whoever leads. Returns `ETCLITE_NOT_FOUND`, without a result, if nobody does. The
/// result must be freed by `etclite_result_free`.
///
/// Errors: `CLOSED`, `IO`, `CORRUPT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_election_leader(
    election: *const etclite_election,
    result: *mut *mut etclite_result,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let result = out_pointer(result)?;
            let object = open::<ElectionObject>(election)?;
            let db = object.session.db();
            let found = etclite::host::leader(db, &object.name)?;
            if found.kvs.is_empty() {
                return Ok(ETCLITE_NOT_FOUND);
            }
            *result = handle::publish(ResultObject::read(db, found.revision, &found.kvs, 1, false))?;
            Ok(ETCLITE_OK)
        })
    }
}

/// Follows who leads, whoever it is: the first call gives the leader as of then, if there is one, each later one the next
/// leader or the next proposal, waiting for it for at most `timeout_ms`: -1 for ever, 0 not at all. Returns
/// `ETCLITE_TIMEOUT`, without a result, if none came. Each comes once, in order; what a compaction has passed before it
/// was asked for is skipped. The result must be freed by `etclite_result_free`; its header has the revision at which the
/// proposal was made.
///
/// Nobody but the caller is needed for it: it goes on when the session has ended. To campaign and to observe at the same
/// time takes a handle each.
///
/// Errors: `CANCELED`; `CLOSED` as soon as the store is closed; `MISUSE` while another thread is in a call with this
/// handle that needs it alone; `IO`, `CORRUPT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_election_observe(
    election: *mut etclite_election,
    timeout_ms: i64,
    result: *mut *mut etclite_result,
    err: *mut etclite_error,
) -> i32 {
    // SAFETY: as the header file demands of `err` and the out parameter.
    unsafe {
        enter(err, || {
            let result = out_pointer(result)?;
            let timeout = timeout(timeout_ms)?;
            let object = open::<ElectionObject>(election)?;
            let _turn = object.holding.turn()?;
            object.holding.check_canceled()?;
            let mut observed = object.observed.lock();
            let Some(leader) = object.observe(&mut observed, timeout)? else { return Ok(ETCLITE_TIMEOUT) };
            let read =
                ResultObject::read(object.session.db(), leader.mod_revision, std::slice::from_ref(&leader), 1, false);
            *result = handle::publish(read).inspect_err(|_| observed.untold = Some(leader.clone()))?;
            observed.told(&leader);
            Ok(ETCLITE_OK)
        })
    }
}

/// Ends the waits with this handle from any thread: `etclite_election_campaign` and `etclite_election_observe` answer
/// `CANCELED`, those that wait and all later ones, and a candidate stands no more. Does not wait for that. Who leads goes
/// on leading.
///
/// Errors: `CLOSED`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_election_cancel(election: *const etclite_election, err: *mut etclite_error) -> i32 {
    // SAFETY: as the header file demands of `err`.
    unsafe {
        enter(err, || {
            open::<ElectionObject>(election)?.cancel();
            Ok(ETCLITE_OK)
        })
    }
}

/// Frees an election, from any thread. A lead that it has is resigned; one that cannot be resigned goes with the session,
/// which is renewed no more. A wait in progress ends with `CANCELED`. Null is allowed and does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn etclite_election_free(election: *mut etclite_election) -> i32 {
    enter_free(|| {
        if election.is_null() {
            return Ok(());
        }
        let object = handle::pin::<ElectionObject>(election)?;
        if !handle::end(&object) {
            return Err(Failure::misuse());
        }
        object.cancel();
        object.holding.free();
        Ok(())
    })
}

impl ElectionObject {
    fn campaign(&self, value: &[u8], timeout: Option<Duration>) -> Result<bool, Failure> {
        let options = self.holding.wait_options(timeout);
        loop {
            match self.election.campaign_with(value, &options)? {
                Some(lead) => return self.holding.keep(lead).map(|()| true),
                None if timeout.is_some() => return Ok(false),
                None => {}
            }
        }
    }

    /// The next leader or proposal that was not told.
    fn observe(&self, observed: &mut Observed, timeout: Option<Duration>) -> Result<Option<KeyValue>, Failure> {
        if let Some(untold) = observed.untold.take() {
            return Ok(Some(untold));
        }
        loop {
            let mut observer = match observed.observer.take() {
                Some(observer) => observer,
                None => self.observer()?,
            };
            let leader = match wait(&mut observer, timeout) {
                Ok(leader) => leader,
                // Begins anew with who leads now. A wait that was under way does, too: it is of events that came
                // faster than they could be read.
                Err(Error::Compacted { .. }) => continue,
                Err(Error::Canceled) => return Err(Error::WaitCanceled.into()),
                Err(error) => return Err(error.into()),
            };
            observed.observer = Some(observer);
            let Some(leader) = leader else { return Ok(None) };
            // The first that a new observer tells may have been told by the one before.
            if !observed.was_told(&leader) {
                return Ok(Some(leader));
            }
        }
    }

    /// An observer that `cancel` finds.
    fn observer(&self) -> Result<LeaderObserver, Failure> {
        let observer = self.election.observe()?;
        *self.canceller.lock() = Some(Arc::new(observer.canceller()));
        // Looked at after: either who cancels finds the canceller, or it is found here that he did.
        self.holding.check_canceled()?;
        Ok(observer)
    }

    fn cancel(&self) {
        self.holding.cancel.cancel();
        let canceller = self.canceller.lock().clone();
        if let Some(canceller) = canceller {
            canceller.cancel();
        }
    }
}

/// The next leader; `None` if none came in time.
fn wait(observer: &mut LeaderObserver, timeout: Option<Duration>) -> Result<Option<KeyValue>, Error> {
    match timeout {
        Some(timeout) => observer.next_timeout(timeout),
        None => observer.next().transpose(),
    }
}
