//! Batches that are the first of their transaction in their partitions: the transaction's coordinator is asked about all of a request at once, then they are appended.

use std::sync::Arc;

use coordinator::transaction::ids::ProducerIdAndEpoch;
use log_storage::VerificationGuard;
use model::ErrorCode;
use model::record_batch::BatchProducer;
use replication::PartitionHandle;

use super::super::verification;
use super::{Appended, Appender, Appending, Batch};

/// A batch that waits for its verification.
#[derive(Debug)]
pub(super) struct Unverified {
    pub(super) batch: Batch,
    pub(super) replica: Arc<PartitionHandle>,
    pub(super) producer: BatchProducer,
    /// Opens the log to it, once the coordinator has said yes.
    pub(super) guard: VerificationGuard,
}

impl Appended {
    /// Asks the transaction's coordinator about all batches that are the first of it in their partitions, and appends those that it says yes to.
    pub(super) async fn append_unverified(&mut self) {
        let Self { context, call, topics, transactional_id, .. } = self;
        let mut waiting = Vec::new();
        for appending in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            let appending = &mut appending.1;
            if matches!(appending, Appending::Unverified(_))
                && let Appending::Unverified(unverified) =
                    std::mem::replace(appending, Appending::Nothing)
            {
                waiting.push((appending, unverified));
            }
        }
        let Some((_, first)) = waiting.first() else { return };
        let BatchProducer { id, epoch, .. } = first.producer;
        let partitions = waiting.iter().map(|(_, one)| one.replica.name().clone()).collect();
        let operation = verification::operation(call.version);
        let name = transactional_id.as_deref().unwrap_or_default();
        let asked = context.coordinators.verification().verify(
            name,
            ProducerIdAndEpoch { id, epoch },
            partitions,
            operation,
        );
        let codes = tokio::select! {
            codes = asked => codes,
            () = context.no_more_acks.cancelled() => {
                vec![ErrorCode::NotLeaderOrFollower; waiting.len()]
            }
        };
        let image = context.controller.image();
        let appender = Appender { context, call, image: &image };
        for ((appending, unverified), code) in waiting.into_iter().zip(codes) {
            let Unverified { batch, replica, guard, .. } = unverified;
            let appended = match code {
                ErrorCode::None => appender.append_verified(&replica, batch, Some(guard)),
                code => Err(verification::not_verified(code)),
            };
            *appending = appended.unwrap_or_else(Appending::Refused);
        }
    }
}
