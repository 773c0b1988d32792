//! What every client that polls keeps: the records it got and has not yet written down, the offset it wants next in each partition, and,
//! for a member of a group, what a rebalance gave and took.
//!
//! The start of each partition is looked up here and handed to librdkafka, so that the offset in the history is the one that is polled first.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, RebalanceProtocol,
};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::client::QUESTION_PATIENCE;
use super::{Shared, outcome, record};
use crate::history::{Action, Kind, OperationId, Partition, Read};

/// Longest time that a member looks for the positions of what it was given, before it gives up and begins anew under another name.
const POSITIONS_PATIENCE: Duration = Duration::from_secs(30);
const NAP: Duration = Duration::from_millis(50);

/// Who commits what was polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Commits {
    /// Nobody.
    None,
    /// The member, to this group.
    Member { group: String },
    /// A transaction.
    Transaction,
}

pub(super) type Reader = BaseConsumer<Member>;

/// Offsets of partitions.
pub(super) type Positions = BTreeMap<Partition, i64>;

/// The state of a client that polls; librdkafka calls it when its group is rebalanced.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) shared: Arc<Shared>,
    pub(super) process: Arc<str>,
    pub(super) commits: Commits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Polled, not yet written down.
    batch: BTreeMap<Partition, Vec<(i64, u64)>>,
    /// The offset after the last record polled, or the first to poll.
    next: Positions,
    committed: Positions,
    /// No positions were found for what a rebalance gave.
    broken: bool,
}

/// What a turn of polling met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Quiet,
    /// A position is not in the log.
    OutOfRange,
    /// The librdkafka instance is of no use any more.
    Fatal,
}

impl Member {
    pub(super) fn new(shared: Arc<Shared>, process: Arc<str>, commits: Commits) -> Self {
        Self { shared, process, commits, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn take(&self, message: &BorrowedMessage<'_>) {
        let partition =
            Partition { topic: Arc::from(message.topic()), number: message.partition() };
        let value = record::decode(&partition, message.payload());
        self.shared.counters.polled.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        state.next.insert(partition.clone(), message.offset() + 1);
        state.batch.entry(partition).or_default().push((message.offset(), value));
    }

    /// How many records wait to be written down.
    pub(super) fn waiting(&self) -> usize {
        self.state().batch.values().map(Vec::len).sum()
    }

    pub(super) fn next(&self) -> Positions {
        self.state().next.clone()
    }

    pub(super) fn set_next(&self, positions: &Positions) {
        self.state().next.extend(positions.clone());
    }

    /// Writes down what was polled, and returns it.
    pub(super) fn flush(&self, transaction: Option<OperationId>) -> Vec<Read> {
        let batch = std::mem::take(&mut self.state().batch);
        let reads: Vec<Read> =
            batch.into_iter().map(|(partition, records)| Read { partition, records }).collect();
        if reads.is_empty() {
            return reads;
        }
        let action = Action::Poll { reads: reads.clone(), transaction };
        let recorder = &self.shared.recorder;
        match reads.iter().find_map(damage) {
            None => recorder.mark(&self.process, action),
            damage => {
                let invocation = Action::Poll { reads: Vec::new(), transaction };
                let op = recorder.invoke(&self.process, invocation);
                recorder.complete(op, &self.process, (Kind::Ok, damage), action);
            }
        }
        reads
    }

    /// Commits what was polled since the last time.
    pub(super) fn commit(&self, consumer: &Reader) {
        let Commits::Member { group } = &self.commits else {
            return;
        };
        self.flush(None);
        self.ask_committed(consumer, group);
        let due: Positions = {
            let state = self.state();
            let news =
                state.next.iter().filter(|(key, next)| state.committed.get(key) != Some(next));
            news.map(|(partition, next)| (partition.clone(), *next)).collect()
        };
        let Some(list) = list(&due).filter(|_| !due.is_empty()) else {
            return;
        };
        let offsets = due.clone().into_iter().collect();
        let action = Action::Commit { group: group.clone(), offsets };
        let op = self.shared.recorder.invoke(&self.process, action.clone());
        let outcome = match consumer.commit(&list, CommitMode::Sync) {
            Ok(()) => {
                self.state().committed.extend(due);
                (Kind::Ok, None)
            }
            Err(error) => (outcome::of_commit(&error), Some(outcome::name(&error))),
        };
        self.shared.recorder.complete(op, &self.process, outcome, action);
    }

    /// Asks what the group has committed: the commit that follows would hide that it forgot.
    fn ask_committed(&self, consumer: &Reader, group: &str) {
        let asked: Positions =
            self.state().committed.keys().map(|partition| (partition.clone(), -1)).collect();
        let Some(list) = list(&asked).filter(|_| !asked.is_empty()) else {
            return;
        };
        let action = |offsets: Positions| Action::Committed {
            group: group.to_owned(),
            offsets: offsets.into_iter().collect(),
        };
        let recorder = &self.shared.recorder;
        let op = recorder.invoke(&self.process, action(asked.clone()));
        let (outcome, offsets) = match committed(consumer, list) {
            Ok(offsets) => ((Kind::Ok, None), offsets),
            Err(error) => ((Kind::Fail, Some(outcome::name(&error))), asked),
        };
        recorder.complete(op, &self.process, outcome, action(offsets));
    }

    fn given(&self, consumer: &Reader, list: &TopicPartitionList) {
        let positions = self.positions(consumer, list);
        let start = positions.as_ref().map_or_else(TopicPartitionList::new, |positions| {
            self::list(positions).unwrap_or_default()
        });
        if let Some(positions) = positions {
            let assigned = positions.clone().into_iter().collect();
            let action = Action::Rebalance { assigned, revoked: Vec::new() };
            self.shared.recorder.mark(&self.process, action);
            let mut state = self.state();
            state.committed.extend(positions.clone());
            state.next.extend(positions);
        } else {
            self.state().broken = true;
        }
        let _ = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&start),
            _ => consumer.assign(&start),
        };
    }

    fn taken(&self, consumer: &Reader, list: &TopicPartitionList) {
        self.flush(None);
        // A member that was thrown out must not commit: its partitions are another's.
        if !consumer.assignment_lost() {
            self.commit(consumer);
        }
        let revoked = partitions(list);
        {
            let mut state = self.state();
            for partition in &revoked {
                state.next.remove(partition);
                state.committed.remove(partition);
            }
        }
        let action = Action::Rebalance { assigned: Vec::new(), revoked };
        self.shared.recorder.mark(&self.process, action);
        let _ = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            _ => consumer.unassign(),
        };
    }

    /// Where a member begins: at the committed offset, or at the first record.
    fn positions(&self, consumer: &Reader, list: &TopicPartitionList) -> Option<Positions> {
        let deadline = Instant::now() + POSITIONS_PATIENCE;
        while self.shared.running() && Instant::now() < deadline {
            if let Ok(positions) = committed_or_first(consumer, list) {
                return Some(positions);
            }
            std::thread::sleep(NAP);
        }
        None
    }
}

impl ClientContext for Member {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.given(consumer, list),
            _ => self.taken(consumer, list),
        }
    }
}

/// Polls for a short time, or until so many records wait.
pub(super) fn turn(consumer: &Reader, most: usize, time: Duration) -> Turn {
    let member = consumer.context();
    let deadline = Instant::now() + time;
    let mut turn = Turn::Quiet;
    while turn == Turn::Quiet && member.waiting() < most {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        match consumer.poll(left) {
            Some(Ok(message)) => member.take(&message),
            Some(Err(error)) => turn = judged(&error),
            None => {}
        }
        if member.state().broken {
            turn = Turn::Fatal;
        }
    }
    turn
}

/// Seeks every partition to where it stands, or to the nearest offset that is in the log; false when the cluster did not tell.
pub(super) fn reposition(consumer: &Reader) -> KafkaResult<()> {
    let member = consumer.context();
    member.flush(None);
    let mut positions = member.next();
    for (partition, next) in &mut positions {
        let (low, high) =
            consumer.fetch_watermarks(&partition.topic, partition.number, QUESTION_PATIENCE)?;
        *next = (*next).clamp(low, high.max(low));
    }
    let Some(list) = list(&positions).filter(|_| !positions.is_empty()) else {
        return Ok(());
    };
    let done = consumer.seek_partitions(list, QUESTION_PATIENCE)?;
    done.elements().iter().try_for_each(|element| element.error())?;
    member.set_next(&positions);
    let action = Action::Assign { positions: positions.into_iter().collect() };
    member.shared.recorder.mark(&member.process, action);
    Ok(())
}

/// A list with an offset for each partition.
pub(super) fn list(positions: &Positions) -> Option<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (partition, offset) in positions {
        let offset = Offset::Offset(*offset);
        list.add_partition_offset(&partition.topic, partition.number, offset).ok()?;
    }
    Some(list)
}

fn judged(error: &KafkaError) -> Turn {
    use RDKafkaErrorCode as Code;
    match (error, error.rdkafka_error_code()) {
        (KafkaError::MessageConsumptionFatal(_), _) | (_, Some(Code::Fatal)) => Turn::Fatal,
        (_, Some(Code::AutoOffsetReset | Code::LogTruncation | Code::OffsetOutOfRange)) => {
            Turn::OutOfRange
        }
        // The rest heals by itself: librdkafka goes on trying.
        _ => Turn::Quiet,
    }
}

pub(super) fn damage(read: &Read) -> Option<String> {
    let found = read.records.iter().find(|(_, value)| *value == record::DAMAGED);
    found.map(|(offset, _)| format!("damaged record at offset {offset} of {}", read.partition))
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let elements = list.elements();
    let named = elements.iter().map(|element| Partition {
        topic: Arc::from(element.topic()),
        number: element.partition(),
    });
    named.collect()
}

/// What a group has committed, -1 where it has nothing.
fn committed(consumer: &Reader, list: TopicPartitionList) -> KafkaResult<Positions> {
    let answer = consumer.committed_offsets(list, QUESTION_PATIENCE)?;
    let mut offsets = Positions::new();
    for element in answer.elements() {
        element.error()?;
        let offset = match element.offset() {
            Offset::Offset(offset) => offset,
            _ => -1,
        };
        let topic = Arc::from(element.topic());
        offsets.insert(Partition { topic, number: element.partition() }, offset);
    }
    Ok(offsets)
}

/// The one offset of a list; none where nothing is committed.
pub(super) fn offset_of(list: &TopicPartitionList) -> KafkaResult<Option<i64>> {
    let elements = list.elements();
    let Some(element) = elements.first() else { return Ok(None) };
    element.error()?;
    Ok(match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    })
}

fn committed_or_first(consumer: &Reader, list: &TopicPartitionList) -> KafkaResult<Positions> {
    let mut positions = committed(consumer, list.clone())?;
    for (partition, offset) in positions.iter_mut().filter(|(_, offset)| **offset < 0) {
        *offset =
            consumer.fetch_watermarks(&partition.topic, partition.number, QUESTION_PATIENCE)?.0;
    }
    Ok(positions)
}
