//! The one append path: acks = 0, 1 and all differ in what the waiter waits for, and in nothing else.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use log_storage::{
    AppendError, AppendOrigin, AppendOutcome, FlushWish, LeaderAppend, VerificationGuard,
};
use model::{Acks, LeaderEpoch, Offset, Timestamp, UnixMillis};
use tokio::sync::oneshot;

use super::effects::Effects;
use super::{PartitionHandle, State};
use crate::error::{NotServed, ProduceError};
use crate::metrics::Outcome;
use crate::partition::mutation::{Mutation, is_active};
use crate::partition::{self, AdmissionError, Appended, Event, WaiterId};

/// How a batch is to be appended and acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct ProduceOptions {
    /// What the waiter waits for.
    pub acks: Acks,
    /// How long it waits at most, from now (Kafka's `timeout.ms` of the request).
    pub timeout: Duration,
    /// The leader epoch that the appender believes in: another one refuses the append. Coordinators name it, clients do not.
    pub expected_leader_epoch: Option<LeaderEpoch>,
    /// Who made the batch: clients are held to more rules.
    pub origin: AppendOrigin,
    /// Proof that the batch's transaction was verified; needed for the first batch of a transaction in this partition (see
    /// [`PartitionHandle::begin_verification`]).
    pub verification: Option<VerificationGuard>,
}

/// What a producer is told about an appended batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Offset of the first record; of the original batch for a duplicate.
    pub base_offset: Offset,
    /// Exclusive end: the offset behind the last record.
    pub end_offset: Offset,
    /// The time that the broker set, when the topic has `message.timestamp.type=LogAppendTime`.
    pub log_append_time: Option<UnixMillis>,
    /// The log start offset at the append.
    pub log_start_offset: Offset,
}

/// Resolves when the batch is acknowledged or refused. Dropping it takes nothing back.
#[derive(Debug)]
pub struct ProduceWaiter {
    state: WaiterState,
}

#[derive(Debug)]
enum WaiterState {
    Ready(Option<Result<Produced, ProduceError>>),
    Waiting(Produced, oneshot::Receiver<Result<(), ProduceError>>),
}

impl ProduceWaiter {
    pub(crate) fn ready(result: Result<Produced, ProduceError>) -> Self {
        Self { state: WaiterState::Ready(Some(result)) }
    }

    pub(crate) fn waiting(
        produced: Produced,
        done: oneshot::Receiver<Result<(), ProduceError>>,
    ) -> Self {
        Self { state: WaiterState::Waiting(produced, done) }
    }

    /// Returns what was appended, before it is acknowledged; `None` when nothing was.
    #[must_use]
    pub fn appended(&self) -> Option<Produced> {
        match &self.state {
            WaiterState::Ready(Some(Ok(produced))) | WaiterState::Waiting(produced, _) => {
                Some(*produced)
            }
            WaiterState::Ready(_) => None,
        }
    }
}

impl Future for ProduceWaiter {
    type Output = Result<Produced, ProduceError>;

    /// # Panics
    /// When polled after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            WaiterState::Ready(result) => {
                Poll::Ready(result.take().expect("a future is not polled after it was ready"))
            }
            WaiterState::Waiting(produced, done) => {
                let produced = *produced;
                Pin::new(done).poll(context).map(|result| match result {
                    Ok(result) => result.map(|()| produced),
                    // The partition is gone, and with it the sender.
                    Err(_) => Err(ProduceError::TimedOut),
                })
            }
        }
    }
}

impl PartitionHandle {
    /// Appends one batch and steps the machine, on the calling thread; the batch's base offset and leader epoch are written in place.
    ///
    /// The waiter resolves at once when the append is refused or nothing is waited for.
    pub fn produce(&self, batch: &mut [u8], options: &ProduceOptions) -> ProduceWaiter {
        match self.recompressed(batch, options.origin) {
            Ok(None) => self.append_and_wait(batch, options),
            Ok(Some(mut recompressed)) => self.append_and_wait(&mut recompressed, options),
            Err(error) => ProduceWaiter::ready(Err(ProduceError::Compression(error))),
        }
    }

    fn append_and_wait(&self, batch: &mut [u8], options: &ProduceOptions) -> ProduceWaiter {
        let waiter = self.wait_for(options.acks, options.timeout, |state, effects| {
            self.append(state, batch, options, effects)
        });
        let outcome =
            if waiter.appended().is_some() { Outcome::Appended } else { Outcome::Refused };
        // What a coordinator writes is no client's.
        if options.origin == AppendOrigin::Client {
            self.host.metrics.produced(options.acks, batch.len(), outcome);
        }
        waiter
    }

    /// Says whether an `acks=all` produce in this leader epoch would be admitted now. Appends nothing.
    ///
    /// # Errors
    /// [`ProduceError::NotServed`]; [`ProduceError::NotEnoughReplicas`].
    pub fn admits(&self, leader_epoch: LeaderEpoch) -> Result<(), ProduceError> {
        let state = self.lock();
        state.check_leads(Some(leader_epoch))?;
        match state.machine.admit_produce(self.host.clock.now(), Acks::All) {
            Ok(_) => Ok(()),
            Err(error) => Err(not_admitted(&state, error)),
        }
    }

    /// Waits until the high watermark has passed an offset, under the same rules as an `acks=all` produce whose batch ends there.
    #[must_use]
    pub fn committed(
        &self,
        end_offset: Offset,
        leader_epoch: LeaderEpoch,
        timeout: Duration,
    ) -> ProduceWaiter {
        self.wait_for(Acks::All, timeout, |state, _effects| {
            let produced = Produced {
                base_offset: end_offset,
                end_offset,
                log_append_time: None,
                log_start_offset: state.log.log_start_offset(),
            };
            Ok((leader_epoch, produced))
        })
    }

    /// Appends, steps the waiter for what was appended, and makes the caller's end of it, all under one lock: no completion can fall in between.
    fn wait_for(
        &self,
        acks: Acks,
        timeout: Duration,
        append: impl FnOnce(&mut State, &mut Effects) -> Result<(LeaderEpoch, Produced), ProduceError>,
    ) -> ProduceWaiter {
        self.with_state_then(
            |state, effects| {
                let (leader_epoch, produced) = append(state, effects)?;
                let id = state.waiters.next_id();
                let end_offset = produced.end_offset;
                let deadline = effects.now + timeout;
                let waiter =
                    partition::ProduceWaiter { id, acks, end_offset, leader_epoch, deadline };
                state.machine.step(effects.now, Event::Produced(waiter));
                Ok((id, produced))
            },
            |state, effects, appended| match appended {
                Ok((id, produced)) => Self::wait(state, id, produced, effects),
                Err(error) => ProduceWaiter::ready(Err(error)),
            },
        )
    }

    /// Admits and appends. Returns what was appended, or what the original of a duplicate was.
    fn append(
        &self,
        state: &mut State,
        batch: &mut [u8],
        options: &ProduceOptions,
        effects: &mut Effects,
    ) -> Result<(LeaderEpoch, Produced), ProduceError> {
        if options.expected_leader_epoch.is_some() {
            state.check_leads(options.expected_leader_epoch)?;
        }
        let leader_epoch = state
            .machine
            .admit_produce(effects.now, options.acks)
            .map_err(|error| not_admitted(state, error))?;
        let append = LeaderAppend {
            leader_epoch,
            now: self.host.clock.wall(),
            origin: options.origin,
            verification: options.verification,
        };
        let log_start_offset = state.log.log_start_offset();
        match state.log.append_as_leader(batch, append) {
            Ok(AppendOutcome::Appended(appended)) => {
                let end_offset = appended.last_offset + 1;
                state.appended(effects.now, end_offset, leader_epoch, appended.size_bytes);
                effects.flush |= appended.flush == FlushWish::Now;
                effects.followers = true;
                Ok((
                    leader_epoch,
                    Produced {
                        base_offset: appended.base_offset,
                        end_offset,
                        log_append_time: appended.log_append_time,
                        log_start_offset,
                    },
                ))
            }
            Ok(AppendOutcome::Duplicate(original)) => Ok((
                leader_epoch,
                Produced {
                    base_offset: original.base_offset,
                    end_offset: original.last_offset + 1,
                    log_append_time: original.log_append_time,
                    log_start_offset,
                },
            )),
            Err(AppendError::OutOfSpace(_)) if is_active(Mutation::FullDiskAcknowledged) => {
                Ok((leader_epoch, nothing_appended(state)))
            }
            Err(error) => {
                match &error {
                    AppendError::OutOfSpace(_) => {
                        state.machine.step(effects.now, Event::AppendFailed)
                    }
                    AppendError::Fatal(error) => self.host.storage.fatal(error),
                    _ => {}
                }
                Err(ProduceError::Refused(error))
            }
        }
    }

    /// Turns the outcome of a step into the caller's waiter: a channel only when there is something to wait for.
    fn wait(
        state: &mut State,
        id: WaiterId,
        produced: Produced,
        effects: &mut Effects,
    ) -> ProduceWaiter {
        if let Some((own, result)) = effects.own.take()
            && own == id
        {
            state.waiters.push(None);
            return ProduceWaiter::ready(result.map(|()| produced));
        }
        let (sender, receiver) = oneshot::channel();
        state.waiters.push(Some(sender));
        ProduceWaiter::waiting(produced, receiver)
    }
}

/// Returns what a producer is told whose batch is not in the log but is said to be, by a deliberate bug.
fn nothing_appended(state: &State) -> Produced {
    let end_offset = state.log.log_end_offset();
    Produced {
        base_offset: end_offset,
        end_offset,
        log_append_time: None,
        log_start_offset: state.log.log_start_offset(),
    }
}

fn not_admitted(state: &State, error: AdmissionError) -> ProduceError {
    match error {
        AdmissionError::NotLeader => NotServed::NotLeader(state.leader()).into(),
        AdmissionError::NotEnoughReplicas { .. } => ProduceError::NotEnoughReplicas,
    }
}

impl State {
    /// Tells machine and meter of an append of one leader epoch.
    pub(super) fn appended(
        &mut self,
        now: Timestamp,
        log_end_offset: Offset,
        leader_epoch: LeaderEpoch,
        size_bytes: usize,
    ) {
        self.meter.appended(log_end_offset, size_bytes);
        self.stable_meter.appended(log_end_offset, size_bytes);
        let truncation_generation = self.truncation_generation();
        let appended = Appended { log_end_offset, leader_epoch, truncation_generation };
        self.machine.step(now, Event::Appended(appended));
    }
}
