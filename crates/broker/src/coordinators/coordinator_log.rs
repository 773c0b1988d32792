//! The logs of the coordinators: this broker's replicas of the offsets topic and of the transaction topic.
//!
//! Owns the mapping of partition numbers to replicas and of errors; the rule that a stale coordinator writes nothing is the replica's, which compares leader epochs.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use controller::Controller;
use coordinator::group::ids::TopicIdentity;
use coordinator::runtime::{
    Leadership, LogRange, PartitionWriter, ReadError, TransactionOrigin, TransactionWriteError,
    WriteError,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use log_storage::{AppendError, AppendOrigin, Minimum, VerificationGuard};
use model::{Acks, Offset, TopicIdPartition, TransactionVersion};
use replication::partition::ReplicaRole;
use replication::{
    DeleteRecordsError, FetchError, Isolation, NotServed, PartitionHandle, ProduceError,
    ProduceOptions, ReadRequest, Replicas,
};

use crate::error_code::ToErrorCode as _;

/// A coordinator's topic on this broker.
pub(super) struct CoordinatorLog {
    replicas: Arc<Replicas>,
    controller: Controller,
}

impl fmt::Debug for CoordinatorLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CoordinatorLog")
    }
}

impl CoordinatorLog {
    pub(super) fn new(replicas: Arc<Replicas>, controller: Controller) -> Self {
        Self { replicas, controller }
    }

    /// Appends one batch on the calling thread; returns the offset behind it.
    fn produce(
        &self,
        leadership: Leadership,
        batch: &mut [u8],
        origin: AppendOrigin,
        verification: Option<VerificationGuard>,
    ) -> Result<Result<Offset, ProduceError>, WriteError> {
        let replica = self.replica(leadership).ok_or(WriteError::NotLeader)?;
        let options = ProduceOptions {
            // The coordinator waits for the high watermark itself, once for many batches.
            acks: Acks::None,
            timeout: Duration::ZERO,
            expected_leader_epoch: Some(leadership.leader_epoch),
            origin,
            verification,
        };
        // Without acknowledgements nothing is waited for.
        let produced =
            replica.produce(batch, &options).now_or_never().ok_or(WriteError::Storage)?;
        Ok(produced.map(|produced| produced.end_offset))
    }

    /// Finds a leadership's replica; there is none yet while it is being created, and none any more when its topic is gone.
    fn replica(&self, leadership: Leadership) -> Option<Arc<PartitionHandle>> {
        self.replicas.get(&id_of(leadership))
    }
}

impl PartitionWriter for CoordinatorLog {
    fn made(&self, leadership: Leadership) -> BoxFuture<'static, ()> {
        let replicas = Arc::clone(&self.replicas);
        async move { drop(replicas.made(&id_of(leadership)).await) }.boxed()
    }

    fn admits(&self, leadership: Leadership) -> Result<(), WriteError> {
        let replica = self.replica(leadership).ok_or(WriteError::NotLeader)?;
        replica.admits(leadership.leader_epoch).map_err(|error| write_error(leadership, &error))
    }

    fn append(&self, leadership: Leadership, batch: &mut [u8]) -> Result<Offset, WriteError> {
        let appended = self.produce(leadership, batch, AppendOrigin::Coordinator, None)?;
        appended.map_err(|error| write_error(leadership, &error))
    }

    fn append_of_transaction(
        &self,
        leadership: Leadership,
        batch: &mut [u8],
        origin: TransactionOrigin,
    ) -> Result<Offset, TransactionWriteError> {
        let (origin, verification) = match origin {
            TransactionOrigin::Offsets(guard) => {
                (AppendOrigin::Coordinator, guard.map(|guard| VerificationGuard(guard.0)))
            }
            TransactionOrigin::Marker { transaction_version } => {
                let level = i8::try_from(transaction_version).unwrap_or(i8::MAX);
                (AppendOrigin::TransactionMarker(TransactionVersion::from_wire(level)), None)
            }
        };
        let appended = self.produce(leadership, batch, origin, verification)?;
        appended.map_err(|error| match &error {
            ProduceError::Refused(
                refused @ (AppendError::InvalidProducerEpoch { .. }
                | AppendError::InvalidTransactionState { .. }
                | AppendError::TransactionCoordinatorFenced { .. }
                | AppendError::InvalidMarker { .. }),
            ) => TransactionWriteError::Refused(refused.error_code()),
            _ => write_error(leadership, &error).into(),
        })
    }

    fn committed(
        &self,
        leadership: Leadership,
        end_offset: Offset,
        timeout: Duration,
    ) -> BoxFuture<'static, Result<(), WriteError>> {
        let Some(replica) = self.replica(leadership) else {
            return std::future::ready(Err(WriteError::NotLeader)).boxed();
        };
        let waiter = replica.committed(end_offset, leadership.leader_epoch, timeout);
        waiter
            .map(move |waited| waited.map(drop).map_err(|error| write_error(leadership, &error)))
            .boxed()
    }

    fn high_watermark(&self, leadership: Leadership) -> Option<Offset> {
        let status = self.replica(leadership)?.status();
        let is_leader = status.role == ReplicaRole::Leader(leadership.leader_epoch);
        is_leader.then_some(status.high_watermark)
    }

    fn log_range(&self, leadership: Leadership) -> Result<LogRange, ReadError> {
        let status = self.replica(leadership).ok_or(ReadError::NotLeader)?.status();
        if status.role != ReplicaRole::Leader(leadership.leader_epoch) {
            return Err(ReadError::NotLeader);
        }
        Ok(LogRange {
            log_start_offset: status.log_start_offset,
            log_end_offset: status.log_end_offset,
        })
    }

    fn read(
        &self,
        leadership: Leadership,
        from: Offset,
        max_bytes: usize,
    ) -> BoxFuture<'static, Result<Bytes, ReadError>> {
        let replica = self.replica(leadership);
        async move {
            let replica = replica.ok_or(ReadError::NotLeader)?;
            let request = ReadRequest {
                offset: from,
                max_bytes,
                minimum: Minimum::OneBatch,
                isolation: Isolation::ReadUncommitted,
                current_leader_epoch: Some(leadership.leader_epoch),
                last_fetched_epoch: None,
            };
            let readable = replica.read(&request).map_err(|error| read_error(&error))?;
            replica.records(readable).await.map_err(|error| read_error(&error))
        }
        .boxed()
    }

    fn trim(&self, leadership: Leadership, before: Offset) -> Result<(), WriteError> {
        let replica = self.replica(leadership).ok_or(WriteError::NotLeader)?;
        replica.trim(before, leadership.leader_epoch).map_err(|error| match error {
            DeleteRecordsError::NotServed(error) => not_served(&error),
            DeleteRecordsError::OutOfRange { .. }
            | DeleteRecordsError::Policy
            | DeleteRecordsError::TimedOut => WriteError::Storage,
        })
    }

    fn topic_exists(&self, topic: &TopicIdentity) -> bool {
        let known = self.controller.image().topic_id(topic.name.as_str());
        known.is_some_and(|known| topic.id.is_none_or(|id| id == known))
    }
}

fn id_of(leadership: Leadership) -> TopicIdPartition {
    let Leadership { topic_id, partition, .. } = leadership;
    TopicIdPartition { topic_id, partition }
}

fn not_served(error: &NotServed) -> WriteError {
    match error {
        NotServed::NotLeader(_)
        | NotServed::FencedLeaderEpoch(_)
        | NotServed::UnknownLeaderEpoch => WriteError::NotLeader,
        NotServed::Storage => WriteError::Storage,
    }
}

fn write_error(leadership: Leadership, error: &ProduceError) -> WriteError {
    match error {
        ProduceError::NotServed(error) => not_served(error),
        ProduceError::NotEnoughReplicas | ProduceError::NotEnoughReplicasAfterAppend => {
            WriteError::NotEnoughReplicas
        }
        ProduceError::TimedOut => WriteError::TimedOut,
        ProduceError::LeadershipLost(_) => WriteError::NotLeader,
        ProduceError::Refused(
            AppendError::MessageTooLarge { .. } | AppendError::RecordListTooLarge { .. },
        ) => WriteError::TooLarge,
        ProduceError::Refused(AppendError::FencedLeaderEpoch { .. }) => WriteError::NotLeader,
        ProduceError::Refused(_) | ProduceError::Compression(_) => {
            let source = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(partition = %leadership, source, "a coordinator cannot write: {error}");
            WriteError::Storage
        }
    }
}

fn read_error(error: &FetchError) -> ReadError {
    match error {
        FetchError::NotServed(error) => match not_served(error) {
            WriteError::NotLeader => ReadError::NotLeader,
            _ => ReadError::Storage,
        },
        FetchError::OutOfRange { .. } | FetchError::Changed => ReadError::OutOfRange,
        FetchError::Corrupt => ReadError::Storage,
    }
}
