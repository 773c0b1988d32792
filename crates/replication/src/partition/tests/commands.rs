//! The commands of a script.
//!
//! `open` sets up the log (default: empty), `image` shows the machine an image. Keys of `image` that are left out keep their last value,
//! so a script says only what changes; the broker epoch of broker N is N0 at first. Other commands fill in what a quiet cluster would say.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::time::Duration;

use model::{Acks, BrokerEpoch, BrokerId, LeaderEpoch, Offset, PartitionEpoch, Timestamp};
use scripts::{Arguments, Scenario, Span};

use super::format;
use crate::partition::{
    AnswerBody, Appended, Assignment, Durability, EpochEntry, Event, Fencing, FlushPolicy,
    FollowerFetch, Generation, LeaderAnswer, LogState, OpenedLog, Options, Partition,
    PartitionMetadata, ProduceWaiter, ReplicaMetadata, TruncationGeneration, WaiterId,
};

/// One run of a script.
pub(super) struct Session {
    output: String,
    now: Timestamp,
    options: Options,
    partition: Option<Partition>,
    image: PartitionMetadata,
    generations: BTreeMap<BrokerId, u64>,
    next_waiter: u64,
}

impl Default for Session {
    fn default() -> Self {
        Self {
            output: String::new(),
            now: Timestamp::ZERO,
            options: Options {
                broker_id: BrokerId(1),
                broker_epoch: BrokerEpoch(10),
                replica_lag_time_max: Duration::from_secs(5),
                broker_session_timeout: Duration::from_secs(1),
                first_generation: Generation(1),
            },
            partition: None,
            image: PartitionMetadata {
                leader: Some(BrokerId(1)),
                leader_epoch: LeaderEpoch(1),
                partition_epoch: PartitionEpoch(1),
                isr: BTreeSet::new(),
                replicas: BTreeMap::new(),
                effective_min_isr: 2,
                durability: Durability::Durable,
                flush_policy: FlushPolicy::EachMessage,
            },
            generations: BTreeMap::new(),
            next_waiter: 1,
        }
    }
}

impl Scenario for Session {
    /// Runs one command and appends what it makes the machine ask for.
    fn run(&mut self, line: &str) {
        self.output += &format!("> {line}\n");
        let arguments = Arguments::parse(line);
        match arguments.command {
            "open" => self.open(&arguments),
            "image" => self.show_image(&arguments),
            "produce" => self.produce(&arguments),
            "duplicate" => self.duplicate(&arguments),
            "flush" => self.flush(&arguments),
            "fetch" => self.fetch(&arguments),
            "batches" => self.batches(&arguments),
            "progress" => self.answer(&arguments, progress(&arguments)),
            "diverging" => self.answer(&arguments, diverging(&arguments)),
            "out-of-range" => self.answer(&arguments, out_of_range(&arguments)),
            "truncated" => self.truncated(&arguments),
            "log-start" => {
                self.step(Event::LogStartMoved { log_start_offset: offset(&arguments, "offset") });
            }
            "stream-opened" => {
                self.step(Event::StreamOpened { leader: BrokerId(arguments.subject()) });
            }
            "fetch-failed" => self.step(Event::FetchFailed {
                leader_epoch: self.leader_epoch(&arguments),
                generation: Generation(arguments.need("generation")),
            }),
            "append-failed" => self.step(Event::AppendFailed),
            "corrupt" => self.step(Event::CorruptionFound { offset: offset(&arguments, "offset") }),
            "keep-alives" => self.keep_alives(&arguments),
            "advance" => self.advance(arguments.subject::<Span>().0),
            "state" => self.print(&format::state(self.partition.as_ref().expect("it is open"))),
            "offsets" => self.offsets(),
            other => panic!("unknown command {other}"),
        }
    }

    fn end(self) -> String {
        self.output
    }
}

impl Session {
    fn print(&mut self, text: &str) {
        self.output += &format!("  {text}\n");
    }

    fn partition(&mut self) -> &mut Partition {
        if self.partition.is_none() {
            self.open(&Arguments::parse("open"));
        }
        self.partition.as_mut().expect("it was just opened")
    }

    fn step(&mut self, event: Event) {
        let now = self.now;
        self.partition().step(now, event);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(action) = self.partition().poll_action() {
            self.print(&format::action(&action));
        }
    }

    fn leader_epoch(&self, arguments: &Arguments<'_>) -> LeaderEpoch {
        LeaderEpoch(arguments.get("epoch").unwrap_or(self.image.leader_epoch.0))
    }

    fn open(&mut self, arguments: &Arguments<'_>) {
        self.options.broker_id = BrokerId(arguments.get("broker").unwrap_or(1));
        let usual_epoch = i64::from(self.options.broker_id.0) * 10;
        self.options.broker_epoch =
            BrokerEpoch(arguments.get("broker_epoch").unwrap_or(usual_epoch));
        let end = arguments.get("end").unwrap_or(0);
        let epochs = arguments.list::<Pair<i32, i64>>("epochs");
        let opened = OpenedLog {
            log: log_state(arguments, end),
            high_watermark: arguments.get("hw").map(Offset),
            epochs: epochs
                .into_iter()
                .map(|Pair(epoch, start)| EpochEntry {
                    epoch: LeaderEpoch(epoch),
                    start_offset: Offset(start),
                })
                .collect(),
        };
        self.partition = Some(Partition::new(self.options.clone(), opened));
        self.drain();
    }

    fn show_image(&mut self, arguments: &Arguments<'_>) {
        let image = &mut self.image;
        if let Some(leader) = arguments.text("leader") {
            image.leader = leader.parse().ok().map(BrokerId);
        }
        if let Some(epoch) = arguments.get("epoch") {
            image.leader_epoch = LeaderEpoch(epoch);
        }
        if let Some(epoch) = arguments.get("partition_epoch") {
            image.partition_epoch = PartitionEpoch(epoch);
        }
        if let Some(count) = arguments.get("min_isr") {
            image.effective_min_isr = count;
        }
        if arguments.has("isr") {
            image.isr = arguments.list("isr").into_iter().map(BrokerId).collect();
        }
        if arguments.has("replicas") || image.replicas.is_empty() {
            let assigned = if arguments.has("replicas") { "replicas" } else { "isr" };
            image.replicas = arguments.list(assigned).into_iter().map(new_replica).collect();
        }
        for (key, fencing) in [
            ("unfenced", Fencing::Unfenced),
            ("fenced", Fencing::Fenced),
            ("shutting_down", Fencing::ShuttingDown),
        ] {
            for broker in arguments.list(key) {
                image.replicas.get_mut(&BrokerId(broker)).expect("assigned").fencing = fencing;
            }
        }
        for Pair(broker, epoch) in arguments.list::<Pair<i32, i64>>("broker_epochs") {
            let replica = image.replicas.get_mut(&BrokerId(broker)).expect("assigned");
            replica.broker_epoch = Some(BrokerEpoch(epoch));
        }
        if let Some(durability) = arguments.text("durability") {
            image.durability =
                if durability == "lossy" { Durability::Lossy } else { Durability::Durable };
        }
        if let Some(policy) = arguments.text("flush") {
            image.flush_policy =
                if policy == "deferred" { FlushPolicy::Deferred } else { FlushPolicy::EachMessage };
        }
        let image = self.image.clone();
        self.step(Event::MetadataChanged(image));
    }

    fn produce(&mut self, arguments: &Arguments<'_>) {
        let acks = acks(arguments);
        let now = self.now;
        let leader_epoch = match self.partition().admit_produce(now, acks) {
            Ok(leader_epoch) => leader_epoch,
            Err(error) => return self.print(&format!("refused: {error}")),
        };
        let log = self.partition().log();
        let end_offset = log.log_end_offset + arguments.get("records").unwrap_or(1);
        self.step(Event::Appended(Appended {
            log_end_offset: end_offset,
            leader_epoch,
            truncation_generation: log.truncation_generation,
        }));
        self.wait(arguments, end_offset, leader_epoch);
    }

    fn duplicate(&mut self, arguments: &Arguments<'_>) {
        let leader_epoch = self.leader_epoch(arguments);
        self.wait(arguments, offset(arguments, "end"), leader_epoch);
    }

    fn wait(&mut self, arguments: &Arguments<'_>, end_offset: Offset, leader_epoch: LeaderEpoch) {
        let id = WaiterId(self.next_waiter);
        self.next_waiter += 1;
        let timeout = arguments.get("timeout").map_or(Duration::from_secs(30), |Span(wait)| wait);
        let deadline = self.now + timeout;
        let acks = acks(arguments);
        self.step(Event::Produced(ProduceWaiter { id, acks, end_offset, leader_epoch, deadline }));
    }

    fn flush(&mut self, arguments: &Arguments<'_>) {
        let log = self.partition().log();
        let generation = arguments.get("generation").unwrap_or(log.truncation_generation.0);
        self.step(Event::Flushed {
            offset: Offset(arguments.get("offset").unwrap_or(log.log_end_offset.0)),
            truncation_generation: TruncationGeneration(generation),
        });
    }

    fn fetch(&mut self, arguments: &Arguments<'_>) {
        let follower = BrokerId(arguments.subject());
        let known = *self.generations.entry(follower).or_insert(1);
        let generation = arguments.get("generation").unwrap_or(known);
        self.generations.insert(follower, generation);
        let known_epoch =
            self.image.replica(follower).and_then(|replica| replica.broker_epoch?.0.into());
        let offset = arguments.need("offset");
        let last = (offset > 0).then_some(self.image.leader_epoch.0);
        let fetch = FollowerFetch {
            broker_epoch: BrokerEpoch(
                arguments.get("broker_epoch").or(known_epoch).expect("a registered follower"),
            ),
            leader_epoch: self.leader_epoch(arguments),
            generation: Generation(generation),
            fetch_offset: Offset(offset),
            last_fetched_epoch: arguments.get("last_epoch").or(last).map(LeaderEpoch),
            flushed_offset: Offset(arguments.get("flushed").unwrap_or(offset)),
            log_start_offset: Offset(arguments.get("start").unwrap_or(0)),
        };
        self.step(Event::FollowerFetched { follower, fetch });
    }

    /// Repeats a follower's message every tenth of the lag time, for a while.
    fn keep_alives(&mut self, arguments: &Arguments<'_>) {
        let Span(total) = arguments.need("for");
        let pace = self.options.replica_lag_time_max / 10;
        for _ in 0..total.as_millis() / pace.as_millis() {
            self.advance(pace);
            self.fetch(arguments);
        }
    }

    fn batches(&mut self, arguments: &Arguments<'_>) {
        let leader = arguments.get("from").map_or(self.image.leader, |id| Some(BrokerId(id)));
        let leader = leader.expect("batches come from a leader");
        let leader_epoch = self.leader_epoch(arguments);
        let generation = Generation(arguments.need("generation"));
        let log = self.partition().log();
        let base_offset = Offset(arguments.get("base").unwrap_or(log.log_end_offset.0));
        let admitted =
            self.partition().admit_batches(leader, leader_epoch, generation, base_offset);
        if let Err(error) = admitted {
            return self.print(&format!("refused: {error}"));
        }
        self.step(Event::Appended(Appended {
            log_end_offset: base_offset + arguments.get("records").unwrap_or(1),
            leader_epoch: LeaderEpoch(arguments.get("batch_epoch").unwrap_or(leader_epoch.0)),
            truncation_generation: log.truncation_generation,
        }));
        self.answer(arguments, progress(arguments));
    }

    fn answer(&mut self, arguments: &Arguments<'_>, body: AnswerBody) {
        let leader = arguments.get("from").map_or(self.image.leader, |id| Some(BrokerId(id)));
        let answer = LeaderAnswer {
            leader_epoch: self.leader_epoch(arguments),
            generation: Generation(arguments.need("generation")),
            body,
        };
        let leader = leader.expect("answers come from a leader");
        self.step(Event::LeaderAnswered { leader, answer });
    }

    fn truncated(&mut self, arguments: &Arguments<'_>) {
        let state = log_state(arguments, arguments.need("end"));
        self.step(Event::Truncated(state));
    }

    /// Lets time pass, and wakes the machine whenever it asked to be.
    fn advance(&mut self, duration: Duration) {
        let until = self.now + duration;
        while let Some(at) = self.partition().poll_timeout().filter(|at| *at <= until) {
            assert!(
                at > self.now || self.now == Timestamp::ZERO,
                "a timeout that is past stays due"
            );
            self.now = self.now.max(at);
            let now = self.now;
            self.partition().step(now, Event::TimeoutReached);
            while let Some(action) = self.partition().poll_action() {
                let text = format!("at {now}: {}", format::action(&action));
                self.print(&text);
            }
        }
        self.now = until;
    }

    fn offsets(&mut self) {
        let text = match self.partition().check_offsets_available() {
            Ok(()) => "available".to_owned(),
            Err(code) => code.to_string(),
        };
        self.print(&text);
    }
}

fn new_replica(broker: i32) -> (BrokerId, ReplicaMetadata) {
    let replica = ReplicaMetadata {
        broker_epoch: Some(BrokerEpoch(i64::from(broker) * 10)),
        fencing: Fencing::Unfenced,
        assignment: Assignment::Target,
    };
    (BrokerId(broker), replica)
}

fn log_state(arguments: &Arguments<'_>, end: i64) -> LogState {
    LogState {
        log_start_offset: Offset(arguments.get("start").unwrap_or(0)),
        log_end_offset: Offset(end),
        flushed_offset: Offset(arguments.get("flushed").unwrap_or(end)),
        truncation_generation: TruncationGeneration(arguments.get("generation").unwrap_or(0)),
    }
}

fn progress(arguments: &Arguments<'_>) -> AnswerBody {
    AnswerBody::Progress {
        high_watermark: Offset(arguments.get("hw").unwrap_or(0)),
        log_start_offset: Offset(arguments.get("start").unwrap_or(0)),
    }
}

fn diverging(arguments: &Arguments<'_>) -> AnswerBody {
    let Pair(echo, echoed_epoch) = arguments.get::<Pair<i64, i32>>("echo").expect("an echo");
    AnswerBody::Diverging {
        epoch: LeaderEpoch(arguments.need("at_epoch")),
        end_offset: offset(arguments, "end"),
        fetch_offset: Offset(echo),
        last_fetched_epoch: Some(LeaderEpoch(echoed_epoch)),
    }
}

fn out_of_range(arguments: &Arguments<'_>) -> AnswerBody {
    AnswerBody::OutOfRange {
        log_start_offset: offset(arguments, "start"),
        fetch_offset: offset(arguments, "echo"),
    }
}

fn offset(arguments: &Arguments<'_>, key: &str) -> Offset {
    Offset(arguments.need(key))
}

fn acks(arguments: &Arguments<'_>) -> Acks {
    match arguments.text("acks") {
        Some("0") => Acks::None,
        Some("1") => Acks::Leader,
        Some("all") => Acks::All,
        other => panic!("acks={other:?}"),
    }
}

/// Two numbers with `@` or `:` between them.
struct Pair<A, B>(A, B);

impl<A: FromStr, B: FromStr> FromStr for Pair<A, B> {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (left, right) = text.split_once(['@', ':']).ok_or(())?;
        Ok(Self(left.parse().map_err(|_| ())?, right.parse().map_err(|_| ())?))
    }
}
