//! Random steps from a seed: whatever is asked, in whatever order, each request is answered in its own step, the log's records follow one another as they may, and what was told
//! survives a failover.
//!
//! The driver here lets appends be committed late, so a failover loses a suffix of them, with the replies and the wishes for markers that depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{ErrorCode, ProducerEpoch, ProducerId, Timestamp, TopicPartition, UnixMillis};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::commands::config;
use crate::transaction::ids::{ProducerIdAndEpoch, TransactionVersion, TransactionalId};
use crate::transaction::producer::LAST_EPOCH_OF_CLIENTS;
use crate::transaction::record::{TransactionMetadataRecord, TransactionRecord};
use crate::transaction::request::{
    AddPartitions, EndTransaction, InitProducerId, Request, TwoPhaseCommit, VerifyPartitions,
};
use crate::transaction::response::Response;
use crate::transaction::state::{TransactionResult, TransactionState};
use crate::transaction::{
    Action, Event, MarkersToWrite, Now, RequestId, Shard, WriteId, WrittenMarkers,
};

/// One process of a producer, and what it believes to be.
#[derive(Clone, Debug)]
struct Client {
    transactional_id: TransactionalId,
    version: TransactionVersion,
    /// What it was told at each time, the last at the end: a message of it may be late.
    told: Vec<ProducerIdAndEpoch>,
}

/// What waits for a write.
enum Held {
    Answer { client: usize, request: Request, response: Response },
    Markers(MarkersToWrite),
}

struct World {
    random: StdRng,
    shard: Shard,
    now: Timestamp,
    clients: Vec<Client>,
    next_request: u64,
    next_producer_id: i64,
    log: Vec<(WriteId, TransactionRecord)>,
    committed: usize,
    committed_write: Option<WriteId>,
    held: Vec<(Option<WriteId>, Held)>,
    /// Markers that are to be written, and which of them are.
    markers: Vec<(MarkersToWrite, BTreeSet<TopicPartition>)>,
    /// Who was told first what it is.
    bearers: BTreeMap<ProducerIdAndEpoch, usize>,
    answered: BTreeMap<&'static str, usize>,
}

fn now(monotonic: Timestamp) -> Now {
    let millis = i64::try_from(monotonic.0 / 1_000_000).expect("a run is short");
    Now { monotonic, wall: UnixMillis(millis) }
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition { topic: "t".to_owned(), partition: number }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut shard = Shard::new(config());
        // Some ids are near the end of their epochs.
        let mut log = Vec::new();
        for id in ["a", "b"] {
            if random.random_bool(0.5) {
                let record = near_the_end(id, random.random_range(0..4));
                shard.replay(record.clone());
                log.push((WriteId(0), record));
            }
        }
        shard.loaded(now(Timestamp::ZERO));
        let clients = (0..6).map(|number| Client {
            transactional_id: ["a", "b"][number % 2].into(),
            version: [TransactionVersion::V2, TransactionVersion::V2, TransactionVersion::V0]
                [number / 2],
            told: Vec::new(),
        });
        Self {
            shard,
            now: Timestamp::ZERO,
            clients: clients.collect(),
            next_request: 1,
            next_producer_id: 100,
            committed: log.len(),
            log,
            committed_write: None,
            held: Vec::new(),
            markers: Vec::new(),
            bearers: BTreeMap::new(),
            answered: BTreeMap::new(),
            random,
        }
    }

    fn run(&mut self, steps: usize) {
        for step in 0..steps {
            self.now = self.now + Duration::from_millis(self.random.random_range(0..400));
            match self.random.random_range(0..100) {
                0..55 => self.ask(),
                55..75 => self.commit(),
                75..90 => self.write_markers(),
                90..94 => self.failover(),
                _ => self.step_timeouts(),
            }
            if step % 10 == 0 {
                self.check_replay();
            }
        }
    }

    fn ask(&mut self) {
        let client = self.random.random_range(0..self.clients.len());
        let request = self.request(client);
        self.step_request(client, request);
    }

    fn request(&mut self, client: usize) -> Request {
        let Client { transactional_id, version, told } = self.clients[client].clone();
        let random = &mut self.random;
        let present = told.last().copied();
        let claimed = if random.random_bool(0.1) && !told.is_empty() {
            Some(told[random.random_range(0..told.len())])
        } else {
            present
        };
        let Some(producer) = claimed.filter(|_| random.random_bool(0.97)) else {
            return Request::InitProducerId(InitProducerId {
                transactional_id,
                transaction_timeout: Duration::from_secs(random.random_range(5..60)),
                two_phase_commit: TwoPhaseCommit::Disabled,
                expected: claimed.filter(|_| random.random_bool(0.5)),
                spare_producer_id: None,
            });
        };
        let some: BTreeSet<_> =
            (0..random.random_range(1..3)).map(|_| random.random_range(0..4)).collect();
        match random.random_range(0..10) {
            0..5 => Request::AddPartitions(AddPartitions {
                transactional_id,
                producer,
                partitions: some.into_iter().map(partition).collect(),
                client_version: version,
            }),
            5..6 => Request::VerifyPartitions(VerifyPartitions {
                transactional_id,
                producer,
                partitions: some.into_iter().map(partition).collect(),
            }),
            _ => Request::End(EndTransaction {
                transactional_id,
                producer,
                result: if random.random_bool(0.6) {
                    TransactionResult::Commit
                } else {
                    TransactionResult::Abort
                },
                client_version: version,
                spare_producer_id: None,
            }),
        }
    }

    fn step_request(&mut self, client: usize, request: Request) {
        let id = RequestId(self.next_request);
        self.next_request += 1;
        let before = self.log.len();
        let present = self.present(&self.clients[client].transactional_id);
        self.shard.step(now(self.now), Event::Request(id, request.clone()));
        let mut answers = self.drain();
        assert_eq!(answers.len(), 1, "a request is answered in its own step, once");
        let (answered, response, depends_on) = answers.remove(0);
        assert_eq!(answered, id);
        if let Some(claimed) = claimed(&request)
            && present.is_some_and(|present| claimed != present)
        {
            assert_eq!(self.log.len(), before, "{request:?} is not of {present:?}, and wrote");
        }
        if response == Response::NeedsProducerId {
            assert_eq!(self.log.len(), before, "nothing has changed");
            let spare = self.draw();
            return self.step_request(client, with_spare(request, spare));
        }
        self.held.push((depends_on, Held::Answer { client, request, response }));
        self.release();
    }

    fn draw(&mut self) -> ProducerId {
        self.next_producer_id += 1;
        ProducerId(self.next_producer_id)
    }

    /// What the log's last record says that the producer of an id is.
    fn present(&self, id: &TransactionalId) -> Option<ProducerIdAndEpoch> {
        let last = self.log.iter().rev().find(|(_, record)| record.transactional_id == *id)?;
        last.1.value.as_ref().map(identity)
    }

    fn drain(&mut self) -> Vec<(RequestId, Response, Option<WriteId>)> {
        let mut answers = Vec::new();
        while let Some(action) = self.shard.poll_action() {
            match action {
                Action::Append(write, records) => {
                    for record in records {
                        self.check_order(&record);
                        self.log.push((write, record));
                    }
                }
                Action::Reply(id, response, depends_on) => {
                    answers.push((id, response, depends_on));
                }
                Action::WriteMarkers(markers, depends_on) => {
                    self.held.push((depends_on, Held::Markers(markers)));
                }
                Action::DrawProducerId => {
                    let drawn = self.draw();
                    self.shard.step(now(self.now), Event::ProducerIdDrawn(drawn));
                }
            }
        }
        answers
    }

    /// A record may follow the one before it.
    fn check_order(&self, record: &TransactionRecord) {
        let id = &record.transactional_id;
        let Some(is) = &record.value else { return };
        let before = self.log.iter().rev().find(|(_, before)| before.transactional_id == *id);
        let Some(was) = before.and_then(|(_, before)| before.value.as_ref()) else {
            assert_eq!(is.state, TransactionState::Empty, "{id} begins empty");
            return;
        };
        assert!(may_follow(was.state, is.state), "{id}: {} after {}", is.state, was.state);
        let same_id = was.producer_id == is.producer_id;
        assert!(!same_id || is.producer_epoch >= was.producer_epoch, "{id}: the epoch went back");
        let mut of_earlier = self.log.iter().filter_map(|(_, record)| record.value.as_ref());
        assert!(
            same_id || of_earlier.all(|value| value.producer_id != is.producer_id),
            "{id}: an old producer id came back"
        );
        if was.state == TransactionState::Ongoing {
            assert!(was.partitions.is_subset(&is.partitions), "{id}: a partition was lost");
        }
        if was.state.prepared().is_some() {
            // Complete: each partition has its marker, or there is none.
            let written = self.markers.iter().rfind(|(markers, _)| markers.transactional_id == *id);
            let has_all = was.partitions.is_empty()
                || written.is_some_and(|(_, written)| written.is_superset(&was.partitions));
            assert!(has_all, "{id}: complete before all markers");
        }
    }

    fn commit(&mut self) {
        let end = self.random.random_range(self.committed..=self.log.len());
        // An append is committed whole.
        let write = self.log[..end].last().map(|(write, _)| *write);
        self.committed = match write {
            Some(write) => self.log.iter().rposition(|(of, _)| *of == write).map_or(0, |at| at + 1),
            None => 0,
        };
        self.committed_write = write.filter(|write| write.0 > 0).or(self.committed_write);
        self.release();
    }

    fn release(&mut self) {
        let is_free = |depends_on: &Option<WriteId>, committed: Option<WriteId>| {
            depends_on.is_none_or(|write| committed.is_some_and(|committed| committed >= write))
        };
        for (depends_on, held) in std::mem::take(&mut self.held) {
            if !is_free(&depends_on, self.committed_write) {
                self.held.push((depends_on, held));
                continue;
            }
            match held {
                Held::Markers(markers) => self.take_markers(markers),
                Held::Answer { client, request, response } => {
                    self.take_answer(client, &request, response);
                }
            }
        }
    }

    fn take_markers(&mut self, markers: MarkersToWrite) {
        let id = &markers.transactional_id;
        let committed = self.log[..self.committed].iter().rev();
        let last = committed.map(|(_, record)| record).find(|it| it.transactional_id == *id);
        let decided = last.and_then(|record| record.value.as_ref()).expect("a decision");
        assert_eq!(decided.state.prepared(), Some(markers.result), "{id}: it is committed");
        assert_eq!(
            (identity(decided), &decided.partitions),
            (markers.producer, &markers.partitions)
        );
        self.markers.push((markers, BTreeSet::new()));
    }

    fn take_answer(&mut self, client: usize, request: &Request, response: Response) {
        let name = match (&response, request) {
            (Response::InitProducerId(Ok(is)), Request::InitProducerId(asked)) => {
                let bearer = *self.bearers.entry(*is).or_insert(client);
                let is_new = asked.expected.is_none();
                assert!(!is_new || bearer == client, "{is} was told to two processes");
                self.clients[client].told.push(*is);
                "initialised"
            }
            (Response::End(Ok(is)), Request::End(asked)) => {
                if asked.client_version.bumps_epochs() {
                    self.clients[client].told.push(*is);
                }
                "ended"
            }
            (Response::AddPartitions(ErrorCode::None), _) => "added",
            (Response::VerifyPartitions(codes), _) if codes.contains(&ErrorCode::None) => {
                "verified"
            }
            (
                Response::InitProducerId(Err(ErrorCode::ProducerFenced))
                | Response::End(Err(ErrorCode::ProducerFenced))
                | Response::AddPartitions(ErrorCode::ProducerFenced),
                _,
            ) => "fenced",
            _ => "refused",
        };
        *self.answered.entry(name).or_default() += 1;
    }

    /// Some of the markers are written, and perhaps told of; perhaps an old decision is told of again.
    fn write_markers(&mut self) {
        if self.markers.is_empty() {
            return;
        }
        let newest = self.markers.len() - 1;
        let index = if self.random.random_bool(0.7) {
            newest
        } else {
            self.random.random_range(0..=newest)
        };
        let (markers, written) = &mut self.markers[index];
        let random = &mut self.random;
        let some: Vec<_> =
            markers.partitions.iter().filter(|_| random.random_bool(0.7)).cloned().collect();
        written.extend(some.iter().cloned());
        let told = WrittenMarkers {
            transactional_id: markers.transactional_id.clone(),
            decision: markers.decision,
            partitions: some,
        };
        self.shard.step(now(self.now), Event::MarkersWritten(told));
        let answers = self.drain();
        assert!(answers.is_empty());
    }

    fn step_timeouts(&mut self) {
        self.now = self.now + Duration::from_secs(self.random.random_range(0..30));
        if self.shard.poll_timeout().is_some_and(|at| at <= self.now) {
            self.shard.step(now(self.now), Event::TimeoutReached);
            let answers = self.drain();
            assert!(answers.is_empty());
            *self.answered.entry("timeouts").or_default() += 1;
        }
    }

    /// Another coordinator takes over what is committed.
    fn failover(&mut self) {
        // Time passes: so decisions of different shards have different names.
        self.now = self.now + Duration::from_secs(1);
        self.log.truncate(self.committed);
        for (write, _) in &mut self.log {
            *write = WriteId(0);
        }
        self.committed_write = None;
        self.held.clear();
        let mut shard = Shard::new(config());
        for (_, record) in &self.log {
            shard.replay(record.clone());
        }
        shard.loaded(now(self.now));
        self.shard = shard;
        let answers = self.drain();
        assert!(answers.is_empty());
        self.release();
        *self.answered.entry("failovers").or_default() += 1;
    }

    /// What the log says is what the shard has become.
    fn check_replay(&self) {
        let mut replayed = Shard::new(config());
        for (_, record) in &self.log {
            replayed.replay(record.clone());
        }
        let (is, said) =
            (self.shard.live_records(None, usize::MAX), replayed.live_records(None, usize::MAX));
        assert_eq!(is, said);
        assert_eq!(self.shard.live_bytes(), replayed.live_bytes());
    }
}

fn near_the_end(id: &str, before_the_end: i16) -> TransactionRecord {
    TransactionRecord {
        transactional_id: id.into(),
        value: Some(TransactionMetadataRecord {
            producer_id: ProducerId(if id == "a" { 1 } else { 2 }),
            previous_producer_id: None,
            next_producer_id: None,
            producer_epoch: ProducerEpoch(LAST_EPOCH_OF_CLIENTS.0 - before_the_end),
            transaction_timeout: Duration::from_secs(60),
            state: TransactionState::Empty,
            partitions: BTreeSet::new(),
            updated_at: UnixMillis(0),
            started_at: None,
            client_version: TransactionVersion::V0,
        }),
    }
}

fn identity(value: &TransactionMetadataRecord) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch { id: value.producer_id, epoch: value.producer_epoch }
}

/// What a request that may open or end a transaction claims to come from.
fn claimed(request: &Request) -> Option<ProducerIdAndEpoch> {
    match request {
        Request::AddPartitions(add) => Some(add.producer),
        Request::End(end) => Some(end.producer),
        Request::InitProducerId(_)
        | Request::VerifyPartitions(_)
        | Request::Describe(_)
        | Request::List(_) => None,
    }
}

fn with_spare(mut request: Request, spare: ProducerId) -> Request {
    match &mut request {
        Request::InitProducerId(InitProducerId { spare_producer_id, .. })
        | Request::End(EndTransaction { spare_producer_id, .. }) => {
            assert_eq!(spare_producer_id.replace(spare), None, "one spare is enough");
        }
        other => panic!("{other:?} needs no producer id"),
    }
    request
}

/// Kafka's table of the states before each.
fn may_follow(was: TransactionState, is: TransactionState) -> bool {
    use TransactionState::{
        CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit,
    };
    match is {
        Empty => matches!(was, Empty | CompleteCommit | CompleteAbort),
        Ongoing => matches!(was, Ongoing | Empty | CompleteCommit | CompleteAbort),
        PrepareCommit => was == Ongoing,
        PrepareAbort => matches!(was, Ongoing | Empty | CompleteCommit | CompleteAbort),
        CompleteCommit => was == PrepareCommit,
        CompleteAbort => was == PrepareAbort,
    }
}

#[test]
fn random_requests_and_failovers_break_nothing() {
    let mut answered = BTreeMap::<_, usize>::new();
    for seed in 0..150 {
        let mut world = World::new(seed);
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.run(300)));
        assert!(result.is_ok(), "seed {seed}");
        for (name, count) in world.answered {
            *answered.entry(name).or_default() += count;
        }
    }
    for name in ["initialised", "added", "ended", "verified", "fenced", "timeouts", "failovers"] {
        let count = answered.get(name).copied().unwrap_or(0);
        assert!(count > 50, "{name} happens {count} times: {answered:?}");
    }
}
