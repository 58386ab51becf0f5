//! An election: a lock whose owner has something to say.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::coordination::mutex::is_held;
use crate::coordination::session::Session;
use crate::coordination::stand::Standing;
use crate::coordination::wait::{WaitOptions, await_turn, enter, give_up_unless_come, prefix_of, release};
use crate::db::Db;
use crate::error::{Error, Result};
use crate::kv::{Event, EventKind, KeyRange, KeyValue, LeaseId, Revision};
use crate::op::{Compare, Put, Range, SortOrder, SortTarget, Token};
use crate::watch::{Watch, WatchBatch, WatchCanceller};

/// An election by name, for one session; as etcd's `concurrency.Election`. The candidate that came first leads until it
/// resigns or its session ends, then the next. Its value, the proposal, is for all to see.
///
/// Keys are as those of [`Mutex`](crate::coordination::Mutex), with the proposal as their value; what is said there of
/// names, and of threads that share a session, holds here too.
///
/// ```
/// # let db = etclite::Db::in_memory()?;
/// let session = db.session(std::time::Duration::from_secs(10))?;
/// let election = session.election("scheduler");
/// let lead = election.campaign("10.0.0.1:80")?;
/// assert_eq!(election.leader()?.expect("there is one").value, "10.0.0.1:80");
/// lead.proclaim("10.0.0.1:81")?;
/// lead.resign()?;
/// assert_eq!(election.leader()?, None);
/// # Ok::<(), etclite::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Election {
    session: Session,
    prefix: Bytes,
}

impl Election {
    pub(super) fn new(session: &Session, name: &[u8]) -> Self {
        Election { session: session.clone(), prefix: prefix_of(name) }
    }

    /// Stands for election and waits, without a time limit, until elected. A session that stands or leads already
    /// changes its proposal to this one.
    ///
    /// # Errors
    /// [`Error::SessionExpired`] as soon as the session is lost, while somebody else may still lead (etcd tells such a
    /// candidate that it was elected); [`Error::Closed`], [`Error::Poisoned`] and the others of [`Db::put`].
    pub fn campaign(&self, value: impl AsRef<[u8]>) -> Result<Leadership> {
        loop {
            if let Some(lead) = self.campaign_with(value.as_ref(), &WaitOptions::new())? {
                return Ok(lead);
            }
        }
    }

    /// Stands for election for at most `timeout`. `None` if it did not come to lead: it stands no more, unless another
    /// thread still does with the same session.
    ///
    /// # Errors
    /// As [`Election::campaign`].
    pub fn campaign_timeout(&self, value: impl AsRef<[u8]>, timeout: Duration) -> Result<Option<Leadership>> {
        self.campaign_with(value, &WaitOptions::new().timeout(timeout))
    }

    /// Stands for election as the options say; see [`Election::campaign_timeout`].
    ///
    /// # Errors
    /// As [`Election::campaign`]; [`Error::WaitCanceled`], and it stands no more. If its key could not be removed the
    /// error says why, and it goes with the session.
    pub fn campaign_with(&self, value: impl AsRef<[u8]>, options: &WaitOptions) -> Result<Option<Leadership>> {
        self.session.check()?;
        let entry = enter(&self.session, &self.prefix, value.as_ref())?;
        if entry.found.as_ref().is_some_and(|found| *found != value.as_ref())
            && let Err(error) = self.propose(&entry.own, value.as_ref())
        {
            give_up_unless_come(&self.session, entry, Err(error.clone()))?;
            return Err(error);
        }
        let entry = await_turn(&self.session, &self.prefix, entry, options, &|_| true)?;
        Ok(entry.map(|entry| Leadership::new(&self.session, entry.own, entry.standing, entry.seen)))
    }

    /// Puts a new proposal at a key of the session's that was there a moment ago: what has taken it is the end of the
    /// session, or another thread with it.
    fn propose(&self, own: &Token, value: &[u8]) -> Result<()> {
        proclaim(&self.session, own, value)?.map(drop).ok_or_else(|| self.session.loss())
    }

    /// The leader's key with its proposal; `None` if nobody leads, where etcd has the error "election: no leader".
    ///
    /// # Errors
    /// As [`Db::query`].
    pub fn leader(&self) -> Result<Option<KeyValue>> {
        self.session.db().leader(self.name())
    }

    /// Follows who leads: the leader as of now, if there is one, and then every leader and every proclamation, each once
    /// and in order. See [`LeaderObserver`].
    ///
    /// # Errors
    /// As [`Db::load_and_watch`].
    pub fn observe(&self) -> Result<LeaderObserver> {
        self.session.db().observe_leader(self.name())
    }

    /// A lead that this session was given before: key and revision of [`Leadership`], kept by the caller. Nothing is
    /// checked until it is used. As etcd's `ResumeElection`.
    pub fn resume(&self, key: impl AsRef<[u8]>, revision: impl Into<Revision>) -> Leadership {
        let revision = revision.into();
        Leadership::new(&self.session, Token::new(key, revision, self.session.lease()), None, revision)
    }

    fn name(&self) -> &[u8] {
        &self.prefix[..self.prefix.len() - 1]
    }
}

impl Db {
    /// The leader of an election: its key with its proposal. `None` if nobody leads. No session is needed.
    ///
    /// # Errors
    /// As [`Db::query`].
    pub fn leader(&self, name: impl AsRef<[u8]>) -> Result<Option<KeyValue>> {
        Ok(self.query(leader_of(name.as_ref()))?.kvs.into_iter().next())
    }

    /// Follows who leads an election: see [`Election::observe`]. No session is needed.
    ///
    /// # Errors
    /// As [`Db::load_and_watch`].
    pub fn observe_leader(&self, name: impl AsRef<[u8]>) -> Result<LeaderObserver> {
        let (loaded, watch) = self.load_and_watch(KeyRange::prefix(prefix_of(name.as_ref())))?;
        Ok(LeaderObserver::new(loaded, watch))
    }
}

/// What reads the leader: the candidate that came first.
pub(crate) fn leader_of(name: &[u8]) -> Range {
    let candidates = Range::new(KeyRange::prefix(prefix_of(name)));
    candidates.sort(SortTarget::CreateRevision, SortOrder::Ascend).limit(1)
}

/// Puts a new proposal at a key, if it is still the one that was created then: at the revision that is returned.
fn proclaim(session: &Session, own: &Token, value: &[u8]) -> Result<Option<Revision>> {
    let same = Compare::create_revision(&own.key).eq(own.revision);
    let put = Put::new(&own.key, value).lease(session.lease());
    match session.db().txn().when([same]).then([put]).commit() {
        Ok(response) => Ok(response.succeeded.then_some(response.revision)),
        // Its end is under way, and takes the key along.
        Err(Error::LeaseNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The lead in an election. Dropping it resigns, without telling of errors. It holds its session, which stays open.
///
/// That it exists does not prove that the session leads: a session can be lost. What must not happen without the lead
/// is fenced with it, as with a [`LockGuard`](crate::coordination::LockGuard).
#[derive(Debug)]
pub struct Leadership {
    session: Session,
    token: Token,
    /// Resigned, lost, or left to itself.
    over: AtomicBool,
    /// Of a key that other threads of the session may stand with.
    standing: Option<Standing>,
    elected: Revision,
}

impl Leadership {
    fn new(session: &Session, token: Token, standing: Option<Standing>, elected: Revision) -> Self {
        Leadership { session: session.clone(), token, over: AtomicBool::new(false), standing, elected }
    }

    /// The leader's key: as etcd's `Election.Key`.
    pub fn key(&self) -> &Bytes {
        &self.token.key
    }

    /// The revision at which the key was created, which rises from leader to leader; as etcd's `Election.Rev`.
    pub fn revision(&self) -> Revision {
        self.token.revision
    }

    /// The store's revision as of which the session led: if nobody else stood, that of its own put, and else of what has
    /// made it the leader or later; of a lead that was resumed, the revision of its creation. As etcd's `Election.Header`.
    pub fn elected_revision(&self) -> Revision {
        self.elected
    }

    /// The fencing token, which can be stored and used by another process.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Whether the session leads now, as a fence would find. It may be over the moment after.
    ///
    /// # Errors
    /// As [`Db::execute`].
    pub fn is_held(&self) -> Result<bool> {
        is_held(&self.session, &self.token)
    }

    /// The lease of the key.
    pub fn lease(&self) -> LeaseId {
        self.session.lease()
    }

    /// The session that leads.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The compare that holds while the key is there, for txns of any client. A fence, or [`Compare::held`], looks at
    /// the lease as well.
    pub fn is_leader(&self) -> Compare {
        Compare::create_revision(&self.token.key).eq(self.token.revision)
    }

    /// Changes the proposal, without another election: key, lease and place stay. Durable on return, at the revision that
    /// is returned.
    ///
    /// # Errors
    /// [`Error::NotLeaderOfElection`] if the lead was resigned or lost; those of [`Db::put`].
    pub fn proclaim(&self, value: impl AsRef<[u8]>) -> Result<Revision> {
        self.check()?;
        self.confirm(proclaim(&self.session, &self.token, value.as_ref())?)
    }

    /// Gives the lead to the next candidate: the key is gone on return, durably, as of the revision that is returned. If
    /// it fails for another reason than that the lead is over, it can be called again.
    ///
    /// # Errors
    /// [`Error::NotLeaderOfElection`] if the lead was resigned or lost before, where etcd's `Resign` is silent; those of
    /// [`Db::put`].
    pub fn resign(&self) -> Result<Revision> {
        self.check()?;
        let released = match &self.standing {
            Some(standing) => standing.release(&self.token),
            None => release(self.session.db(), &self.token),
        };
        let resigned = match released {
            Ok(revision) => Some(revision),
            Err(Error::SessionExpired) => None,
            Err(error) => return Err(error),
        };
        self.over.store(true, Ordering::Release);
        self.confirm(resigned)
    }

    /// Lets the lead outlive this handle: it goes with its lease, or when somebody deletes its key.
    pub fn leave(self) {
        self.over.store(true, Ordering::Release);
        self.standing.iter().for_each(Standing::keep_key);
    }

    fn check(&self) -> Result<()> {
        if self.over.load(Ordering::Acquire) { Err(Error::NotLeaderOfElection) } else { Ok(()) }
    }

    /// Notes whether the session was still the leader, and wrote.
    fn confirm(&self, written: Option<Revision>) -> Result<Revision> {
        if written.is_none() {
            self.over.store(true, Ordering::Release);
        }
        written.ok_or(Error::NotLeaderOfElection)
    }
}

impl AsRef<Token> for Leadership {
    fn as_ref(&self) -> &Token {
        &self.token
    }
}

impl Drop for Leadership {
    fn drop(&mut self) {
        if !*self.over.get_mut() && self.resign().is_err_and(|error| !matches!(error, Error::NotLeaderOfElection)) {
            // A lead that cannot be given back must not be kept alive: it goes with its lease.
            self.session.orphan();
        }
    }
}

/// Every leader of an election and everything it proclaims, in order, each once; as etcd's `Election.Observe`.
///
/// Differs from etcd: there values may be skipped. This reads the history of the candidates, so that a slow observer
/// misses nothing; only a compaction that passes what it has not read ends it, with [`Error::Compacted`].
///
/// It ends as a [`Watch`] does: after an error, or when it is cancelled.
pub struct LeaderObserver {
    watch: Watch,
    /// By creation.
    candidates: BTreeMap<(Revision, Bytes), KeyValue>,
    by_key: BTreeMap<Bytes, Revision>,
    /// Key and mod revision of what was told last.
    told: Option<(Bytes, Revision)>,
    /// Found and not told yet: no more than a batch of events holds.
    leaders: VecDeque<KeyValue>,
}

impl LeaderObserver {
    fn new(loaded: Vec<KeyValue>, watch: Watch) -> Self {
        let (candidates, by_key, leaders) = (BTreeMap::new(), BTreeMap::new(), VecDeque::new());
        let mut observer = LeaderObserver { watch, candidates, by_key, told: None, leaders };
        loaded.into_iter().for_each(|kv| observer.insert(kv));
        observer.note_leader();
        observer
    }

    /// The next leader or proposal, if there is one now.
    ///
    /// # Errors
    /// As [`Watch::try_next`].
    pub fn try_next(&mut self) -> Result<Option<KeyValue>> {
        self.next_by(Watch::try_next)
    }

    /// The next leader or proposal; `None` if none came in that time, or at the end.
    ///
    /// # Errors
    /// As [`Watch::next_timeout`].
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<KeyValue>> {
        self.next_by(|watch| watch.next_timeout(timeout))
    }

    /// The next leader or proposal, for who waits for several things at once: see [`Watch::poll`].
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<KeyValue>>> {
        loop {
            if let Some(leader) = self.leaders.pop_front() {
                return Poll::Ready(Some(Ok(leader)));
            }
            match self.watch.poll(context) {
                Poll::Ready(Some(Ok(batch))) => self.note(batch),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// What cancels this from another thread.
    pub fn canceller(&self) -> WatchCanceller {
        self.watch.canceller()
    }

    fn next_by(&mut self, next: impl Fn(&mut Watch) -> Result<Option<WatchBatch>>) -> Result<Option<KeyValue>> {
        loop {
            if let Some(leader) = self.leaders.pop_front() {
                return Ok(Some(leader));
            }
            match next(&mut self.watch)? {
                Some(batch) => self.note(batch),
                None => return Ok(None),
            }
        }
    }

    /// Who led after each revision.
    fn note(&mut self, batch: WatchBatch) {
        let mut events = batch.into_events().into_iter().peekable();
        while let Some(event) = events.next() {
            let revision = event.kv.mod_revision;
            self.apply(event);
            if events.peek().is_none_or(|next| next.kv.mod_revision != revision) {
                self.note_leader();
            }
        }
    }

    fn apply(&mut self, event: Event) {
        match event.kind {
            EventKind::Put => self.insert(event.kv),
            EventKind::Delete => self.remove(&event.kv.key),
        }
    }

    fn insert(&mut self, kv: KeyValue) {
        self.remove(&kv.key);
        self.by_key.insert(kv.key.clone(), kv.create_revision);
        self.candidates.insert((kv.create_revision, kv.key.clone()), kv);
    }

    fn remove(&mut self, key: &Bytes) {
        if let Some(created) = self.by_key.remove(key) {
            self.candidates.remove(&(created, key.clone()));
        }
    }

    fn note_leader(&mut self) {
        let Some(leader) = self.candidates.values().next() else { return };
        let now = (leader.key.clone(), leader.mod_revision);
        if self.told.as_ref() != Some(&now) {
            self.told = Some(now);
            self.leaders.push_back(leader.clone());
        }
    }
}

impl Iterator for LeaderObserver {
    type Item = Result<KeyValue>;

    /// Waits for the next leader or proposal.
    fn next(&mut self) -> Option<Self::Item> {
        self.next_by(|watch| watch.next().transpose()).transpose()
    }
}

impl std::iter::FusedIterator for LeaderObserver {}

impl std::fmt::Debug for LeaderObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaderObserver").field("candidates", &self.candidates.len()).finish_non_exhaustive()
    }
}
