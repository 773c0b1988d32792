//! Consumers: of partitions that they assign to themselves, and members of groups.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;

use super::client::{self, QUESTION_PATIENCE, process_name};
use super::member::{self, Commits, Member, Positions, Reader, Turn};
use super::numbers;
use super::plan::{ConsumerMode, ConsumerPlan, Isolation};
use super::{Shared, WorkloadError, spawn};
use crate::history::{Action, Role, Settings};

/// What one poll in the history holds, at most.
const POLL_RECORDS: usize = 500;
const POLL_TIME: Duration = Duration::from_millis(50);
const NAP: Duration = Duration::from_millis(50);

/// Starts a consumer.
pub(super) fn start(
    plan: ConsumerPlan,
    shared: Arc<Shared>,
) -> Result<JoinHandle<()>, WorkloadError> {
    let name = plan.name.clone();
    let first = create(&plan, &shared, process_name(&name, 1))
        .map_err(|source| WorkloadError::Client { client: name.clone(), source })?;
    spawn(&name, move || run(&plan, &shared, first))
}

fn create(plan: &ConsumerPlan, shared: &Arc<Shared>, process: Arc<str>) -> KafkaResult<Reader> {
    let own = format!("lab-{}", plan.name);
    let (group, commits) = match &plan.mode {
        ConsumerMode::Assign => (&own, Commits::None),
        ConsumerMode::Group { group } | ConsumerMode::ConsumerGroup { group } => {
            (group, Commits::Member { group: group.clone() })
        }
    };
    let mut config = client::reading(&shared.bootstrap, &process, group, plan.isolation);
    match &plan.mode {
        ConsumerMode::Assign => {}
        ConsumerMode::Group { .. } => {
            member_settings(&mut config);
        }
        ConsumerMode::ConsumerGroup { .. } => {
            config.set("group.protocol", "consumer").set("max.poll.interval.ms", "60000");
        }
    }
    config.create_with_context(Member::new(Arc::clone(shared), process, commits))
}

/// How a member of a classic group is configured.
pub(super) fn member_settings(config: &mut rdkafka::ClientConfig) {
    config
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "10000")
        .set("heartbeat.interval.ms", "1000")
        .set("max.poll.interval.ms", "60000");
}

fn settings(plan: &ConsumerPlan) -> Settings {
    let (role, group) = match &plan.mode {
        ConsumerMode::Assign => (Role::Consumer, None),
        ConsumerMode::Group { group } => (Role::GroupMember, Some(group.clone())),
        ConsumerMode::ConsumerGroup { group } => (Role::ConsumerGroupMember, Some(group.clone())),
    };
    reader_settings(role, plan.isolation, group)
}

/// The settings of a process that does not send.
pub(super) fn reader_settings(role: Role, isolation: Isolation, group: Option<String>) -> Settings {
    Settings {
        role,
        acks: None,
        idempotent: false,
        retries: false,
        max_in_flight: 0,
        read_committed: isolation == Isolation::ReadCommitted,
        group,
    }
}

fn run(plan: &ConsumerPlan, shared: &Arc<Shared>, first: Reader) {
    let mut generation = 1;
    let mut next = Some(first);
    while shared.running() {
        let process = process_name(&plan.name, generation);
        let created = next.take().map_or_else(|| create(plan, shared, Arc::clone(&process)), Ok);
        let Ok(reader) = created else {
            std::thread::sleep(NAP);
            continue;
        };
        shared.recorder.mark(&process, Action::Start { settings: settings(plan) });
        if begin(plan, shared, &reader).is_ok() {
            read(plan, shared, &reader);
        }
        reader.context().flush(None);
        // Leaves the group: the last revocation, and the last commit with it, happens here.
        drop(reader);
        shared.recorder.mark(&process, Action::Stop);
        generation += 1;
    }
}

fn begin(plan: &ConsumerPlan, shared: &Shared, reader: &Reader) -> KafkaResult<()> {
    if plan.mode != ConsumerMode::Assign {
        return reader.subscribe(&[&plan.topic]);
    }
    let mut positions = Positions::new();
    for partition in numbers::partitions(&plan.topic, shared.partitions(&plan.topic)) {
        while shared.running() && !positions.contains_key(&partition) {
            let marks = reader.fetch_watermarks(&plan.topic, partition.number, QUESTION_PATIENCE);
            match marks {
                Ok((low, _)) => {
                    positions.insert(partition.clone(), low);
                }
                Err(_) => std::thread::sleep(NAP),
            }
        }
    }
    let member = reader.context();
    member.set_next(&positions);
    let list = member::list(&positions).unwrap_or_default();
    let action = Action::Assign { positions: positions.into_iter().collect() };
    shared.recorder.mark(&member.process, action);
    reader.assign(&list)
}

/// Polls until the workload stops or the instance is of no use any more.
fn read(plan: &ConsumerPlan, shared: &Shared, reader: &Reader) {
    let mut committed = Instant::now();
    let mut out_of_range = false;
    while shared.running() {
        match member::turn(reader, POLL_RECORDS, POLL_TIME) {
            Turn::Quiet => {}
            Turn::OutOfRange => out_of_range = true,
            Turn::Fatal => return,
        }
        reader.context().flush(None);
        if out_of_range {
            out_of_range = member::reposition(reader).is_err();
        }
        if committed.elapsed() >= plan.commit_interval {
            reader.context().commit(reader);
            committed = Instant::now();
        }
    }
}
