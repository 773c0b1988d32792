//! The leader's side of the replication streams: what each follower of this partition is to be sent.
//!
//! Owns no bytes and no queue: a stream that has room asks for its turn, and gets what is new since its last one.

mod send_queue;
mod send_state;
mod session;

use std::sync::Arc;

use log_storage::{Minimum, ReadPlan, ReadRequest};
use model::{BrokerEpoch, BrokerId, Offset};

pub(crate) use self::send_queue::{Class, MarkedCount, SendQueue};
use self::send_state::{Flow, SendState};
pub(crate) use self::session::{Session, Update};
use super::{PartitionHandle, State};
use crate::partition::{
    AnswerBody, Event, FollowerFetch, Generation, LeaderAnswer, PartitionMetadata,
};

/// One follower of this partition, under the partition's lock.
#[derive(Debug)]
pub(super) struct FollowerLink {
    follower: BrokerId,
    session: Arc<Session>,
    /// The newest generation that came over the session.
    generation: Generation,
    /// The generation whose position passed; batches flow in it.
    flow: Option<Flow>,
    /// A divergence or the like that the follower has not been sent yet.
    unsent: Option<LeaderAnswer>,
    /// The follower's log start offset, as it said last.
    log_start_offset: Offset,
}

impl FollowerLink {
    /// Notes whether the follower is in sync: it is served first then.
    pub(super) fn note_isr(&self, metadata: &PartitionMetadata) {
        self.session.set_in_sync(metadata.isr.contains(&self.follower));
    }
}

/// What a stream is to send of one partition.
#[derive(Debug)]
enum Turn {
    /// Nothing is new.
    Nothing,
    /// News of the offsets alone, or a refusal of the position.
    Answer(LeaderAnswer),
    /// Batches, with the news.
    Batches(LeaderAnswer, ReadPlan),
}

impl PartitionHandle {
    /// Takes in a follower's position or acknowledgement that came over a stream.
    pub(crate) fn follower_fetched(&self, session: &Arc<Session>, fetch: FollowerFetch) {
        let follower = session.follower();
        self.with_state(|state, effects| {
            // What an ended stream had in flight would turn the answers back to it, and nobody asks for the rest of the flow again.
            if state.is_removed || state.is_overtaken(session, fetch.generation) {
                return;
            }
            let link = self.link(state, session);
            link.generation = link.generation.max(fetch.generation);
            if link.log_start_offset != fetch.log_start_offset {
                link.log_start_offset = fetch.log_start_offset;
                effects.log_starts = true;
            }
            state.machine.step(effects.now, Event::FollowerFetched { follower, fetch });
        });
    }

    /// Makes the session the one that this follower is answered over.
    fn link<'a>(&self, state: &'a mut State, session: &Arc<Session>) -> &'a mut FollowerLink {
        let follower = session.follower();
        let known = state.followers.iter().position(|link| link.follower == follower);
        if let Some(index) = known
            && Arc::ptr_eq(&state.followers[index].session, session)
        {
            return &mut state.followers[index];
        }
        let link = FollowerLink {
            follower,
            session: Arc::clone(session),
            generation: Generation::default(),
            flow: None,
            unsent: None,
            log_start_offset: Offset::ZERO,
        };
        if let Some(metadata) = state.machine.metadata() {
            link.note_isr(metadata);
        }
        let index = match known {
            Some(index) => {
                state.followers[index] = link;
                index
            }
            None => {
                state.followers.push(link);
                state.followers.len() - 1
            }
        };
        self.publish_sessions(state);
        &mut state.followers[index]
    }

    /// Forgets a session whose stream has ended.
    pub(crate) fn forget_session(&self, session: &Arc<Session>) {
        let mut state = self.lock();
        state.followers.retain(|link| !Arc::ptr_eq(&link.session, session));
        self.publish_sessions(&state);
    }

    fn publish_sessions(&self, state: &State) {
        let sessions = state.followers.iter().map(|link| Arc::clone(&link.session)).collect();
        self.sessions.store(Arc::new(sessions));
    }

    /// Decides what a stream is to send now, at most `max_bytes` of batches. The state is the stream's own, of its last turn.
    fn follower_turn(
        &self,
        session: &Arc<Session>,
        sent: &mut SendState,
        max_bytes: usize,
        minimum: Minimum,
    ) -> Turn {
        let mut state = self.lock();
        let state = &mut *state;
        let Some(link) =
            state.followers.iter_mut().find(|link| Arc::ptr_eq(&link.session, session))
        else {
            return Turn::Nothing;
        };
        if let Some(answer) = link.unsent.take() {
            return Turn::Answer(answer);
        }
        let Some(flow) = link.flow else { return Turn::Nothing };
        if sent.flow != Some(flow) {
            sent.restart(flow);
        }
        let body = state.machine.progress();
        let answer =
            LeaderAnswer { leader_epoch: flow.leader_epoch, generation: flow.generation, body };
        sent.log_end_offset = state.log.log_end_offset();
        let plan = state.log.read(ReadRequest {
            from: sent.next_offset,
            upper_bound: sent.log_end_offset,
            max_bytes,
            minimum,
        });
        match plan {
            Ok(plan) if !plan.is_empty() => {
                sent.sent = Some(body);
                Turn::Batches(answer, plan)
            }
            // A start that has moved past the follower is answered by the machine.
            Ok(_) | Err(_) if sent.sent == Some(body) => Turn::Nothing,
            Ok(_) | Err(_) => {
                sent.sent = Some(body);
                Turn::Answer(answer)
            }
        }
    }
}

impl State {
    /// Returns a follower's log start offset, as it said last; `None` when it has no stream here.
    pub(super) fn log_start_of(&self, follower: BrokerId) -> Option<Offset> {
        let link = self.followers.iter().find(|link| link.follower == follower)?;
        Some(link.log_start_offset)
    }

    /// Says whether a follower has opened a newer position over another stream than this one.
    fn is_overtaken(&self, session: &Arc<Session>, generation: Generation) -> bool {
        let link = self.followers.iter().find(|link| link.follower == session.follower());
        link.is_some_and(|link| {
            let newest = (link.session.broker_epoch(), link.generation);
            !Arc::ptr_eq(&link.session, session) && newest > (session.broker_epoch(), generation)
        })
    }

    /// Ends what flows to followers of an earlier leadership. The followers stay known: one may have sent its position for the next one already.
    pub(super) fn end_flows(&mut self) {
        for link in &mut self.followers {
            link.flow = None;
            link.unsent = None;
        }
    }

    /// Notes an answer of the machine for the stream to take.
    pub(super) fn answer_follower(
        &mut self,
        follower: BrokerId,
        follower_broker_epoch: BrokerEpoch,
        fetch_offset: Offset,
        answer: LeaderAnswer,
    ) {
        let Some(link) = self.followers.iter_mut().find(|link| {
            link.follower == follower && link.session.broker_epoch() == follower_broker_epoch
        }) else {
            return;
        };
        match answer.body {
            AnswerBody::Progress { .. } => {
                link.unsent = None;
                link.flow = Some(Flow {
                    leader_epoch: answer.leader_epoch,
                    generation: answer.generation,
                    start_offset: fetch_offset,
                });
            }
            AnswerBody::Diverging { .. } | AnswerBody::OutOfRange { .. } => {
                link.flow = None;
                link.unsent = Some(answer);
            }
        }
    }
}
