//! From record batches to the group machine's records.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use model::record_batch::{
    Batch, BatchError, BatchHeader, Batches, EndTransactionMarker, MarkerError, Record, RecordIter,
    Records, RecordsError, verify_crc,
};
use model::{LeaderEpoch, Offset, ProducerId, UnixMillis};
use protocol::codec::{KafkaString, Problem};
use protocol::group_log::{
    GroupLogKey, GroupMetadataValue, MemberMetadata, OffsetCommitKey, OffsetCommitValue,
};

use crate::group::ids::{GenerationId, GroupId, TopicName};
use crate::group::record::{GroupMetadataRecord, GroupRecord, MemberRecord, OffsetRecord};

/// Says why a log of the offsets topic cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Bytes that are no batch, or a damaged one.
    #[error("no record batch can be read behind offset {after}")]
    Batch {
        /// The next offset behind the last batch that was read; 0 before the first.
        after: Offset,
        /// Why.
        #[source]
        source: BatchError,
    },
    /// A batch whose records have not the shape of records.
    #[error("the records of the batch at offset {offset} cannot be read")]
    Records {
        /// Base offset of the batch.
        offset: Offset,
        /// Why.
        #[source]
        source: RecordsError,
    },
    /// A record without a key, which the topic cannot have.
    #[error("the record at offset {offset} has no key")]
    NoKey {
        /// Offset of the record.
        offset: Offset,
    },
    /// A key or a value that is damaged, or of a version that is not known.
    #[error("the {part} of the record at offset {offset} cannot be read")]
    Record {
        /// Offset of the record.
        offset: Offset,
        /// `key` or `value`.
        part: &'static str,
        /// Why.
        #[source]
        source: protocol::codec::DecodeError,
    },
    /// A control record that is damaged.
    #[error("the control record at offset {offset} cannot be read")]
    Marker {
        /// Offset of the record.
        offset: Offset,
        /// Why.
        #[source]
        source: MarkerError,
    },
}

/// What the log says at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// A record that counts from where it stands.
    Record(GroupRecord),
    /// A record of a transaction: it counts, or not, from the producer's next marker on.
    OfTransaction {
        /// The transaction's producer.
        producer_id: ProducerId,
        /// Where the record stands.
        offset: Offset,
        /// The record.
        record: GroupRecord,
    },
    /// The end of a producer's transaction.
    Marker {
        /// The transaction's producer.
        producer_id: ProducerId,
        /// How it ended.
        marker: EndTransactionMarker,
    },
}

impl DecodeError {
    /// Says whether it is about one whole record that no coordinator of this version writes: one without a key, or with a value of a version that is not known. Reading goes on behind it.
    #[must_use]
    pub fn is_skippable(&self) -> bool {
        match self {
            Self::NoKey { .. } => true,
            Self::Record { source, .. } => {
                matches!(source.problem(), Problem::UnsupportedVersion(_))
            }
            Self::Batch { .. } | Self::Records { .. } | Self::Marker { .. } => false,
        }
    }
}

/// Reads whole batches of the offsets topic, in log order.
///
/// Skipped are control records other than markers, and keys of kinds that are not known: those of the newer group protocols (KIP-848, KIP-932, KIP-1071).
#[must_use]
pub fn decode(batches: &Bytes) -> Decoder<'_> {
    Decoder {
        bytes: batches,
        batches: Batches::whole(batches),
        batch: CurrentBatch::None,
        next_offset: Offset::ZERO,
        names: Names::default(),
    }
}

/// Iterator over the records in batches; see [`decode`]. It ends at the first error that is not [`DecodeError::is_skippable`].
#[derive(Debug)]
pub struct Decoder<'a> {
    bytes: &'a Bytes,
    batches: Batches<'a>,
    batch: CurrentBatch<'a>,
    /// Behind the last batch that was read.
    next_offset: Offset,
    names: Names,
}

/// What is left of the batch that is being read.
#[derive(Debug)]
enum CurrentBatch<'a> {
    None,
    /// An uncompressed one, read where it lies.
    Plain {
        origin: Origin,
        records: RecordIter<'a>,
    },
    /// Of a compressed one, which was read at once.
    Inflated(std::vec::IntoIter<Result<LogEntry, DecodeError>>),
    Failed,
}

/// What its header says of the records of a batch.
#[derive(Clone, Copy, Debug)]
struct Origin {
    base_offset: Offset,
    /// Set when the batch belongs to a transaction.
    producer_id: Option<ProducerId>,
    is_control: bool,
}

impl Origin {
    fn of(header: &BatchHeader) -> Self {
        let producer = header.producer.filter(|_| header.is_transactional() || header.is_control());
        Self {
            base_offset: header.base_offset,
            producer_id: producer.map(|producer| producer.id),
            is_control: header.is_control(),
        }
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<LogEntry, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let found = match &mut self.batch {
                CurrentBatch::Failed => return None,
                CurrentBatch::None => match self.next_batch()? {
                    Ok(batch) => {
                        self.batch = batch;
                        continue;
                    }
                    Err(error) => Err(error),
                },
                CurrentBatch::Inflated(records) => records.next().transpose(),
                CurrentBatch::Plain { origin, records } => {
                    next_known(records, *origin, self.bytes, &mut self.names)
                }
            };
            match found {
                Ok(Some(record)) => return Some(Ok(record)),
                Ok(None) => self.batch = CurrentBatch::None,
                Err(error) => {
                    if !error.is_skippable() {
                        self.batch = CurrentBatch::Failed;
                    }
                    return Some(Err(error));
                }
            }
        }
    }
}

impl<'a> Decoder<'a> {
    fn next_batch(&mut self) -> Option<Result<CurrentBatch<'a>, DecodeError>> {
        let after = self.next_offset;
        let batch = self.batches.next()?.and_then(|batch| {
            // A flipped bit in a log must not become an offset that somebody reads from.
            verify_crc(batch.bytes)?;
            Ok(batch)
        });
        Some(match batch {
            Ok(batch) => self.open(batch),
            Err(source) => Err(DecodeError::Batch { after, source }),
        })
    }

    fn open(&mut self, batch: Batch<'a>) -> Result<CurrentBatch<'a>, DecodeError> {
        let header = batch.header;
        self.next_offset = header.next_offset();
        let origin = Origin::of(&header);
        let base_offset = header.base_offset;
        let records = Records::of(batch, MAX_INFLATED_BYTES)
            .map_err(|source| DecodeError::Records { offset: base_offset, source })?;
        match records.into_data() {
            Cow::Borrowed(data) => {
                let records = RecordIter::new(header, data);
                Ok(CurrentBatch::Plain { origin, records })
            }
            Cow::Owned(data) => {
                let data = Bytes::from(data);
                let mut records = RecordIter::new(header, &data);
                let mut read = Vec::new();
                while let Some(record) =
                    next_known(&mut records, origin, &data, &mut self.names).transpose()
                {
                    let is_last = record.as_ref().is_err_and(|error| !error.is_skippable());
                    read.push(record);
                    if is_last {
                        break;
                    }
                }
                Ok(CurrentBatch::Inflated(read.into_iter()))
            }
        }
    }
}

/// Reads on to the next record of a known kind. `bytes` holds the batch's records.
fn next_known(
    records: &mut RecordIter<'_>,
    origin: Origin,
    bytes: &Bytes,
    names: &mut Names,
) -> Result<Option<LogEntry>, DecodeError> {
    for record in records {
        let record =
            record.map_err(|source| DecodeError::Records { offset: origin.base_offset, source })?;
        let entry = if origin.is_control {
            read_marker(&record, origin.producer_id)?
        } else {
            let read = read(&record, bytes, names)?;
            read.map(|read| match origin.producer_id {
                Some(producer_id) => {
                    LogEntry::OfTransaction { producer_id, offset: record.offset, record: read }
                }
                None => LogEntry::Record(read),
            })
        };
        if entry.is_some() {
            return Ok(entry);
        }
    }
    Ok(None)
}

/// Reads a control record; `None` when it is no marker of a transaction.
fn read_marker(
    record: &Record<'_>,
    producer_id: Option<ProducerId>,
) -> Result<Option<LogEntry>, DecodeError> {
    let marker = EndTransactionMarker::read(record.key, record.value)
        .map_err(|source| DecodeError::Marker { offset: record.offset, source })?;
    Ok(marker
        .zip(producer_id)
        .map(|(marker, producer_id)| LogEntry::Marker { producer_id, marker }))
}

/// Reads one record; `None` when its kind is not known.
fn read(
    record: &Record<'_>,
    bytes: &Bytes,
    names: &mut Names,
) -> Result<Option<GroupRecord>, DecodeError> {
    let offset = record.offset;
    let damaged = |part| move |source| DecodeError::Record { offset, part, source };
    let key = record.key.ok_or(DecodeError::NoKey { offset })?;
    let value = record.value.map(|value| bytes.slice_ref(value));
    let record = match GroupLogKey::decode(bytes.slice_ref(key)).map_err(damaged("key"))? {
        GroupLogKey::Unknown(_) => return Ok(None),
        GroupLogKey::OffsetCommit(OffsetCommitKey { group, topic, partition }) => {
            let value = value.map(OffsetCommitValue::decode).transpose();
            GroupRecord::Offset {
                group_id: names.group(&group),
                topic: names.topic(&topic),
                partition,
                value: value.map_err(damaged("value"))?.as_ref().map(offset_record),
            }
        }
        GroupLogKey::GroupMetadata(key) => {
            let value = value.map(GroupMetadataValue::decode).transpose();
            GroupRecord::Group {
                group_id: names.group(&key.group),
                value: value.map_err(damaged("value"))?.as_ref().map(group_record),
            }
        }
    };
    Ok(Some(record))
}

fn offset_record(value: &OffsetCommitValue) -> OffsetRecord {
    OffsetRecord {
        offset: Offset(value.offset),
        leader_epoch: LeaderEpoch::from_wire(value.leader_epoch),
        metadata: text(&value.metadata),
        topic_id: (!value.topic_id.is_zero()).then_some(value.topic_id),
        commit_time: UnixMillis(value.commit_timestamp),
        expire_time: time(value.expire_timestamp),
    }
}

fn group_record(value: &GroupMetadataValue) -> GroupMetadataRecord {
    GroupMetadataRecord {
        protocol_type: text(&value.protocol_type),
        generation_id: GenerationId(value.generation),
        protocol_name: value.protocol.as_ref().map(text),
        leader: value.leader.as_ref().map(|leader| leader.as_str().into()),
        state_since: time(value.current_state_timestamp),
        members: value.members.iter().map(member_record).collect(),
    }
}

fn member_record(member: &MemberMetadata) -> MemberRecord {
    let session_timeout = millis(member.session_timeout);
    MemberRecord {
        member_id: member.member_id.as_str().into(),
        group_instance_id: member.group_instance_id.as_ref().map(|name| name.as_str().into()),
        client_id: text(&member.client_id),
        client_host: text(&member.client_host),
        // Version 0 knew one timeout for both.
        rebalance_timeout: match member.rebalance_timeout {
            ..0 => session_timeout,
            timeout => millis(timeout),
        },
        session_timeout,
        // Copies: a slice would keep the whole read of the log in memory.
        subscription: Bytes::copy_from_slice(&member.subscription),
        assignment: Bytes::copy_from_slice(&member.assignment),
    }
}

fn text(text: &KafkaString) -> String {
    text.as_str().to_owned()
}

fn time(millis: i64) -> Option<UnixMillis> {
    (millis >= 0).then_some(UnixMillis(millis))
}

fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// The names of the record before: neighbours in a log mostly share theirs, and then share the memory too.
#[derive(Debug, Default)]
struct Names {
    group: Option<GroupId>,
    topic: Option<TopicName>,
}

impl Names {
    fn group(&mut self, name: &str) -> GroupId {
        match &self.group {
            Some(group) if group.as_str() == name => group.clone(),
            Some(_) | None => self.group.insert(name.into()).clone(),
        }
    }

    fn topic(&mut self, name: &str) -> TopicName {
        match &self.topic {
            Some(topic) if topic.as_str() == name => topic.clone(),
            Some(_) | None => self.topic.insert(name.into()).clone(),
        }
    }
}

/// Most bytes that a compressed batch may have when inflated. We write none; Kafka's are bounded by its `max.message.bytes`, 1 MiB unless set.
const MAX_INFLATED_BYTES: usize = 64 << 20;
