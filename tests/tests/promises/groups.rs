//! Groups outlive their coordinators: what was committed is there, no commit goes backwards, and members go on where they were.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use client::consumer::OffsetReset;
use client::group_consumer::{GroupConsumerConfig, GroupEvent};
use client::groups::CommittedOffset;
use client::{Client, GroupConsumer};
use cluster_tests::admin::Admin;
use cluster_tests::cluster::Cluster;
use cluster_tests::deadline::wait_until;
use cluster_tests::load::{Load, LoadOptions};
use cluster_tests::report::{measured, millis};
use model::{Offset, TopicPartition};

use crate::{LIMIT, LONGEST_GAP, PARTITIONS, heal, with_topic};

/// So many that each broker coordinates some.
const GROUPS: usize = 12;

const OFFSETS_TOPIC: &str = "__consumer_offsets";

/// What one group has been told.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The highest offset whose commit was acknowledged.
    acked: i64,
    /// The highest offset whose commit was tried.
    tried: i64,
}

#[derive(Debug, Default)]
struct State {
    told: BTreeMap<String, Told>,
    wrong: Vec<String>,
    longest_gap: Duration,
    last_ack: Option<Instant>,
}

/// Commits ascending offsets for many groups, one commit after the other in each, and reads each one back.
struct Commits {
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Commits {
    fn start(bootstrap: &str, topic: &str) -> Self {
        let (state, stop) = (Arc::<Mutex<State>>::default(), Arc::new(AtomicBool::new(false)));
        let (shared, ended) = (Arc::clone(&state), Arc::clone(&stop));
        let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
        let thread = std::thread::spawn(move || {
            let admin = Admin::new(&bootstrap);
            let partition = TopicPartition { topic, partition: 0 };
            let mut offset = 0;
            while !ended.load(Ordering::Relaxed) {
                offset += 1;
                for group in (0..GROUPS).map(|index| format!("group-{index}")) {
                    admin.block_on(commit(admin.client(), &shared, &group, &partition, offset));
                }
            }
        });
        Self { state, stop, thread }
    }

    fn state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until every group has had a commit acknowledged that was tried after now.
    fn wait_for_new_acks(&self) {
        let before = self.state(|state| state.told.clone());
        wait_until("commits of every group", LIMIT, || {
            self.state(|state| {
                let is_new = |(group, told): (&String, &Told)| {
                    told.acked > before.get(group).map_or(0, |before| before.tried)
                };
                state.told.len() == GROUPS && state.told.iter().all(is_new)
            })
        });
    }

    fn take_longest_gap(&self) -> Duration {
        self.state(|state| std::mem::take(&mut state.longest_gap))
    }

    /// Ends the commits and asserts that every group has what it was told last.
    fn stop(self, admin: &Admin, topic: &str) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the commits end");
        let state = std::mem::take(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner));
        assert_eq!(state.wrong, [""; 0]);
        let partition = TopicPartition { topic: topic.to_owned(), partition: 0 };
        for (group, told) in state.told {
            let found = admin.block_on(committed(admin.client(), &group, &partition));
            let found = found.unwrap_or_else(|error| panic!("{group}: {error}"));
            assert!((told.acked..=told.tried).contains(&found), "{group}: {found}, {told:?}");
        }
    }
}

async fn committed(
    client: &Client,
    group: &str,
    partition: &TopicPartition,
) -> Result<i64, client::Error> {
    let offsets = client.group_offsets(group, Some(std::slice::from_ref(partition))).await?;
    Ok(offsets.get(partition).map_or(-1, |found| found.offset.0))
}

/// Commits one offset and reads it back: nobody else commits for the group, so that nothing but this offset may be found.
async fn commit(
    client: &Client,
    state: &Mutex<State>,
    group: &str,
    partition: &TopicPartition,
    offset: i64,
) {
    let note = |note: &mut dyn FnMut(&mut State)| {
        note(&mut state.lock().unwrap_or_else(PoisonError::into_inner));
    };
    let value =
        CommittedOffset { offset: Offset(offset), leader_epoch: None, metadata: String::new() };
    note(&mut |state| state.told.entry(group.to_owned()).or_default().tried = offset);
    let offsets = BTreeMap::from([(partition.clone(), value)]);
    if let Err(error) = client.commit_group_offsets(group, &offsets).await {
        note(&mut |state| state.wrong.push(format!("{group}: commit {offset}: {error}")));
        return;
    }
    note(&mut |state| {
        state.told.entry(group.to_owned()).or_default().acked = offset;
        let now = Instant::now();
        let gap = state.last_ack.map_or(Duration::ZERO, |last| now - last);
        state.longest_gap = state.longest_gap.max(gap);
        state.last_ack = Some(now);
    });
    match committed(client, group, partition).await {
        Ok(found) if found == offset => {}
        Ok(found) => note(&mut |state| {
            state.wrong.push(format!("{group}: {offset} was committed, {found} is found"));
        }),
        Err(error) => {
            note(&mut |state| state.wrong.push(format!("{group}: fetch {offset}: {error}")));
        }
    }
}

/// Three brokers, a topic, and commits of many groups.
fn committing(topic: &str) -> (Cluster, Admin, Commits) {
    let (cluster, admin) = with_topic(topic, PARTITIONS);
    let commits = Commits::start(&cluster.bootstrap(), topic);
    commits.wait_for_new_acks();
    (cluster, admin, commits)
}

#[test]
fn what_was_committed_outlives_each_coordinator_that_is_killed() {
    let (mut cluster, admin, commits) = committing("killed");
    for broker in 1..=3 {
        let _before = commits.take_longest_gap();
        cluster.kill(broker);
        commits.wait_for_new_acks();
        let gap = commits.take_longest_gap();
        measured("SIGKILL of a coordinator, time without commits", format!("{} ms", millis(gap)));
        assert!(gap < LONGEST_GAP, "{gap:?} without a commit");
        heal(&mut cluster, &admin, broker, OFFSETS_TOPIC);
    }
    commits.stop(&admin, "killed");
}

#[test]
fn a_coordinator_that_is_told_to_stop_hands_its_groups_over() {
    let (mut cluster, admin, commits) = committing("stopped");
    for broker in 1..=3 {
        let _before = commits.take_longest_gap();
        cluster.terminate(broker);
        commits.wait_for_new_acks();
        let gap = commits.take_longest_gap();
        measured("SIGTERM of a coordinator, time without commits", format!("{} ms", millis(gap)));
        assert!(gap < LONGEST_GAP, "{gap:?} without a commit");
        heal(&mut cluster, &admin, broker, OFFSETS_TOPIC);
    }
    commits.stop(&admin, "stopped");
}

#[test]
fn what_was_committed_outlives_all_brokers_killed_at_once() {
    let (mut cluster, admin, commits) = committing("all-killed");
    for _round in 0..2 {
        cluster.kill_all();
        let ready = cluster.launch_without_waiting();
        commits.wait_for_new_acks();
        cluster.wait_for_launch(&ready);
        admin.wait_for_full_isr(OFFSETS_TOPIC, LIMIT);
    }
    commits.stop(&admin, "all-killed");
}

/// A member that reads until it is told to stop, and counts what it read.
fn member(
    bootstrap: &str,
    topic: &str,
    stop: &Arc<AtomicBool>,
) -> (Arc<Mutex<u64>>, JoinHandle<()>) {
    let read = Arc::<Mutex<u64>>::default();
    let (counted, ended) = (Arc::clone(&read), Arc::clone(stop));
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    let thread = std::thread::spawn(move || {
        let admin = Admin::new(&bootstrap);
        admin.block_on(async {
            let config = GroupConsumerConfig {
                session_timeout: Duration::from_secs(6),
                heartbeat_interval: Duration::from_millis(500),
                rebalance_timeout: Duration::from_secs(10),
                offset_reset: OffsetReset::Earliest,
                auto_commit_interval: Some(Duration::from_millis(200)),
                ..GroupConsumerConfig::new("members", vec![topic])
            };
            let mut member = GroupConsumer::new(admin.client().clone(), config);
            while !ended.load(Ordering::Relaxed) {
                match member.poll().await {
                    Ok(GroupEvent::Records(records)) => {
                        let count = u64::try_from(records.len()).expect("a length");
                        *counted.lock().unwrap_or_else(PoisonError::into_inner) += count;
                    }
                    Ok(_) => {}
                    Err(error) => panic!("the member ends: {error}"),
                }
            }
            member.leave().await.unwrap_or_else(|error| panic!("the member cannot leave: {error}"));
        });
    });
    (read, thread)
}

#[test]
fn members_go_on_when_their_coordinator_is_killed() {
    let (mut cluster, admin) = with_topic("members", PARTITIONS);
    let load = Load::start(&cluster.bootstrap(), LoadOptions::new("members", PARTITIONS));
    let stop = Arc::new(AtomicBool::new(false));
    let members: Vec<_> = (0..2).map(|_| member(&cluster.bootstrap(), "members", &stop)).collect();
    let read = |index: usize| *members[index].0.lock().unwrap_or_else(PoisonError::into_inner);
    let all_read_more = || {
        let before = [read(0), read(1)];
        wait_until("records for each member", LIMIT, || (0..2).all(|one| read(one) > before[one]));
    };
    all_read_more();
    for _round in 0..2 {
        let coordinator = coordinator(&admin, "members");
        let before = group_sum(&admin, "members");
        let killed = Instant::now();
        cluster.kill(coordinator);
        all_read_more();
        // What they read is committed with the successor.
        wait_until("commits of the members", LIMIT, || group_sum(&admin, "members") > before);
        let took = format!("{} ms", millis(killed.elapsed()));
        measured("SIGKILL of a coordinator, until each member reads and commits again", took);
        heal(&mut cluster, &admin, coordinator, OFFSETS_TOPIC);
    }
    stop.store(true, Ordering::Relaxed);
    for (_, thread) in members {
        thread.join().expect("the member ends well");
    }
    drop(load.stop(LIMIT));
}

/// Sums what a group has committed.
fn group_sum(admin: &Admin, group: &str) -> i64 {
    let offsets = admin.block_on(admin.client().group_offsets(group, None));
    let offsets = offsets.unwrap_or_else(|error| panic!("{error}"));
    offsets.values().map(|committed| committed.offset.0).sum()
}

fn coordinator(admin: &Admin, group: &str) -> u16 {
    let groups = [group.to_owned()];
    let found = admin.block_on(admin.client().find_coordinators(&groups));
    let found = found.unwrap_or_else(|error| panic!("{error}"));
    u16::try_from(found[group].broker.0).expect("a small id")
}
