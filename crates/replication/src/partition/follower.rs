//! A replica that follows: position, divergence, keep-alive.
//!
//! Owns the generation of its position. It adopts a high watermark only in a generation whose position passed the divergence check
//! (invariant 2), and it truncates only at an (epoch, offset) divergence, never to its high watermark (KIP-101, KIP-279).

use model::{BrokerId, LeaderEpoch, Offset, Timestamp};

use super::action::Action;
use super::cut::Cut;
use super::env::Env;
use super::event::{AnswerBody, FollowerFetch, Generation, LeaderAnswer};
use super::mutation::{Mutation, is_active};
use super::replica_log::ReplicaLog;

/// State of a follower, in one leader epoch.
///
/// ```text
///               Progress
///  Positioning ──────────► Streaming
///     ▲   ▲  │  Diverging,     │  Diverging, out of range: the machine truncates, then a new
///     │   │  └─ out of range ──┴─ position follows
///     │   └──── stream opened
///  Pausing ◄─── a batch could not be appended
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Follower {
    leader: BrokerId,
    leader_epoch: LeaderEpoch,
    generation: Generation,
    state: FetchState,
    /// The highest high watermark that the leader named in this generation; it may be ahead of the own log end.
    leader_high_watermark: Offset,
    /// When the next message goes out if nothing else makes one go: a keep-alive, or the position after a pause.
    send_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FetchState {
    /// The position was sent and not yet answered; it is repeated with the keep-alive.
    Positioning,
    /// The position passed; batches come.
    Streaming,
    /// Nothing is sent until `send_at`; the generation is not yet known to the leader.
    Pausing,
}

impl Follower {
    /// Begins to follow and opens the first position.
    pub(super) fn start(leader: BrokerId, leader_epoch: LeaderEpoch, env: &mut Env<'_>) -> Self {
        let mut follower = Self {
            leader,
            leader_epoch,
            generation: *env.generation,
            state: FetchState::Positioning,
            leader_high_watermark: Offset::ZERO,
            send_at: env.now,
        };
        follower.open_position(env);
        follower
    }

    pub(super) fn leader(&self) -> BrokerId {
        self.leader
    }

    pub(super) fn leader_epoch(&self) -> LeaderEpoch {
        self.leader_epoch
    }

    pub(super) fn send_at(&self) -> Timestamp {
        self.send_at
    }

    /// Says whether a message of the leader belongs to the present position.
    pub(super) fn is_current(&self, leader_epoch: LeaderEpoch, generation: Generation) -> bool {
        let generation_fits =
            generation == self.generation || is_active(Mutation::OldGenerationCounts);
        leader_epoch == self.leader_epoch && generation_fits && self.state != FetchState::Pausing
    }

    /// Opens a new generation at the log's end and sends it.
    pub(super) fn open_position(&mut self, env: &mut Env<'_>) {
        *env.generation = Generation(env.generation.0 + 1);
        self.generation = *env.generation;
        self.state = FetchState::Positioning;
        self.leader_high_watermark = Offset::ZERO;
        self.send(env);
    }

    /// Gives the present generation up; a new position goes out one tick later.
    pub(super) fn pause(&mut self, env: &Env<'_>) {
        self.state = FetchState::Pausing;
        self.send_at = env.next_tick();
    }

    /// Takes in an append: what the leader named committed may be here now.
    pub(super) fn appended(&mut self, env: &mut Env<'_>) {
        env.raise_high_watermark(self.leader_high_watermark);
        self.acknowledge(env);
    }

    /// Tells the leader what the log holds now, unless it pauses.
    pub(super) fn acknowledge(&mut self, env: &mut Env<'_>) {
        if self.state != FetchState::Pausing {
            self.send(env);
        }
    }

    /// Sends what is due: the keep-alive, the repeated position, or the position after a pause.
    pub(super) fn timeout(&mut self, env: &mut Env<'_>) {
        if env.now < self.send_at {
            return;
        }
        match self.state {
            FetchState::Pausing => self.open_position(env),
            FetchState::Positioning if is_active(Mutation::NewerPositionDropped) => {
                self.send_at = env.next_shared_tick();
            }
            FetchState::Positioning | FetchState::Streaming => self.send(env),
        }
    }

    /// Takes in a message of the leader that belongs to the present position. Returns what the log must do before the next one.
    pub(super) fn answered(&mut self, env: &mut Env<'_>, answer: &LeaderAnswer) -> Option<Cut> {
        match answer.body {
            AnswerBody::Progress { high_watermark, log_start_offset } => {
                self.state = FetchState::Streaming;
                self.leader_high_watermark = self.leader_high_watermark.max(high_watermark);
                env.raise_high_watermark(self.leader_high_watermark);
                let offset = log_start_offset.min(env.log.high_watermark());
                if offset > env.log.start() {
                    env.actions.push_back(Action::AdvanceLogStart { offset });
                }
                None
            }
            AnswerBody::Diverging { epoch, end_offset, fetch_offset, last_fetched_epoch } => {
                let echoes =
                    fetch_offset == env.log.end() && last_fetched_epoch == env.log.last_epoch();
                echoes.then(|| Cut::Truncate(divergence_point(env.log, epoch, end_offset)))
            }
            AnswerBody::OutOfRange { log_start_offset, fetch_offset } => {
                (fetch_offset == env.log.end()).then_some(Cut::Restart(log_start_offset))
            }
        }
    }

    fn send(&mut self, env: &mut Env<'_>) {
        self.send_at = env.next_shared_tick();
        let fetch = FollowerFetch {
            broker_epoch: env.options.broker_epoch,
            leader_epoch: self.leader_epoch,
            generation: self.generation,
            fetch_offset: env.log.end(),
            last_fetched_epoch: env.log.last_epoch(),
            flushed_offset: env.log.flushed(),
            log_start_offset: env.log.start(),
        };
        env.actions.push_back(Action::Fetch { leader: self.leader, fetch });
    }
}

/// Returns where the own log parts from a leader's that ends `epoch` at `end_offset`: the end of what both have of that epoch, or of the greatest
/// own epoch below it, from where the next round goes on.
fn divergence_point(log: &ReplicaLog, epoch: LeaderEpoch, end_offset: Offset) -> Offset {
    let own_end = match log.end_offset_for(epoch) {
        Some((own_epoch, own_end)) if own_epoch == epoch => own_end.min(end_offset),
        Some((_, own_end)) => own_end,
        None => end_offset,
    };
    own_end.min(log.end())
}
