//! Produce: appends batches to the partitions that this broker leads.
//!
//! [`append`] has its whole effect on the calling thread: validate, convert where the client is old, append. What is left is the wait for
//! the acknowledgements, which acks = 0, 1 and all differ in. A batch that came before its topic or its replica is the exception: it is appended during that wait, when
//! what it needs is there; and the first batch of a transaction in a partition, whose coordinator is asked first ([`verification`]). Batches are opaque: only those for compacted topics are looked into ([`compacted`]).

mod unverified;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use controller::metadata::Image;
use log_storage::{AppendError, AppendOrigin, VerificationGuard};
use model::record_batch::{BatchHeader, Codec};
use model::{Acks, ErrorCode, TopicId, TopicIdPartition};
use protocol::compat::up_convert;
use protocol::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, TopicProduceData, TopicProduceResponse,
};
use protocol::messages::{ProduceRequest, ProduceResponse};
use protocol::{KafkaString, VersionRange};
use replication::{PartitionHandle, ProduceError, ProduceOptions, ProduceWaiter, Produced};

use self::unverified::Unverified;
use super::compacted;
use super::leader::{self, Hints};
use super::refused::Refused;
use super::verification;
use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;
use crate::handlers::named_topic::NamedTopic;
use crate::handlers::waits;
use crate::logging::LineLimit;
use crate::metrics::AcksLabel;
use crate::process;
use crate::topics::internal::{is_internal, may_produce_to_internal};
use crate::transactions::SupportedOperation;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 13 };

/// Most bytes that the messages of an old client may inflate to on their way to the new format.
const CONVERSION_LIMIT_BYTES: usize = 64 << 20;

/// First version that may send zstd (KIP-110).
const ZSTD_VERSION: i16 = 7;

/// First version that names topics by id.
const TOPIC_ID_VERSION: i16 = 13;

/// A request whose batches are appended.
#[derive(Debug)]
pub(crate) struct Appended {
    context: Arc<Context>,
    call: Call,
    acks: Option<Acks>,
    transactional_id: Option<KafkaString>,
    topics: Vec<AppendedTopic>,
}

#[derive(Debug)]
struct AppendedTopic {
    topic: TopicProduceResponse,
    partitions: Vec<(i32, Appending)>,
}

#[derive(Debug)]
enum Appending {
    Waiting(ProduceWaiter),
    Refused(Refused),
    /// This broker does not know the topic yet, or its replica is still being made: a client that another broker told of a new topic may be that fast.
    Early(Batch),
    /// The first of its transaction here: its coordinator is asked before it is appended.
    Unverified(Unverified),
    /// A message set without a message: nothing to append, and success.
    Nothing,
}

/// A batch with what the request says of all of its batches.
#[derive(Debug)]
struct Batch {
    data: PartitionProduceData,
    acks: Acks,
    timeout: Duration,
}

/// Appends every batch of the request that may be appended here.
pub(crate) fn append(context: &Arc<Context>, call: Call, request: ProduceRequest) -> Appended {
    let acks = Acks::from_wire(request.acks);
    let label = match acks {
        Some(Acks::None) => "0",
        Some(Acks::Leader) => "1",
        Some(Acks::All) => "all",
        None => "invalid",
    };
    context.metrics.requests.produce.get_or_create_owned(&AcksLabel { acks: label }).inc();
    let refused = verification::refused(&request);
    let transactional_id = request.transactional_id;
    let timeout = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let image = context.controller.image();
    let appender = Appender { context, call: &call, image: &image };
    let topics = request.topic_data.into_iter().map(|topic| {
        let TopicProduceData { name, topic_id, partition_data } = topic;
        let topic = TopicProduceResponse { name, topic_id, partition_responses: Vec::new() };
        let found = named(&call, &topic).id(&image);
        let partitions = partition_data.into_iter().map(|data| {
            let index = data.index;
            let appending = match (acks, refused) {
                (None, _) => Err(Refused::new(
                    ErrorCode::InvalidRequiredAcks,
                    format!("acks={} is none of -1, 0 and 1", request.acks),
                )),
                (_, Some((code, text))) => Err(Refused::new(code, text)),
                (Some(acks), None) => {
                    let batch = Batch { data, acks, timeout };
                    match found {
                        Ok(topic_id) => appender.append(topic_id, batch),
                        Err(_) => Ok(Appending::Early(batch)),
                    }
                }
            };
            (index, appending.unwrap_or_else(Appending::Refused))
        });
        let partitions = partitions.collect();
        AppendedTopic { topic, partitions }
    });
    let topics = topics.collect();
    Appended { context: Arc::clone(context), call, acks, transactional_id, topics }
}

fn named<'a>(call: &Call, topic: &'a TopicProduceResponse) -> NamedTopic<'a> {
    match call.version {
        TOPIC_ID_VERSION.. => NamedTopic::Id(topic.topic_id),
        _ => NamedTopic::Name(&topic.name),
    }
}

struct Appender<'a> {
    context: &'a Arc<Context>,
    call: &'a Call,
    image: &'a Image,
}

impl Appender<'_> {
    fn append(&self, topic_id: TopicId, batch: Batch) -> Result<Appending, Refused> {
        let id = TopicIdPartition { topic_id, partition: batch.data.index };
        match leader::find(self.context, self.image, id)? {
            Some(replica) => self.append_to(&replica, batch),
            None => Ok(Appending::Early(batch)),
        }
    }

    /// Appends a batch, unless it has to be verified before.
    fn append_to(
        &self,
        replica: &Arc<PartitionHandle>,
        batch: Batch,
    ) -> Result<Appending, Refused> {
        let records = batch.data.records.as_deref().unwrap_or_default();
        let Some(producer) = verification::transactional(records) else {
            return self.append_verified(replica, batch, None);
        };
        let version = verification::operation(self.call.version).transaction_version();
        match replica.begin_verification(producer, version).map_err(ProduceError::from)? {
            None => self.append_verified(replica, batch, None),
            Some(guard) if !self.is_asked_for() => {
                self.append_verified(replica, batch, Some(guard))
            }
            Some(guard) => {
                let replica = Arc::clone(replica);
                Ok(Appending::Unverified(Unverified { batch, replica, producer, guard }))
            }
        }
    }

    /// Says whether coordinators are asked for this client: one that adds partitions by writing to them has nobody else who does.
    fn is_asked_for(&self) -> bool {
        let operation = verification::operation(self.call.version);
        operation == SupportedOperation::AddPartition
            || self.context.coordinators.verifies_partitions()
    }

    fn append_verified(
        &self,
        replica: &PartitionHandle,
        batch: Batch,
        verification: Option<VerificationGuard>,
    ) -> Result<Appending, Refused> {
        let Batch { data, acks, timeout } = batch;
        let topic_id = replica.id().topic_id;
        if is_internal(&replica.name().topic) && !may_produce_to_internal(&self.call.client_id) {
            let text = "internal topics are written by the brokers alone";
            return Err(Refused::new(ErrorCode::InvalidTopicException, text));
        }
        let records = data.records.unwrap_or_default();
        let options = ProduceOptions {
            acks,
            timeout,
            expected_leader_epoch: None,
            origin: AppendOrigin::Client,
            verification,
        };
        let waiter = if self.call.version < 3 {
            let converted = self.converted(&records)?;
            let Some(mut batch) = converted else { return Ok(Appending::Nothing) };
            self.check_keys(topic_id, &batch)?;
            replica.produce(&mut batch, &options)
        } else {
            check_batch(self.call.version, &records)?;
            self.check_keys(topic_id, &records)?;
            with_own_copy(&records, |batch| replica.produce(batch, &options))
        };
        Ok(Appending::Waiting(waiter))
    }

    /// Checks that each record for a compacted topic has a key: without one it could neither be kept nor dropped.
    fn check_keys(&self, topic_id: TopicId, batch: &[u8]) -> Result<(), Refused> {
        if !compacted::is_compacted(self.image, topic_id) {
            return Ok(());
        }
        let checked = self.guarded(ErrorCode::InvalidRecord, || compacted::check_records(batch))?;
        checked.map_err(|error| {
            let refused = Refused::new(ErrorCode::InvalidRecord, error.to_string());
            refused.of_record(compacted::index_of(&error))
        })
    }

    /// Converts an old client's messages. Pure work on bytes of a client, as decoding is, and guarded as that is.
    fn converted(&self, records: &Bytes) -> Result<Option<Vec<u8>>, Refused> {
        let converted = self
            .guarded(ErrorCode::CorruptMessage, || up_convert(records, CONVERSION_LIMIT_BYTES))?;
        converted.map_err(|error| Refused::new(error.error_code(), error.to_string()))
    }

    fn guarded<T>(&self, error: ErrorCode, work: impl FnOnce() -> T) -> Result<T, Refused> {
        process::guarded(work).map_err(|panicked| {
            self.context.metrics.connections.decode_panics.inc();
            Refused::new(error, panicked.to_string())
        })
    }
}

/// Checks what depends on the request's version; the log checks the batch itself.
fn check_batch(version: i16, records: &[u8]) -> Result<(), Refused> {
    if records.is_empty() {
        let text = "a partition of a Produce request needs exactly one record batch";
        return Err(Refused::new(ErrorCode::InvalidRecord, text));
    }
    // A batch that cannot be read is the log's to refuse, with its reason.
    let Ok(header) = BatchHeader::parse(records) else { return Ok(()) };
    if header.codec() == Codec::Zstd && version < ZSTD_VERSION {
        let text = "zstd needs Produce version 7 or newer";
        return Err(Refused::new(ErrorCode::UnsupportedCompressionType, text));
    }
    Ok(())
}

/// Gives the log a batch that it may complete in place. The frame is shared, so the batch is copied into a buffer of this thread, which
/// stays in the core's cache; it is given back when it grew large.
fn with_own_copy<T>(records: &Bytes, append: impl FnOnce(&mut [u8]) -> T) -> T {
    const KEPT_BYTES: usize = 1 << 20;
    thread_local! {
        static COPY: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    COPY.with_borrow_mut(|copy| {
        copy.clear();
        copy.extend_from_slice(records);
        let result = append(copy);
        if copy.capacity() > KEPT_BYTES {
            *copy = Vec::new();
        }
        result
    })
}

impl Appended {
    /// Says whether every batch is appended, or refused: only then may a later request of the connection be handled.
    pub(crate) fn is_done(&self) -> bool {
        let mut all = self.topics.iter().flat_map(|topic| &topic.partitions);
        !all.any(|(_, appending)| {
            matches!(appending, Appending::Early(_) | Appending::Unverified(_))
        })
    }

    /// Waits for the acknowledgements. `None` when no answer is due.
    ///
    /// # Errors
    /// The reason to close the connection: with acks=0 that is the only way to tell a client that its metadata is old.
    pub(crate) async fn response(mut self) -> Result<Option<ProduceResponse>, String> {
        if !self.is_done() {
            self.append_early().await;
            self.append_unverified().await;
        }
        let Self { context, call, acks, topics, .. } = self;
        let mut hints = Hints::default();
        let mut failed = ErrorCode::None;
        let mut response = ProduceResponse::default();
        for AppendedTopic { mut topic, partitions } in topics {
            for (index, appending) in partitions {
                let answer = complete(&context, &call, &mut hints, appending).await;
                if answer.error_code.is_error() {
                    failed = answer.error_code;
                    context.count_error(call.api_key, failed);
                }
                topic.partition_responses.push(PartitionProduceResponse { index, ..answer });
            }
            response.responses.push(topic);
        }
        if acks == Some(Acks::None) {
            let reason = || format!("a Produce request with acks=0 failed: {failed}");
            return if failed.is_error() { Err(reason()) } else { Ok(None) };
        }
        response.node_endpoints = hints.into_endpoints();
        Ok(Some(response))
    }

    /// Appends what came early, once this broker has heard of its topics.
    async fn append_early(&mut self) {
        let Self { context, call, topics, .. } = self;
        waits::until_known(&context.controller, |image| {
            topics.iter().all(|one| named(call, &one.topic).id(image).is_ok())
        })
        .await;
        for AppendedTopic { topic, partitions } in topics {
            for (_, appending) in partitions {
                if let Appending::Early(batch) = appending {
                    let data = PartitionProduceData {
                        index: batch.data.index,
                        records: batch.data.records.take(),
                    };
                    let batch = Batch { data, ..*batch };
                    let appended = append_late(context, call, topic, batch).await;
                    *appending = appended.unwrap_or_else(Appending::Refused);
                }
            }
        }
    }
}

/// Appends a batch that came early, to the replica that there is by now.
async fn append_late(
    context: &Arc<Context>,
    call: &Call,
    topic: &TopicProduceResponse,
    batch: Batch,
) -> Result<Appending, Refused> {
    let image = context.controller.image();
    let topic_id = named(call, topic).id(&image)?;
    let id = TopicIdPartition { topic_id, partition: batch.data.index };
    let replica = leader::find_made(context, &image, id).await?;
    Appender { context, call, image: &image }.append_to(&replica, batch)
}

async fn complete(
    context: &Context,
    call: &Call,
    hints: &mut Hints,
    appending: Appending,
) -> PartitionProduceResponse {
    let refused = match appending {
        Appending::Nothing => return PartitionProduceResponse::default(),
        Appending::Refused(refused) => refused,
        // Each one that came early was appended or refused before; one that was not must never look like a success.
        Appending::Early(_) | Appending::Unverified(_) => ErrorCode::LeaderNotAvailable.into(),
        Appending::Waiting(waiter) => match acknowledged(context, waiter).await {
            Ok(produced) => {
                return PartitionProduceResponse {
                    base_offset: produced.base_offset.0,
                    log_append_time_ms: produced.log_append_time.map_or(-1, |time| time.0),
                    log_start_offset: produced.log_start_offset.0,
                    ..PartitionProduceResponse::default()
                };
            }
            Err(refused) => refused,
        },
    };
    refused.answer(&context.controller.image(), call, hints)
}

/// Waits for the replicas, unless the broker stops.
async fn acknowledged(context: &Context, waiter: ProduceWaiter) -> Result<Produced, Refused> {
    tokio::select! {
        biased;
        produced = waiter => produced.map_err(|error| {
            tell_of_full_disk(context, &error);
            error.into()
        }),
        () = context.no_more_acks.cancelled() => {
            Err(Refused::new(ErrorCode::NotLeaderOrFollower, "this broker stops"))
        }
    }
}

/// A full disk is for a human to see to; one line in ten seconds is enough.
fn tell_of_full_disk(context: &Context, error: &ProduceError) {
    static LINES: LineLimit = LineLimit::new(Duration::from_secs(10));
    if let ProduceError::Refused(AppendError::OutOfSpace(reason)) = error
        && let Some(held_back) = LINES.permit()
    {
        let directory = context.config.data_dir.display();
        tracing::error!(
            held_back,
            "{directory}: no room for records: {reason}; delete topics or add space"
        );
    }
}
