//! Consume, transform, produce: polls a batch of one topic, sends as many records to another, and commits both in one transaction.
//!
//! An error before the commit aborts, and is definite whether or not the abort was heard: no commit was ever asked for. An error of the
//! commit itself leaves the outcome open, unless the coordinator said that there is no such transaction; then both clients are replaced by
//! fresh ones under another name, so that a commit that is still under way cannot end a later transaction (KAFKA-17754).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::client::{self, process_name};
use super::consumer::member_settings;
use super::member::{self, Commits, Member, Positions, Reader, Turn};
use super::plan::{Isolation, Retries, TransactionPlan};
use super::producer::Reporter;
use super::{Shared, WorkloadError, outcome, record, spawn};
use crate::history::{Acks, Action, Kind, Partition, Read, Role, Settings, TransactionEnd};

/// How long a batch may take to fill.
const BATCH_TIME: Duration = Duration::from_millis(500);
/// After which the coordinator aborts what a dead client left open.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);
const INIT_PATIENCE: Duration = Duration::from_secs(5);
const NAP: Duration = Duration::from_millis(50);
const MAX_IN_FLIGHT: u32 = 5;

type Sender = BaseProducer<Reporter>;

/// Starts a transactional client.
pub(super) fn start(
    plan: TransactionPlan,
    shared: Arc<Shared>,
    seed: u64,
) -> Result<JoinHandle<()>, WorkloadError> {
    let name = plan.name.clone();
    let first = Copier::create(&plan, &shared, process_name(&name, 1))
        .map_err(|source| WorkloadError::Client { client: name.clone(), source })?;
    spawn(&name, move || run(&plan, &shared, seed, first))
}

/// One librdkafka producer and one consumer that act as one process.
struct Copier {
    process: Arc<str>,
    reader: Reader,
    sender: Sender,
}

/// How a transaction ended, for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Committed,
    /// Go back to where the transaction began.
    Aborted,
    /// Replace the client.
    Unknown,
}

fn run(plan: &TransactionPlan, shared: &Arc<Shared>, seed: u64, first: Copier) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut noise = vec![0; plan.record_bytes.max(1)];
    random.fill_bytes(&mut noise);
    let mut generation = 1;
    let mut next = Some(first);
    while shared.sending() {
        let process = process_name(&plan.name, generation);
        let created =
            next.take().map_or_else(|| Copier::create(plan, shared, Arc::clone(&process)), Ok);
        let Ok(copier) = created else {
            std::thread::sleep(NAP);
            continue;
        };
        shared.recorder.mark(&process, Action::Start { settings: settings(plan) });
        if copier.begin(plan, shared).is_ok() {
            copier.work(plan, &mut random, &noise);
        }
        copier.reader.context().flush(None);
        // Dropping them ends the open sends and leaves the group.
        drop(copier);
        shared.recorder.mark(&process, Action::Stop);
        generation += 1;
    }
}

fn settings(plan: &TransactionPlan) -> Settings {
    Settings {
        role: Role::Transactional,
        acks: Some(Acks::All),
        idempotent: true,
        retries: true,
        max_in_flight: MAX_IN_FLIGHT,
        read_committed: true,
        group: Some(plan.group.clone()),
    }
}

impl Copier {
    fn create(
        plan: &TransactionPlan,
        shared: &Arc<Shared>,
        process: Arc<str>,
    ) -> KafkaResult<Self> {
        let reading = Isolation::ReadCommitted;
        let mut config = client::reading(&shared.bootstrap, &process, &plan.group, reading);
        member_settings(&mut config);
        let member = Member::new(Arc::clone(shared), Arc::clone(&process), Commits::Transaction);
        let reader = config.create_with_context(member)?;
        let mut config = client::sending(&shared.bootstrap, &process, plan.delivery_timeout);
        config
            .set("transactional.id", &plan.transactional_id)
            .set("transaction.timeout.ms", client::millis(TRANSACTION_TIMEOUT))
            // A record must not outlive its transaction.
            .set("delivery.timeout.ms", client::millis(patience(plan)))
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("max.in.flight.requests.per.connection", MAX_IN_FLIGHT.to_string())
            .set("linger.ms", "0");
        let reporter = Reporter {
            shared: Arc::clone(shared),
            process: Arc::clone(&process),
            acks: Acks::All,
            retries: Retries::Idempotent,
            not_acknowledged: AtomicU64::new(0),
        };
        let sender = config.create_with_context(reporter)?;
        Ok(Self { process, reader, sender })
    }

    fn begin(&self, plan: &TransactionPlan, shared: &Shared) -> KafkaResult<()> {
        loop {
            match self.sender.init_transactions(INIT_PATIENCE) {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && shared.sending() => {
                }
                done => break done?,
            }
        }
        self.reader.subscribe(&[&plan.from])
    }

    /// Copies until sends are to stop or the client must be replaced.
    fn work(&self, plan: &TransactionPlan, random: &mut StdRng, noise: &[u8]) {
        let member = self.reader.context();
        let mut rewind = false;
        while member.shared.sending() {
            if rewind {
                rewind = member::reposition(&self.reader).is_err();
                std::thread::sleep(if rewind { NAP } else { Duration::ZERO });
                continue;
            }
            match self.batch(plan.records) {
                Turn::Quiet if member.waiting() == 0 => continue,
                Turn::Quiet => {}
                Turn::OutOfRange => {
                    rewind = true;
                    continue;
                }
                Turn::Fatal => return,
            }
            let end = if random.random::<f64>() < plan.abort_share {
                TransactionEnd::Abort
            } else {
                TransactionEnd::Commit
            };
            match self.transaction(plan, end, noise) {
                Ended::Committed => {}
                Ended::Aborted => rewind = true,
                Ended::Unknown => return,
            }
        }
    }

    fn batch(&self, most: usize) -> Turn {
        let member = self.reader.context();
        let deadline = Instant::now() + BATCH_TIME;
        let mut turn = Turn::Quiet;
        while turn == Turn::Quiet
            && member.shared.sending()
            && member.waiting() < most
            && Instant::now() < deadline
        {
            turn = member::turn(&self.reader, most, NAP);
        }
        turn
    }

    /// One transaction over what was polled.
    fn transaction(&self, plan: &TransactionPlan, end: TransactionEnd, noise: &[u8]) -> Ended {
        let member = self.reader.context();
        let recorder = &member.shared.recorder;
        let group = Some(plan.group.clone());
        let invocation = Action::Transaction { end, offsets: Vec::new(), group: group.clone() };
        let op = recorder.invoke(&self.process, invocation);
        let reads = member.flush(Some(op));
        let offsets: Positions = reads.iter().filter_map(after).collect();
        let before: Positions = reads.iter().filter_map(first).collect();
        let tried = self
            .sender
            .begin_transaction()
            .and_then(|()| self.copy(plan, &reads, (op, noise)))
            .and_then(|()| self.offer(&offsets));
        let (ended, outcome) = match (tried, end) {
            (Err(error), _) => (self.abort().0, (Kind::Fail, Some(outcome::name(&error)))),
            (Ok(()), TransactionEnd::Abort) => self.abort(),
            (Ok(()), TransactionEnd::Commit) => self.commit(plan),
        };
        if ended == Ended::Aborted {
            member.set_next(&before);
        }
        let action = Action::Transaction { end, offsets: offsets.into_iter().collect(), group };
        recorder.complete(op, &self.process, outcome, action);
        ended
    }

    /// Sends a record for each that was read, and waits for all of them.
    fn copy(
        &self,
        plan: &TransactionPlan,
        reads: &[Read],
        (op, noise): (u64, &[u8]),
    ) -> KafkaResult<()> {
        let reporter = self.sender.client().context();
        let count = reporter.shared.partitions(&plan.to);
        let lost_before = reporter.not_acknowledged.load(Ordering::Relaxed);
        let mut buffer = Vec::new();
        let to: Arc<str> = Arc::from(plan.to.as_str());
        for read in reads {
            let number = read.partition.number.checked_rem(count).unwrap_or_default();
            let partition = Partition { topic: Arc::clone(&to), number };
            for _ in &read.records {
                let sent = Box::new(reporter.begin(&partition, None, Some(op)));
                let content = (&partition, sent.value);
                record::encode(&mut buffer, content, &self.process, noise, plan.record_bytes);
                let record = BaseRecord::<(), [u8], _>::with_opaque_to(&to, sent)
                    .partition(number)
                    .payload(&buffer);
                if let Err((error, record)) = self.sender.send(record) {
                    let why = (Kind::Fail, Some(outcome::name(&error)));
                    reporter.complete(&record.delivery_opaque, why, None);
                    return Err(error);
                }
            }
        }
        self.sender.flush(patience(plan))?;
        if reporter.not_acknowledged.load(Ordering::Relaxed) > lost_before {
            return Err(KafkaError::Flush(rdkafka::error::RDKafkaErrorCode::Partial));
        }
        Ok(())
    }

    /// Makes the offsets part of the transaction.
    fn offer(&self, offsets: &Positions) -> KafkaResult<()> {
        let (Some(list), Some(group)) = (member::list(offsets), self.reader.group_metadata())
        else {
            return Err(KafkaError::Canceled);
        };
        self.sender.send_offsets_to_transaction(&list, &group, TRANSACTION_TIMEOUT)
    }

    fn abort(&self) -> (Ended, (Kind, Option<String>)) {
        match self.sender.abort_transaction(TRANSACTION_TIMEOUT) {
            Ok(()) => (Ended::Aborted, (Kind::Ok, None)),
            Err(error) => (Ended::Unknown, (Kind::Fail, Some(outcome::name(&error)))),
        }
    }

    fn commit(&self, plan: &TransactionPlan) -> (Ended, (Kind, Option<String>)) {
        match self.sender.commit_transaction(patience(plan)) {
            Ok(()) => (Ended::Committed, (Kind::Ok, None)),
            Err(error) => {
                let kind = outcome::of_transaction_commit(&error);
                (Ended::Unknown, (kind, Some(outcome::name(&error))))
            }
        }
    }
}

fn patience(plan: &TransactionPlan) -> Duration {
    plan.delivery_timeout.min(TRANSACTION_TIMEOUT)
}

fn after(read: &Read) -> Option<(Partition, i64)> {
    read.records.last().map(|(offset, _)| (read.partition.clone(), offset + 1))
}

fn first(read: &Read) -> Option<(Partition, i64)> {
    read.records.first().map(|(offset, _)| (read.partition.clone(), *offset))
}
