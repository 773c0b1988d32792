//! Who is alive, as the active controller knows it in its own term.
//!
//! A pure machine: time and what happened come in by [`Liveness::step`], wishes go out by [`Liveness::poll_action`], and
//! [`Liveness::poll_timeout`] says when to call again. It reads no clock, opens no connection and proposes nothing.
//!
//! ```text
//!            heard                      session ends, or refused
//!   unknown -------> live ------------------------------------------> dead --heard--> live
//!      |               |  connection breaks                             ^
//!      |               +------> suspected --refused-----------------------+
//!      +-- nothing heard for a session's length -------------------------+
//! ```
//!
//! Invariants: a broken connection alone fences nobody; proof is a refused reconnect, or a session's length of silence. Whoever is heard is
//! alive, whatever was believed before. A machine that was not stepped for half a session believes nobody's silence.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::time::Duration;

use model::{BrokerEpoch, BrokerId, Timestamp};

use crate::metadata::LiveSet;

/// Between two looks at a broker whose connection broke and whose port still answers: a dying process may close its port last.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);

/// Names one open session stream of this controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// What the image says of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registered {
    pub(crate) broker_id: BrokerId,
    pub(crate) broker_epoch: BrokerEpoch,
    pub(crate) is_fenced: bool,
    pub(crate) fence_count: u64,
}

/// What a broker said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heartbeat {
    pub(crate) broker_epoch: Option<BrokerEpoch>,
    pub(crate) applied_index: Option<u64>,
    pub(crate) wants_unfenced: bool,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The image's registrations: all of them.
    Registrations(Vec<Registered>),
    /// A broker opened a session.
    Opened { session: SessionId, broker_id: BrokerId, broker_epoch: Option<BrokerEpoch> },
    /// A broker spoke.
    Heard { session: SessionId, heartbeat: Heartbeat },
    /// A session's connection broke or was closed.
    Closed { session: SessionId },
    /// A connect to a broker's control port that was begun at `asked_at` came to an end.
    Probed { broker_id: BrokerId, asked_at: Timestamp, result: ProbeResult },
    /// A command that an action asked for has been answered, in whatever way.
    Answered { broker_id: BrokerId },
    /// Time passed.
    TimeReached,
}

/// How a connect to a control port ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProbeResult {
    /// Nobody listens there.
    Refused,
    /// Somebody does, or nobody knows.
    Inconclusive,
}

/// Something the controller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Connect to the broker's control port.
    Probe { broker_id: BrokerId },
    /// Propose to fence the broker.
    Fence { broker_id: BrokerId, broker_epoch: BrokerEpoch, fence_count: u64, reason: FenceReason },
    /// Propose to unfence the broker.
    Unfence { broker_id: BrokerId, broker_epoch: BrokerEpoch },
    /// End a session that fell silent.
    Close { session: SessionId },
    /// Look again at partitions without a leader or with a fenced one: somebody became live or unfenced.
    LookAgain,
}

/// Why a broker is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FenceReason {
    /// Its control port refused a connection.
    ReconnectRefused,
    /// Nothing was heard from it for a session's length.
    SessionEnded,
}

impl fmt::Display for FenceReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReconnectRefused => "reconnect refused",
            Self::SessionEnded => "session ended",
        })
    }
}

/// The machine. One lives for one term of one controller.
#[derive(Debug)]
pub(crate) struct Liveness {
    session_timeout: Duration,
    brokers: BTreeMap<BrokerId, Broker>,
    sessions: BTreeMap<SessionId, Session>,
    actions: VecDeque<Action>,
    /// When the machine must be stepped again at the latest; far behind it, this process has stood still.
    next_step: Timestamp,
}

#[derive(Debug)]
struct Broker {
    registered: Option<Registered>,
    belief: Belief,
    /// When silence ends its session.
    deadline: Timestamp,
    /// When it was last heard; for evidence that was gathered before to count for nothing.
    heard_at: Option<Timestamp>,
    suspicion: Option<Suspicion>,
    heartbeat: Option<Heartbeat>,
    has_command_in_flight: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Belief {
    /// Not heard from in this term.
    Unknown,
    /// Heard from, under its registered epoch.
    Live,
    /// Its port refused, or its session ended.
    Dead(FenceReason),
}

#[derive(Clone, Copy, Debug)]
struct Suspicion {
    since: Timestamp,
    /// `None` while a probe is under way.
    next_probe: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    broker_id: BrokerId,
    broker_epoch: Option<BrokerEpoch>,
    deadline: Timestamp,
}

impl Liveness {
    /// Begins a term: every registered broker gets a whole session's time to be heard.
    pub(crate) fn new(now: Timestamp, session_timeout: Duration) -> Self {
        Self {
            session_timeout,
            brokers: BTreeMap::new(),
            sessions: BTreeMap::new(),
            actions: VecDeque::new(),
            next_step: now + session_timeout / 4,
        }
    }

    /// Takes over what this node saw before its term: a connection to the broker broke at `since`. It is looked at at once.
    pub(crate) fn inherit_suspicion(
        &mut self,
        now: Timestamp,
        broker_id: BrokerId,
        since: Timestamp,
    ) {
        let suspicion = Suspicion { since, next_probe: None };
        self.broker(now, broker_id).suspicion = Some(suspicion);
        self.actions.push_back(Action::Probe { broker_id });
    }

    /// Takes in what happened at `now`.
    pub(crate) fn step(&mut self, now: Timestamp, event: Event) {
        // A step is due each quarter of a session, so that a pause of half a session is noticed. With the pace of heartbeats before it, silence is
        // then still shorter than a session, whichever is stepped first: this time, or the heartbeats that came meanwhile and were not read.
        if now.since(self.next_step) > self.session_timeout / 4 {
            self.restart_sessions(now);
        }
        match event {
            Event::Registrations(registrations) => self.registrations(now, &registrations),
            Event::Opened { session, broker_id, broker_epoch } => {
                let deadline = now + self.session_timeout;
                self.sessions.insert(session, Session { broker_id, broker_epoch, deadline });
                if self.has_session(broker_id) {
                    self.broker(now, broker_id).suspicion = None;
                }
            }
            Event::Heard { session, heartbeat } => self.heard(now, session, heartbeat),
            Event::Closed { session } => {
                if let Some(closed) = self.sessions.remove(&session) {
                    self.suspect(now, closed.broker_id);
                }
            }
            Event::Probed { broker_id, asked_at, result } => {
                self.probed(now, broker_id, asked_at, result);
            }
            Event::Answered { broker_id } => {
                if let Some(broker) = self.brokers.get_mut(&broker_id) {
                    broker.has_command_in_flight = false;
                }
            }
            Event::TimeReached => {}
        }
        self.look_at_time(now);
        self.wish();
        self.next_step = now + self.session_timeout / 4;
    }

    /// Returns the next thing to do.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Returns when [`Liveness::step`] must be called again, even if nothing happens.
    pub(crate) fn poll_timeout(&self) -> Timestamp {
        let deadlines = self
            .brokers
            .values()
            .filter(|broker| broker.is_awaited())
            .map(|broker| broker.deadline)
            .chain(self.sessions.values().map(|session| session.deadline))
            .chain(self.brokers.values().filter_map(|broker| broker.suspicion?.next_probe));
        deadlines.fold(self.next_step, Timestamp::min)
    }

    /// Returns the brokers heard from in this term, with the epochs they spoke under.
    pub(crate) fn live(&self) -> LiveSet {
        self.brokers
            .values()
            .filter(|broker| broker.belief == Belief::Live)
            .filter_map(|broker| broker.registered)
            .map(|registered| (registered.broker_id, registered.broker_epoch))
            .collect()
    }

    /// Returns the brokers whose connection broke and that have not been heard from since, with the time of the break.
    pub(crate) fn suspected(&self) -> BTreeMap<BrokerId, Timestamp> {
        let suspicion = |(id, broker): (&BrokerId, &Broker)| Some((*id, broker.suspicion?.since));
        self.brokers.iter().filter_map(suspicion).collect()
    }

    /// Returns the epoch of another open session of this broker id: who registers must wait for its end.
    pub(crate) fn open_session(
        &self,
        broker_id: BrokerId,
        except: SessionId,
    ) -> Option<BrokerEpoch> {
        self.sessions
            .iter()
            .filter(|(id, session)| **id != except && session.broker_id == broker_id)
            .find_map(|(_, session)| session.broker_epoch)
    }

    fn broker(&mut self, now: Timestamp, broker_id: BrokerId) -> &mut Broker {
        let deadline = now + self.session_timeout;
        self.brokers.entry(broker_id).or_insert_with(|| Broker::new(deadline))
    }

    /// This process stood still, so it heard nobody: nobody else's silence means anything.
    fn restart_sessions(&mut self, now: Timestamp) {
        let deadline = now + self.session_timeout;
        for broker in self.brokers.values_mut() {
            broker.deadline = deadline;
        }
        for session in self.sessions.values_mut() {
            session.deadline = deadline;
        }
    }

    fn registrations(&mut self, now: Timestamp, registrations: &[Registered]) {
        let known: BTreeSet<BrokerId> =
            registrations.iter().map(|registered| registered.broker_id).collect();
        for (id, broker) in &mut self.brokers {
            if !known.contains(id) {
                broker.registered = None;
            }
        }
        for registered in registrations {
            let deadline = now + self.session_timeout;
            let broker = self.broker(now, registered.broker_id);
            let before = broker.registered.replace(*registered);
            match before {
                Some(before) if before.broker_epoch == registered.broker_epoch => {
                    if before.is_fenced && !registered.is_fenced {
                        self.actions.push_back(Action::LookAgain);
                    }
                }
                before => {
                    broker.belief = match broker.belief {
                        // Evidence may come before the machine first hears of the registration.
                        dead @ Belief::Dead(_) if before.is_none() => dead,
                        _ => Belief::Unknown,
                    };
                    broker.deadline = deadline;
                    if before.is_some() {
                        broker.suspicion = None;
                    }
                    broker.reconsider_heartbeat();
                    if broker.belief == Belief::Live {
                        self.actions.push_back(Action::LookAgain);
                    }
                }
            }
        }
    }

    fn heard(&mut self, now: Timestamp, session: SessionId, heartbeat: Heartbeat) {
        let deadline = now + self.session_timeout;
        let Some(open) = self.sessions.get_mut(&session) else { return };
        open.deadline = deadline;
        open.broker_epoch = heartbeat.broker_epoch.or(open.broker_epoch);
        let broker_id = open.broker_id;
        let broker = self.broker(now, broker_id);
        // Another incarnation says nothing about the registered one: an older one was superseded, a newer one is not in this image yet,
        // and one without an epoch has not registered.
        broker.heartbeat = match (heartbeat.broker_epoch, broker.registered) {
            (None, _) => return,
            (Some(spoken), Some(registered)) if spoken < registered.broker_epoch => return,
            _ => Some(heartbeat),
        };
        if !broker.speaks_as_registered() {
            return;
        }
        let was = broker.belief;
        broker.belief = Belief::Live;
        broker.heard_at = Some(now);
        broker.deadline = deadline;
        broker.suspicion = None;
        if was != Belief::Live {
            self.actions.push_back(Action::LookAgain);
        }
    }

    /// Whether the registered incarnation has a session open.
    fn has_session(&self, broker_id: BrokerId) -> bool {
        let registered = self.brokers.get(&broker_id).and_then(|broker| broker.registered);
        let epoch = registered.map(|registered| registered.broker_epoch);
        epoch.is_some()
            && self
                .sessions
                .values()
                .any(|session| session.broker_id == broker_id && session.broker_epoch == epoch)
    }

    fn suspect(&mut self, now: Timestamp, broker_id: BrokerId) {
        let has_session = self.has_session(broker_id);
        let broker = self.broker(now, broker_id);
        if has_session || broker.registered.is_none() || broker.suspicion.is_some() {
            return;
        }
        broker.suspicion = Some(Suspicion { since: now, next_probe: None });
        self.actions.push_back(Action::Probe { broker_id });
    }

    fn probed(
        &mut self,
        now: Timestamp,
        broker_id: BrokerId,
        asked_at: Timestamp,
        result: ProbeResult,
    ) {
        let has_session = self.has_session(broker_id);
        let broker = self.broker(now, broker_id);
        let is_void = has_session || broker.heard_at.is_some_and(|heard_at| heard_at > asked_at);
        match result {
            ProbeResult::Refused if !is_void => {
                broker.belief = Belief::Dead(FenceReason::ReconnectRefused);
                let since = broker.suspicion.map_or(now, |suspicion| suspicion.since);
                broker.suspicion = Some(Suspicion { since, next_probe: None });
            }
            ProbeResult::Refused | ProbeResult::Inconclusive => {
                if let Some(suspicion) = &mut broker.suspicion {
                    suspicion.next_probe = Some(now + PROBE_INTERVAL);
                }
            }
        }
    }

    fn look_at_time(&mut self, now: Timestamp) {
        for (id, session) in &self.sessions {
            if session.deadline <= now {
                self.actions.push_back(Action::Close { session: *id });
            }
        }
        let silent: Vec<BrokerId> = self
            .sessions
            .values()
            .filter(|session| session.deadline <= now)
            .map(|session| session.broker_id)
            .collect();
        self.sessions.retain(|_, session| session.deadline > now);
        for (id, broker) in &mut self.brokers {
            if broker.is_awaited() && broker.deadline <= now {
                broker.belief = Belief::Dead(FenceReason::SessionEnded);
            }
            let is_dead = matches!(broker.belief, Belief::Dead(_));
            if let Some(suspicion) = &mut broker.suspicion
                && !is_dead
                && suspicion.next_probe.is_some_and(|at| at <= now)
            {
                suspicion.next_probe = None;
                self.actions.push_back(Action::Probe { broker_id: *id });
            }
            if is_dead && let Some(suspicion) = &mut broker.suspicion {
                suspicion.next_probe = None;
            }
        }
        for broker_id in silent {
            self.suspect(now, broker_id);
        }
    }

    /// Wishes for what belief and image disagree about.
    fn wish(&mut self) {
        for broker in self.brokers.values_mut() {
            let Some(registered) = broker.registered else { continue };
            if broker.has_command_in_flight {
                continue;
            }
            let Registered { broker_id, broker_epoch, fence_count, is_fenced } = registered;
            match broker.belief {
                Belief::Dead(reason) if !is_fenced => {
                    broker.has_command_in_flight = true;
                    self.actions.push_back(Action::Fence {
                        broker_id,
                        broker_epoch,
                        fence_count,
                        reason,
                    });
                }
                Belief::Live if is_fenced && broker.is_ready(broker_epoch) => {
                    broker.has_command_in_flight = true;
                    self.actions.push_back(Action::Unfence { broker_id, broker_epoch });
                }
                Belief::Unknown | Belief::Live | Belief::Dead(_) => {}
            }
        }
    }
}

impl Broker {
    fn new(deadline: Timestamp) -> Self {
        Self {
            registered: None,
            belief: Belief::Unknown,
            deadline,
            heard_at: None,
            suspicion: None,
            heartbeat: None,
            has_command_in_flight: false,
        }
    }

    /// Whether its silence would be noticed.
    fn is_awaited(&self) -> bool {
        self.registered.is_some() && !matches!(self.belief, Belief::Dead(_))
    }

    /// A heartbeat counts under the registered epoch alone; one may arrive before the image has the registration.
    fn reconsider_heartbeat(&mut self) {
        if self.speaks_as_registered() {
            self.belief = Belief::Live;
        }
    }

    fn speaks_as_registered(&self) -> bool {
        let spoken = self.heartbeat.and_then(|heartbeat| heartbeat.broker_epoch);
        let registered = self.registered.map(|registered| registered.broker_epoch);
        spoken.is_some() && spoken == registered
    }

    /// Whether it wishes to serve and its image has its own registration.
    fn is_ready(&self, broker_epoch: BrokerEpoch) -> bool {
        self.heartbeat.is_some_and(|heartbeat| {
            let registered_at = u64::try_from(broker_epoch.0).unwrap_or(u64::MAX);
            heartbeat.wants_unfenced
                && heartbeat.applied_index.is_some_and(|applied| applied >= registered_at)
        })
    }
}

#[cfg(test)]
mod tests;
