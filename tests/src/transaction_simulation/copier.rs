//! A model of a transactional producer that copies: it reads the next numbers of its place, writes each to a partition and commits how far it has read, in one transaction.
//!
//! Owns what one process knows. It sends one request at a time; an answer to an attempt that it gave up on is ignored. What it may do after an error is what Kafka's clients do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use coordinator::transaction::ids::{ProducerIdAndEpoch, TransactionVersion, TransactionalId};
use coordinator::transaction::request::{
    AddPartitions, EndTransaction, InitProducerId, Request, TwoPhaseCommit,
};
use coordinator::transaction::response::Response;
use coordinator::transaction::state::TransactionResult;
use model::{ErrorCode, Timestamp, TopicPartition};

use super::partition::{Record, Tag};
use crate::simulator::random::Random;

/// Partitions that numbers are written to; the one behind them keeps the offsets.
pub(super) const OUTPUTS: usize = 3;

/// How long a client waits for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(400);

/// The name of a partition by its index.
pub(super) fn name_of(partition: usize) -> TopicPartition {
    let topic = if partition < OUTPUTS { "copies" } else { "__consumer_offsets" };
    let number = if partition < OUTPUTS { partition } else { 0 };
    TopicPartition { topic: topic.to_owned(), partition: i32::try_from(number).expect("few") }
}

/// The index of a partition by its name.
pub(super) fn index_of(name: &TopicPartition) -> usize {
    (0..=OUTPUTS).find(|index| name_of(*index) == *name).expect("one of few")
}

/// Something a copier has to do before the next thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Become the bearer of its transactional id; or go on after an error.
    Init { goes_on: bool },
    /// Have a partition join, if the client is of before version 2.
    Add(usize),
    /// Write a number.
    Write { partition: usize, value: i64 },
    /// End the transaction.
    End(TransactionResult),
}

/// A batch on its way to a partition.
#[derive(Clone, Debug)]
pub(super) struct ProduceRequest {
    pub(super) copier: usize,
    pub(super) attempt: u64,
    pub(super) partition: usize,
    pub(super) record: Record,
    pub(super) transactional_id: TransactionalId,
    pub(super) version: TransactionVersion,
}

/// What a copier sends.
#[derive(Clone, Debug)]
pub(super) enum Message {
    ToCoordinator(Request),
    ToPartition(ProduceRequest),
}

/// What an answer meant to the copier, for those who watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Nothing,
    /// It bears its transactional id, and must read how far its place is.
    Initialised(ProducerIdAndEpoch),
    /// A write was acknowledged.
    Wrote {
        tag: Tag,
        partition: usize,
        value: i64,
    },
    /// A transaction ended.
    Ended(Tag, TransactionResult),
    /// Another has its place.
    Fenced,
}

/// One process.
#[derive(Debug)]
pub(super) struct Copier {
    pub(super) name: usize,
    pub(super) place: usize,
    transactional_id: TransactionalId,
    pub(super) version: TransactionVersion,
    timeout: Duration,
    identity: Option<ProducerIdAndEpoch>,
    sequences: BTreeMap<usize, i32>,
    tasks: VecDeque<Task>,
    /// The number and the time of the attempt at the first task.
    attempt: Option<(u64, Timestamp)>,
    next_attempt: u64,
    retry_at: Timestamp,
    /// Its present transaction.
    transaction: u64,
    /// The next number to read.
    position: i64,
    /// The next number to read if the present transaction commits.
    next_position: i64,
    /// It does nothing until then.
    pub(super) paused_until: Timestamp,
    pub(super) is_gone: bool,
    /// It begins no further transaction.
    pub(super) wants_to_stop: bool,
}

impl Copier {
    pub(super) fn new(
        name: usize,
        place: usize,
        version: TransactionVersion,
        random: &mut Random,
    ) -> Self {
        Self {
            name,
            place,
            transactional_id: format!("copier-{place}").as_str().into(),
            version,
            timeout: random.millis(500, 3_000),
            identity: None,
            sequences: BTreeMap::new(),
            tasks: VecDeque::from([Task::Init { goes_on: false }]),
            attempt: None,
            next_attempt: 0,
            retry_at: Timestamp::ZERO,
            transaction: 0,
            position: 0,
            next_position: 0,
            paused_until: Timestamp::ZERO,
            is_gone: false,
            wants_to_stop: false,
        }
    }

    fn tag(&self) -> Tag {
        Tag { copier: self.name, number: self.transaction }
    }

    /// Says whether it may sleep for good.
    pub(super) fn is_at_rest(&self) -> bool {
        self.is_gone || self.wants_to_stop && self.tasks.is_empty()
    }

    /// Sets how far its place is, as it reads it.
    pub(super) fn read_position(&mut self, position: i64) {
        self.position = position;
    }

    /// Returns what it sends next, if anything.
    pub(super) fn due(&mut self, now: Timestamp, random: &mut Random) -> Option<(u64, Message)> {
        if self.is_gone || now < self.paused_until || now < self.retry_at {
            return None;
        }
        if let Some((_, sent)) = self.attempt {
            if now < sent + REQUEST_TIMEOUT {
                return None;
            }
            self.attempt = None;
            let is_safe = self.version.bumps_epochs()
                || matches!(self.tasks.front(), Some(Task::Init { .. } | Task::Write { .. }));
            if !is_safe {
                // A late copy of what it sent could be taken for one of its next transaction; a new epoch fences it.
                self.begin_anew(false);
            }
        }
        if self.tasks.is_empty() {
            if self.wants_to_stop {
                return None;
            }
            self.plan(random);
        }
        let task = *self.tasks.front()?;
        self.next_attempt += 1;
        self.attempt = Some((self.next_attempt, now));
        Some((self.next_attempt, self.message(task)))
    }

    /// Plans a transaction.
    fn plan(&mut self, random: &mut Random) {
        self.transaction += 1;
        let count = i64::try_from(random.between(1, 3)).expect("few");
        self.next_position = self.position + count;
        let place = i64::try_from(self.place).expect("few");
        let mut writes: Vec<(usize, i64)> = (self.position..self.next_position)
            .map(|value| {
                let partition = (value + place).rem_euclid(OUTPUTS as i64);
                (usize::try_from(partition).expect("few"), value)
            })
            .collect();
        writes.push((OUTPUTS, self.next_position));
        let mut added = BTreeSet::new();
        for (partition, value) in writes {
            if !self.version.bumps_epochs() && added.insert(partition) {
                self.tasks.push_back(Task::Add(partition));
            }
            self.tasks.push_back(Task::Write { partition, value });
        }
        let is_abort = random.percent(25);
        self.tasks.push_back(Task::End(if is_abort {
            TransactionResult::Abort
        } else {
            TransactionResult::Commit
        }));
        if is_abort && random.percent(30) {
            // Before it has written all.
            let end = self.tasks.pop_back();
            let keep = usize::try_from(random.below(3)).expect("few");
            self.tasks.truncate(keep);
            self.tasks.extend(end);
            if !self.version.bumps_epochs() && keep == 0 {
                // Such a client aborts nothing that it has not begun.
                self.tasks.clear();
            }
        }
        if self.tasks.is_empty() {
            self.plan(random);
        }
    }

    fn message(&self, task: Task) -> Message {
        let transactional_id = self.transactional_id.clone();
        let producer = || self.identity.expect("it is initialised first");
        Message::ToCoordinator(match task {
            Task::Init { goes_on } => Request::InitProducerId(InitProducerId {
                transactional_id,
                transaction_timeout: self.timeout,
                two_phase_commit: TwoPhaseCommit::Disabled,
                expected: self.identity.filter(|_| goes_on),
                spare_producer_id: None,
            }),
            Task::Add(partition) => Request::AddPartitions(AddPartitions {
                transactional_id,
                producer: producer(),
                partitions: BTreeSet::from([name_of(partition)]),
                client_version: TransactionVersion::V0,
            }),
            Task::End(result) => Request::End(EndTransaction {
                transactional_id,
                producer: producer(),
                result,
                client_version: self.version,
                spare_producer_id: None,
            }),
            Task::Write { partition, value } => {
                return Message::ToPartition(ProduceRequest {
                    copier: self.name,
                    attempt: self.next_attempt,
                    partition,
                    record: Record {
                        producer: producer(),
                        sequence: self.sequences.get(&partition).copied().unwrap_or(0),
                        tag: self.tag(),
                        place: self.place,
                        value,
                    },
                    transactional_id,
                    version: self.version,
                });
            }
        })
    }

    /// Begins with InitProducerId again; what was under way is aborted by it.
    fn begin_anew(&mut self, goes_on: bool) {
        self.tasks = VecDeque::from([Task::Init { goes_on }]);
        self.attempt = None;
    }

    fn takes(&mut self, attempt: u64) -> bool {
        let is_present = self.attempt.is_some_and(|(number, _)| number == attempt);
        if is_present {
            self.attempt = None;
        }
        is_present && !self.is_gone
    }

    /// Takes an answer of the coordinator.
    pub(super) fn answered(
        &mut self,
        now: Timestamp,
        attempt: u64,
        response: Result<&Response, ErrorCode>,
        random: &mut Random,
    ) -> Heard {
        if !self.takes(attempt) {
            return Heard::Nothing;
        }
        let Some(task) = self.tasks.front().copied() else { return Heard::Nothing };
        let outcome = match response {
            Err(code) => Err(Some(code)),
            Ok(Response::AddPartitions(code)) => Err(Some(*code).filter(|code| code.is_error())),
            Ok(Response::InitProducerId(result) | Response::End(result)) => result.map_err(Some),
            Ok(other) => panic!("{other:?} answers nothing that a copier asks"),
        };
        match (task, outcome) {
            (_, Err(Some(code))) => self.failed(now, code, random),
            (Task::Init { .. }, Ok(is)) => {
                self.tasks.clear();
                self.become_as(is);
                Heard::Initialised(is)
            }
            (Task::End(result), Ok(next)) => {
                self.tasks.clear();
                if self.version.bumps_epochs() {
                    self.become_as(next);
                }
                if result == TransactionResult::Commit {
                    self.position = self.next_position;
                }
                Heard::Ended(self.tag(), result)
            }
            (_, Err(None) | Ok(_)) => {
                self.tasks.pop_front();
                Heard::Nothing
            }
        }
    }

    /// Takes an answer of a partition.
    pub(super) fn produced(
        &mut self,
        now: Timestamp,
        attempt: u64,
        result: Result<(), ErrorCode>,
        random: &mut Random,
    ) -> Heard {
        if !self.takes(attempt) {
            return Heard::Nothing;
        }
        let Some(Task::Write { partition, value }) = self.tasks.front().copied() else {
            return Heard::Nothing;
        };
        if let Err(code) = result {
            return self.failed(now, code, random);
        }
        self.tasks.pop_front();
        *self.sequences.entry(partition).or_default() += 1;
        Heard::Wrote { tag: self.tag(), partition, value }
    }

    fn become_as(&mut self, is: ProducerIdAndEpoch) {
        if self.identity != Some(is) {
            self.sequences.clear();
        }
        self.identity = Some(is);
    }

    /// What a client does after an error.
    fn failed(&mut self, now: Timestamp, code: ErrorCode, random: &mut Random) -> Heard {
        match code {
            ErrorCode::ConcurrentTransactions
            | ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable => {
                self.retry_at = now + random.millis(5, 40);
                Heard::Nothing
            }
            ErrorCode::TransactionAbortable if self.version.bumps_epochs() => {
                self.tasks = VecDeque::from([Task::End(TransactionResult::Abort)]);
                Heard::Nothing
            }
            // A batch whose fate is not known must not come into the next transaction: only a new epoch keeps it out.
            ErrorCode::TransactionAbortable => {
                self.begin_anew(true);
                Heard::Nothing
            }
            ErrorCode::InvalidTxnState | ErrorCode::OutOfOrderSequenceNumber => {
                self.begin_anew(true);
                Heard::Nothing
            }
            ErrorCode::ProducerFenced
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::InvalidProducerIdMapping => {
                self.is_gone = true;
                Heard::Fenced
            }
            other => panic!("copier {} of place {} is told {other}", self.name, self.place),
        }
    }
}
