//! What other brokers call: markers for partitions that this broker leads, and questions about transactions that it coordinates.
//!
//! Owns who may call, as for the replication streams, and the bounds on what one call brings.

use std::sync::Arc;

use controller::Controller;
use futures_util::FutureExt as _;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use model::{BrokerEpoch, BrokerId, DirectoryId, TopicPartition};
use replication::GrpcService;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use super::links::MAX_MARKERS;
use super::proto::transaction_server::{Transaction, TransactionServer};
use super::verification::{Mode, Question};
use super::{LocalPartitions, Verification, proto, wire};

/// What the service needs.
#[derive(Clone)]
struct Service {
    controller: Controller,
    local: LocalPartitions,
    verification: Arc<Verification>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// Makes the service, to be served on the replication port. Its streams end with `stop`.
pub(crate) fn server(
    controller: Controller,
    local: LocalPartitions,
    verification: Arc<Verification>,
    tasks: TaskTracker,
    stop: CancellationToken,
) -> impl GrpcService {
    TransactionServer::new(Service { controller, local, verification, tasks, stop })
}

impl Service {
    /// Checks who calls (each stream opens with who it is, and is refused on a mismatch).
    fn check(&self, hello: Option<proto::Hello>) -> Result<BrokerId, Status> {
        let hello = hello.ok_or_else(|| Status::invalid_argument("no hello"))?;
        let refused = |reason: &str| Err(Status::failed_precondition(reason.to_owned()));
        let image = self.controller.image();
        if image.cluster_id().is_none_or(|id| id.0 != hello.cluster_id) {
            return refused("another cluster");
        }
        if hello.callee_id != self.controller.broker_id().0 {
            return refused("another broker was meant");
        }
        let Some(broker_epoch) = BrokerEpoch::from_wire(hello.broker_epoch) else {
            return refused("no broker epoch");
        };
        let Ok(directory_id) = <[u8; 16]>::try_from(&hello.directory_id[..]) else {
            return refused("no directory id");
        };
        let caller = BrokerId(hello.broker_id);
        match image.broker(caller) {
            Some(known) if known.broker_epoch > broker_epoch => {
                refused("a later registration exists")
            }
            Some(known)
                if known.broker_epoch == broker_epoch
                    && known.directory_id != DirectoryId::from_bytes(directory_id) =>
            {
                refused("another log directory is registered")
            }
            // A registration that this broker's image has not seen yet.
            Some(_) | None => Ok(caller),
        }
    }

    /// Writes markers as they come, and answers each when it is committed or refused.
    async fn write(
        &self,
        mut inbound: Streaming<proto::MarkersMessage>,
        answers: mpsc::Sender<Result<proto::MarkersWritten, Status>>,
    ) {
        let mut writing = FuturesUnordered::new();
        loop {
            tokio::select! {
                message = inbound.message(), if writing.len() < MAX_WRITING => {
                    let Ok(Some(message)) = message else { return };
                    if message.markers.len() > MAX_MARKERS {
                        let status = Status::invalid_argument("too many markers in one message");
                        let _ = answers.send(Err(status)).await;
                        return;
                    }
                    writing.extend(message.markers.into_iter().map(|marker| self.write_one(marker)));
                }
                Some(first) = writing.next(), if !writing.is_empty() => {
                    let mut results = vec![first];
                    while results.len() < MAX_MARKERS
                        && let Some(Some(result)) = writing.next().now_or_never()
                    {
                        results.push(result);
                    }
                    if answers.send(Ok(proto::MarkersWritten { results })).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn write_one(&self, marker: proto::Marker) -> proto::MarkerResult {
        let code = match wire::read_marker(&marker) {
            Ok((partition, marker)) => self.local.write(partition, marker).await,
            Err(error) => {
                tracing::warn!(%error, "a marker that cannot be read");
                model::ErrorCode::InvalidRequest
            }
        };
        proto::MarkerResult { id: marker.id, error_code: wire::write_code(code) }
    }
}

#[tonic::async_trait]
impl Transaction for Service {
    type WriteMarkersStream = ReceiverStream<Result<proto::MarkersWritten, Status>>;

    async fn write_markers(
        &self,
        request: Request<Streaming<proto::MarkersMessage>>,
    ) -> Result<Response<Self::WriteMarkersStream>, Status> {
        let mut inbound = request.into_inner();
        let first = inbound.message().await?;
        self.check(first.and_then(|message| message.hello))?;
        let (answers, queue) = mpsc::channel(MAX_ANSWERS);
        let (service, stop) = (self.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = service.write(inbound, answers) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(queue)))
    }

    async fn add_partitions(
        &self,
        request: Request<proto::AddPartitionsRequest>,
    ) -> Result<Response<proto::AddPartitionsResponse>, Status> {
        let request = request.into_inner();
        self.check(request.hello)?;
        if request.partitions.len() > MAX_PARTITIONS {
            return Err(Status::invalid_argument("too many partitions in one question"));
        }
        let producer = wire::read_producer(request.producer_id, request.producer_epoch)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let partitions = request.partitions.into_iter();
        let partitions = partitions
            .map(|one| TopicPartition { topic: one.topic, partition: one.partition })
            .collect();
        let question = Question {
            transactional_id: request.transactional_id.as_str().into(),
            producer,
            partitions,
            mode: if request.verify_only { Mode::VerifyOnly } else { Mode::Add },
        };
        let codes = self.verification.ask_own(&question).await;
        let error_codes = codes.into_iter().map(wire::write_code).collect();
        Ok(Response::new(proto::AddPartitionsResponse { error_codes }))
    }
}

/// Markers of one stream that wait for replicas; further ones wait at the coordinator's broker.
const MAX_WRITING: usize = 10_000;

/// Answers that wait for the connection.
const MAX_ANSWERS: usize = 8;

/// Partitions that one question names.
pub(super) const MAX_PARTITIONS: usize = 10_000;
