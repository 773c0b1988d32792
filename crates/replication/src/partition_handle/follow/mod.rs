//! The follower's side: what a leader sends is checked, appended and stepped; what the leader is to hear waits here until a stream takes it.

mod outbox;

use std::error::Error;

use log_storage::{FlushWish, FollowerAppend, FollowerAppendError};
use model::record_batch::Batches;
use model::{BrokerId, LeaderEpoch, Offset};

pub(crate) use self::outbox::{Outbox, Outboxes};
use super::effects::Effects;
use super::{PartitionHandle, State};
use crate::partition::{BatchesRefused, Event, FollowerFetch, LeaderAnswer};

/// What a leader sent of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaderMessage<'a> {
    /// The sender.
    pub(crate) leader: BrokerId,
    /// What it says.
    pub(crate) answer: LeaderAnswer,
    /// Whole batches, or nothing.
    pub(crate) batches: &'a [u8],
}

impl PartitionHandle {
    /// Takes the newest fetch for a leader that it has not been sent yet. One for another leader stays: the stream to that one takes it.
    pub(crate) fn take_unsent_fetch(&self, leader: BrokerId) -> Option<FollowerFetch> {
        let unsent = self.lock().unsent_fetch.take_if(|(addressee, _)| *addressee == leader);
        unsent.map(|(_, fetch)| fetch)
    }

    /// Takes in a message of the leader: appends its batches, if any, then steps what it says.
    pub(crate) fn leader_answered(&self, message: &LeaderMessage<'_>) {
        let LeaderMessage { leader, answer, batches } = *message;
        self.with_state(|state, effects| {
            if state.is_removed {
                return;
            }
            if !batches.is_empty() {
                let failed = Event::FetchFailed {
                    leader_epoch: answer.leader_epoch,
                    generation: answer.generation,
                };
                match self.append_batches(state, message, effects) {
                    Ok(()) => {}
                    Err(Dropped::Stale) => return,
                    Err(Dropped::Failed) => {
                        state.machine.step(effects.now, failed);
                        return;
                    }
                }
            }
            let answered = Event::LeaderAnswered { leader, answer };
            state.machine.step(effects.now, answered);
        });
    }

    fn append_batches(
        &self,
        state: &mut State,
        message: &LeaderMessage<'_>,
        effects: &mut Effects,
    ) -> Result<(), Dropped> {
        let LeaderMessage { leader, answer, batches } = *message;
        let LeaderAnswer { leader_epoch, generation, .. } = answer;
        let base_offset = match Batches::whole(batches).next() {
            Some(Ok(batch)) => batch.header.base_offset,
            Some(Err(error)) => {
                tracing::warn!(partition = %self.name(), %leader, error = &error as &dyn Error, "a leader sent a damaged batch: the position is opened anew");
                return Err(Dropped::Failed);
            }
            None => return Ok(()),
        };
        match state.machine.admit_batches(leader, leader_epoch, generation, base_offset) {
            Ok(()) => {}
            Err(BatchesRefused::Stale) => return Err(Dropped::Stale),
            Err(BatchesRefused::NotContiguous { .. }) => return Err(Dropped::Failed),
        }
        let append = FollowerAppend { leader_epoch, now: self.host.clock.wall() };
        let result = state.log.append_as_follower(batches, append);
        // Also after an error: what came before it in the same message was appended.
        state.appended_runs(batches, leader_epoch, effects);
        match result {
            Ok(appended) => {
                effects.flush |= appended.is_some_and(|appended| appended.flush == FlushWish::Now);
                self.host.metrics.replicated_in(batches.len());
                Ok(())
            }
            Err(error) => {
                if let FollowerAppendError::Fatal(error) = &error {
                    self.host.storage.fatal(error);
                }
                // What came before the error waits for a flush as if it had come alone.
                effects.flush = true;
                tracing::warn!(partition = %self.name(), %leader, error = &error as &dyn Error, "batches of a leader were not appended: the position is opened anew");
                Err(Dropped::Failed)
            }
        }
    }
}

impl State {
    /// Tells machine and meter of batches that were appended, by runs of one leader epoch, up to where the log ends now.
    fn appended_runs(&mut self, batches: &[u8], leader_epoch: LeaderEpoch, effects: &Effects) {
        let log_end_offset = self.log.log_end_offset();
        let mut run: Option<(LeaderEpoch, Offset, usize)> = None;
        for batch in Batches::whole(batches).map_while(Result::ok) {
            let end_offset = batch.header.next_offset();
            if end_offset > log_end_offset {
                break;
            }
            let epoch = batch.header.leader_epoch.unwrap_or(leader_epoch);
            let size_bytes = batch.bytes.len();
            run = match run {
                Some((run_epoch, _, run_bytes)) if run_epoch == epoch => {
                    Some((epoch, end_offset, run_bytes + size_bytes))
                }
                Some((run_epoch, run_end, run_bytes)) => {
                    self.appended(effects.now, run_end, run_epoch, run_bytes);
                    Some((epoch, end_offset, size_bytes))
                }
                None => Some((epoch, end_offset, size_bytes)),
            };
        }
        if let Some((epoch, end_offset, size_bytes)) = run {
            self.appended(effects.now, end_offset, epoch, size_bytes);
        }
    }
}

/// Why batches of a leader were not appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dropped {
    /// They belong to an older exchange.
    Stale,
    /// The position must be opened anew.
    Failed,
}
