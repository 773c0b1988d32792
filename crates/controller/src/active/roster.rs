//! The roster of the active controller: who has a session, who is alive, who said hello, in its own term.
//!
//! Owns the liveness machine and steps it; closed and empty while this node does not lead. Session tasks and the controller's driver share it, so a
//! session that hears a broker changes the live set at once. The lock is held for a few instructions and never across an await.
//! Invariant: nothing of an earlier term is left when a term begins.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{BrokerEpoch, BrokerId, Clock, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::liveness::{Action, Event, Heartbeat, Liveness, SessionId};
use crate::metadata::{LiveSet, RaftId};
use crate::suspicions::Suspicions;

/// The term's roster, or a closed one.
pub(crate) struct Roster {
    session_timeout: Duration,
    clock: Clock,
    suspicions: Arc<Suspicions>,
    open: Mutex<Option<Open>>,
    /// Rung when the machine was stepped.
    wake: Notify,
    /// Rung when somebody said hello or opened a session.
    newcomers: Notify,
    /// Whether a term has begun here, for sessions that come a moment too early.
    active: watch::Sender<bool>,
    /// Brokers whose connection broke, for all sessions to pass on.
    suspects: watch::Sender<BTreeSet<BrokerId>>,
    next_session: std::sync::atomic::AtomicU64,
}

struct Open {
    liveness: Liveness,
    sessions: BTreeMap<SessionId, SessionEntry>,
    /// Nodes that said hello and are in no membership yet.
    strangers: BTreeMap<RaftId, BrokerId>,
    /// Ends every session of the term.
    cancel: CancellationToken,
}

struct SessionEntry {
    broker_id: BrokerId,
    raft_id: RaftId,
    cancel: CancellationToken,
}

impl Roster {
    pub(crate) fn new(
        session_timeout: Duration,
        clock: Clock,
        suspicions: Arc<Suspicions>,
    ) -> Self {
        Self {
            session_timeout,
            clock,
            suspicions,
            open: Mutex::new(None),
            wake: Notify::new(),
            newcomers: Notify::new(),
            active: watch::Sender::new(false),
            suspects: watch::Sender::new(BTreeSet::new()),
            next_session: std::sync::atomic::AtomicU64::new(1),
        }
    }

    /// Opens the roster for a term: nobody has been heard; what this node saw break before is inherited.
    pub(crate) fn begin(&self) {
        let now = self.clock.now();
        let mut liveness = Liveness::new(now, self.session_timeout);
        for (broker_id, since) in self.suspicions.seen() {
            liveness.inherit_suspicion(now, broker_id, since);
        }
        *self.lock() = Some(Open {
            liveness,
            sessions: BTreeMap::new(),
            strangers: BTreeMap::new(),
            cancel: CancellationToken::new(),
        });
        self.active.send_replace(true);
    }

    /// Closes the roster, and the sessions of the term.
    pub(crate) fn end(&self) {
        if let Some(term) = self.lock().take() {
            term.cancel.cancel();
        }
        self.active.send_replace(false);
    }

    /// Waits until a term begins here.
    pub(crate) async fn begun(&self) {
        // The sender is in `self`, so that the wait ends with a term.
        let _ = self.active.subscribe().wait_for(|active| *active).await;
    }

    /// Waits until somebody said hello or opened a session.
    pub(crate) async fn newcomers(&self) {
        self.newcomers.notified().await;
    }

    /// Follows who is suspected.
    pub(crate) fn watch_suspects(&self) -> watch::Receiver<BTreeSet<BrokerId>> {
        self.suspects.subscribe()
    }

    /// Tells all sessions, and those who ask this node, who is suspected now.
    pub(crate) fn publish_suspects(&self) {
        let suspects: BTreeSet<BrokerId> = self.suspected().into_keys().collect();
        self.suspicions.publish(&suspects);
        self.suspects.send_if_modified(|told| {
            let is_new = *told != suspects;
            if is_new {
                *told = suspects;
            }
            is_new
        });
    }

    /// Says whether a term has begun here.
    pub(crate) fn is_open(&self) -> bool {
        self.lock().is_some()
    }

    /// Feeds the liveness machine, if this node leads.
    pub(crate) fn step(&self, event: Event) {
        if let Some(term) = self.lock().as_mut() {
            term.liveness.step(self.clock.now(), event);
        }
        self.wake.notify_one();
    }

    /// Takes in what a broker said of itself on a session.
    pub(crate) fn heard(&self, session: SessionId, broker_id: BrokerId, heartbeat: Heartbeat) {
        self.suspicions.heard(broker_id);
        self.step(Event::Heard { session, heartbeat });
    }

    /// Takes what the machine wishes.
    pub(crate) fn take_actions(&self) -> Vec<Action> {
        let mut guard = self.lock();
        let Some(term) = guard.as_mut() else { return Vec::new() };
        let mut actions = Vec::new();
        while let Some(action) = term.liveness.poll_action() {
            if let Action::Close { session } = action {
                if let Some(open) = term.sessions.get(&session) {
                    open.cancel.cancel();
                }
            } else {
                actions.push(action);
            }
        }
        actions
    }

    /// Waits until something happened.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Returns when the machine must be stepped again, in the runtime's time; now, when no term runs.
    pub(crate) fn next_step(&self) -> Instant {
        let due = self.lock().as_ref().map(|term| term.liveness.poll_timeout());
        due.map_or_else(Instant::now, |at| Instant::from_std(self.clock.instant_of(at)))
    }

    /// Returns the brokers heard from in this term.
    pub(crate) fn live(&self) -> LiveSet {
        self.lock().as_ref().map(|term| term.liveness.live()).unwrap_or_default()
    }

    /// Returns the brokers whose connection broke, with the time.
    pub(crate) fn suspected(&self) -> BTreeMap<BrokerId, Timestamp> {
        self.lock().as_ref().map(|term| term.liveness.suspected()).unwrap_or_default()
    }

    /// Returns the epoch of another open session of a broker id.
    pub(crate) fn open_session(
        &self,
        broker_id: BrokerId,
        except: SessionId,
    ) -> Option<BrokerEpoch> {
        self.lock().as_ref()?.liveness.open_session(broker_id, except)
    }

    /// Opens a session; `None` when this node does not lead. The token ends with the session's silence or the term.
    pub(crate) fn open(
        &self,
        broker_id: BrokerId,
        raft_id: RaftId,
        broker_epoch: Option<BrokerEpoch>,
    ) -> Option<(SessionId, CancellationToken)> {
        let number = self.next_session.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let session = SessionId(number);
        let mut guard = self.lock();
        let term = guard.as_mut()?;
        let cancel = term.cancel.child_token();
        let open = SessionEntry { broker_id, raft_id, cancel: cancel.clone() };
        term.sessions.insert(session, open);
        term.strangers.remove(&raft_id);
        term.liveness.step(self.clock.now(), Event::Opened { session, broker_id, broker_epoch });
        drop(guard);
        self.wake.notify_one();
        self.newcomers.notify_one();
        Some((session, cancel))
    }

    /// Ends a session.
    pub(crate) fn close(&self, session: SessionId) {
        if let Some(term) = self.lock().as_mut()
            && term.sessions.remove(&session).is_some()
        {
            term.liveness.step(self.clock.now(), Event::Closed { session });
        }
        self.wake.notify_one();
    }

    /// Says whether another storage of the same broker id has a session: two processes must not share a broker id, and the one that serves stays.
    pub(crate) fn is_in_use(&self, broker_id: BrokerId, raft_id: RaftId) -> bool {
        let is_other = |open: &SessionEntry| open.broker_id == broker_id && open.raft_id != raft_id;
        self.lock().as_ref().is_some_and(|term| term.sessions.values().any(is_other))
    }

    /// Notes a node that said hello and is in no membership, if this node leads.
    pub(crate) fn note_stranger(&self, raft_id: RaftId, broker_id: BrokerId) {
        if let Some(term) = self.lock().as_mut()
            && term.strangers.len() < MAX_STRANGERS
        {
            term.strangers.insert(raft_id, broker_id);
        }
        self.newcomers.notify_one();
    }

    /// Takes the nodes that said hello and are in no membership.
    pub(crate) fn take_strangers(&self) -> BTreeMap<RaftId, BrokerId> {
        self.lock().as_mut().map(|term| std::mem::take(&mut term.strangers)).unwrap_or_default()
    }

    /// Returns the storage behind each broker that has a session; none for a broker id that two storages claim.
    pub(crate) fn present(&self) -> BTreeMap<BrokerId, RaftId> {
        let guard = self.lock();
        let Some(term) = guard.as_ref() else { return BTreeMap::new() };
        let mut storages: BTreeMap<BrokerId, BTreeSet<RaftId>> = BTreeMap::new();
        for open in term.sessions.values() {
            storages.entry(open.broker_id).or_default().insert(open.raft_id);
        }
        storages
            .into_iter()
            .filter(|(_, ids)| ids.len() == 1)
            .filter_map(|(broker_id, ids)| Some((broker_id, ids.into_iter().next()?)))
            .collect()
    }

    // Nothing panics under this lock, and a panic ends the process anyway; so a poisoned lock is used as it is.
    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most nodes that may ask to join at a time.
const MAX_STRANGERS: usize = 1024;
