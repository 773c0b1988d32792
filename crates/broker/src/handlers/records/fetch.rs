//! Fetch: reads batches of the partitions that this broker leads, and waits for more when there is too little.
//!
//! Sessions (KIP-227) are not kept: every request names its partitions, and a client that claims a session is told that there is none.
//! A read is planned under the partition's lock and executed off it; record bytes are referred to, never copied, unless an old client
//! needs an older format.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use controller::metadata::Image;
use log_storage::Minimum;
use model::record_batch::Batches;
use model::{ErrorCode, LeaderEpoch, Offset, TopicId, TopicIdPartition};
use protocol::VersionRange;
use protocol::compat::{DownConversion, MessageFormat, down_convert};
use protocol::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchPartition, FetchTopic, FetchableTopicResponse,
    PartitionData,
};
use protocol::messages::{FetchRequest, FetchResponse};
use replication::{
    FetchError, FetchWaiter, Fetched, Isolation, LeaderHint, PartitionHandle, ReadRequest,
    WatchPosition,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::leader::{self, Elsewhere, Hints};
use crate::context::{Call, Context};
use crate::error_code::{ToErrorCode as _, leader_hint};
use crate::handlers::named_topic::NamedTopic;
use crate::handlers::waits;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 18 };

/// Most record bytes of one answer, whatever the client asks for (Kafka's `fetch.max.bytes`).
const MAX_ANSWER_BYTES: usize = 55 << 20;

/// Most bytes that one batch may inflate to on its way to an older format.
const CONVERSION_LIMIT_BYTES: usize = 64 << 20;

/// Longest wait, whatever the client asks for: a wait holds nothing but its place in the connection's order.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// Longest wait for memory; then the client gets an empty answer and asks again.
const MEMORY_WAIT: Duration = Duration::from_secs(1);

/// First version that names topics by id.
const TOPIC_ID_VERSION: i16 = 13;

/// First version whose client knows KAFKA_STORAGE_ERROR.
const STORAGE_ERROR_VERSION: i16 = 6;

/// First version that is told the current leader's address (KIP-951).
const ENDPOINTS_VERSION: i16 = 16;

/// Reads `isolation_level`.
pub(super) fn isolation(level: i8) -> Isolation {
    if level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
}

pub(crate) async fn handle(context: &Context, call: &Call, request: FetchRequest) -> FetchResponse {
    if let Some(error_code) = session_error(&request) {
        context.count_error(call.api_key, error_code);
        return FetchResponse { error_code, ..FetchResponse::default() };
    }
    waits::until_known(&context.controller, |image| {
        request.topics.iter().all(|topic| named(call, topic).id(image).is_ok())
    })
    .await;
    let max_wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let deadline = Instant::now() + max_wait.min(MAX_WAIT);
    let min_bytes = usize::try_from(request.min_bytes).unwrap_or(0);
    let mut reader = Reader { context, call, image: context.controller.image(), request: &request };
    loop {
        let round = reader.read_all().await;
        let missing = min_bytes.min(MAX_ANSWER_BYTES).saturating_sub(round.bytes);
        if missing == 0 || round.is_final || !reader.wait(&round, missing, deadline).await {
            return reader.respond(round);
        }
        reader.image = context.controller.image();
    }
}

/// A request without a session has epoch -1, one that asks for a new session 0; the latter is answered with session 0, which says "none".
fn session_error(request: &FetchRequest) -> Option<ErrorCode> {
    match request.session_epoch {
        ..=0 => None,
        _ => Some(ErrorCode::FetchSessionIdNotFound),
    }
}

fn named<'a>(call: &Call, topic: &'a FetchTopic) -> NamedTopic<'a> {
    match call.version {
        TOPIC_ID_VERSION.. => NamedTopic::Id(topic.topic_id),
        _ => NamedTopic::Name(&topic.topic),
    }
}

struct Reader<'a> {
    context: &'a Context,
    call: &'a Call,
    image: Arc<Image>,
    request: &'a FetchRequest,
}

/// One look at all partitions of a request.
#[derive(Default)]
struct Round {
    topics: Vec<FetchableTopicResponse>,
    hints: Hints,
    bytes: usize,
    /// Something is to be told at once: an error, or a divergence.
    is_final: bool,
    watched: Vec<(Arc<PartitionHandle>, WatchPosition)>,
}

/// What one partition's read came to.
struct Read {
    data: PartitionData,
    watched: Option<(Arc<PartitionHandle>, WatchPosition)>,
}

/// Why a partition was not read.
struct NotRead {
    error: ErrorCode,
    hint: Option<LeaderHint>,
    /// Told with OFFSET_OUT_OF_RANGE.
    log_start_offset: Option<Offset>,
}

impl From<Elsewhere> for NotRead {
    fn from(elsewhere: Elsewhere) -> Self {
        Self { error: elsewhere.error, hint: elsewhere.hint, log_start_offset: None }
    }
}

impl From<FetchError> for NotRead {
    fn from(error: FetchError) -> Self {
        let (hint, log_start_offset) = match &error {
            FetchError::NotServed(not_served) => (leader_hint(not_served), None),
            FetchError::OutOfRange { log_start_offset, .. } => (None, Some(*log_start_offset)),
            FetchError::Corrupt | FetchError::Changed => (None, None),
        };
        Self { error: error.error_code(), hint, log_start_offset }
    }
}

impl From<ErrorCode> for NotRead {
    fn from(error: ErrorCode) -> Self {
        Self { error, hint: None, log_start_offset: None }
    }
}

impl Reader<'_> {
    async fn read_all(&self) -> Round {
        let mut round = Round::default();
        let limit = usize::try_from(self.request.max_bytes).unwrap_or(0).min(MAX_ANSWER_BYTES);
        for topic in &self.request.topics {
            let found = named(self.call, topic).id(&self.image);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let read = match found {
                    Ok(topic_id) => self.read(topic_id, partition, limit, round.bytes).await,
                    Err(error) => Err(error.into()),
                };
                let index = partition.partition;
                let data = match read {
                    Ok(Read { data, watched }) => {
                        round.bytes += data.records.as_ref().map_or(0, Bytes::len);
                        round.is_final |= data.diverging_epoch != EpochEndOffset::default();
                        round.watched.extend(watched);
                        data
                    }
                    Err(not_read) => {
                        round.is_final = true;
                        self.refusal(&not_read, &mut round.hints)
                    }
                };
                partitions.push(PartitionData { partition_index: index, ..data });
            }
            round.topics.push(FetchableTopicResponse {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                partitions,
            });
        }
        round
    }

    async fn read(
        &self,
        topic_id: TopicId,
        partition: &FetchPartition,
        limit: usize,
        taken: usize,
    ) -> Result<Read, NotRead> {
        let id = TopicIdPartition { topic_id, partition: partition.partition };
        let replica = leader::find_made(self.context, &self.image, id).await?;
        let offset =
            Offset::from_wire(partition.fetch_offset).ok_or(ErrorCode::OffsetOutOfRange)?;
        let wanted = usize::try_from(partition.partition_max_bytes).unwrap_or(0);
        // Before version 3 a client has no limit for the whole answer, and each partition must get it on.
        let minimum =
            if taken == 0 || self.call.version < 3 { Minimum::OneBatch } else { Minimum::Nothing };
        let max_bytes = wanted.min(limit.saturating_sub(taken));
        let request = ReadRequest {
            offset,
            max_bytes,
            minimum,
            isolation: isolation(self.request.isolation_level),
            current_leader_epoch: LeaderEpoch::from_wire(partition.current_leader_epoch),
            last_fetched_epoch: LeaderEpoch::from_wire(partition.last_fetched_epoch),
        };
        let readable = replica.read(&request)?;
        let position = readable.position();
        let aborted = request.isolation == Isolation::ReadCommitted;
        let mut data = PartitionData {
            high_watermark: readable.high_watermark.0,
            last_stable_offset: readable.last_stable_offset.0,
            log_start_offset: readable.log_start_offset.0,
            aborted_transactions: aborted.then(Vec::new),
            ..PartitionData::default()
        };
        if let Some((epoch, end)) = readable.diverging {
            data.diverging_epoch = EpochEndOffset { epoch: epoch.0, end_offset: end.0 };
        }
        let memory = match readable.is_empty() {
            true => None,
            false => self.reserve(max_bytes, taken).await,
        };
        let Some(memory) = memory else {
            data.records = Some(Bytes::new());
            return Ok(Read { data, watched: Some((replica, position)) });
        };
        let Fetched { records, aborted_transactions } = match replica.fetch(readable).await {
            Ok(fetched) => fetched,
            // The next look sees the log as it is then.
            Err(FetchError::Changed) => Fetched::default(),
            Err(error) => return Err(error.into()),
        };
        let records = self.for_version(&replica, records, &request, wanted).await?;
        data.records = Some(held(records, memory));
        if let Some(told) = &mut data.aborted_transactions {
            told.extend(aborted_transactions.iter().map(|aborted| AbortedTransaction {
                producer_id: aborted.producer_id.0,
                first_offset: aborted.first_offset.0,
            }));
        }
        Ok(Read { data, watched: Some((replica, position)) })
    }

    /// Takes a share of the memory of all answers. The first records of an answer wait for it; further ones are left out when there is
    /// none, so that no answer waits with memory in its hands.
    async fn reserve(&self, bytes: usize, taken: usize) -> Option<OwnedSemaphorePermit> {
        let budget = Arc::clone(&self.context.answer_bytes);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        if taken > 0 {
            return budget.try_acquire_many_owned(permits).ok();
        }
        let waited = tokio::time::timeout(MEMORY_WAIT, budget.acquire_many_owned(permits)).await;
        waited.ok().and_then(Result::ok)
    }

    /// Gives a client the format that its version knows. Markers of transactions have none in the older formats and are left out; where nothing else was read, what
    /// stands behind them is read on: such a client goes on from the last message that it was given, and would ask for the same again.
    async fn for_version(
        &self,
        replica: &PartitionHandle,
        mut records: Bytes,
        request: &ReadRequest,
        max_bytes: usize,
    ) -> Result<Bytes, NotRead> {
        let Some(format) = MessageFormat::of_fetch_version(self.call.version) else {
            return Ok(records);
        };
        let from = request.offset;
        let conversion =
            DownConversion { format, from, max_bytes, limit_bytes: CONVERSION_LIMIT_BYTES };
        loop {
            let converted =
                down_convert(&records, &conversion).map_err(|error| error.error_code())?;
            let last = Batches::with_partial_tail(&records).map_while(Result::ok).last();
            let Some(last) = last.filter(|_| converted.is_empty()) else {
                return Ok(Bytes::from(converted));
            };
            let behind = ReadRequest { offset: last.header.next_offset(), ..*request };
            records = match replica.records(replica.read(&behind)?).await {
                Err(FetchError::Changed) => Bytes::new(),
                read => read?,
            };
        }
    }

    fn refusal(&self, not_read: &NotRead, hints: &mut Hints) -> PartitionData {
        self.context.count_error(self.call.api_key, not_read.error);
        let error_code = match not_read.error {
            ErrorCode::KafkaStorageError if self.call.version < STORAGE_ERROR_VERSION => {
                ErrorCode::NotLeaderOrFollower
            }
            other => other,
        };
        PartitionData {
            error_code,
            high_watermark: -1,
            log_start_offset: Offset::to_wire(not_read.log_start_offset),
            current_leader: hints.name(&self.image, self.call, not_read.hint),
            records: Some(Bytes::new()),
            ..PartitionData::default()
        }
    }

    /// Waits until enough more is committed, or decided where the client asks for that, and says whether another look is worth it.
    async fn wait(&self, round: &Round, missing: usize, deadline: Instant) -> bool {
        if round.watched.is_empty() || Instant::now() >= deadline {
            return false;
        }
        let waiter = FetchWaiter::new(missing);
        for (replica, position) in &round.watched {
            replica.watch(&waiter, *position);
        }
        tokio::time::timeout_at(deadline, waiter.done()).await.is_ok()
    }

    fn respond(&self, round: Round) -> FetchResponse {
        let endpoints = round.hints.into_endpoints();
        FetchResponse {
            responses: round.topics,
            node_endpoints: if self.call.version >= ENDPOINTS_VERSION {
                endpoints
            } else {
                Vec::new()
            },
            ..FetchResponse::default()
        }
    }
}

/// Record bytes with their share of the memory, which comes back when the last reference to them goes: when the client has them.
struct Held {
    records: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.records
    }
}

fn held(records: Bytes, mut memory: OwnedSemaphorePermit) -> Bytes {
    let spare = memory.num_permits().saturating_sub(records.len());
    drop(memory.split(spare));
    Bytes::from_owner(Held { records, _memory: memory })
}
