//! A member against a coordinator in memory that refuses, forgets and rebalances.

use std::collections::BTreeSet;
use std::future::Future;

use model::ErrorCode;
use protocol::ApiKey;
use tokio::time::timeout;

use super::*;
use crate::ClientConfig;
use crate::fake_broker::group::GROUP;
use crate::fake_broker::log::at;
use crate::fake_broker::{FakeBroker, Faults, TOPIC};
use crate::producer::{Producer, ProducerConfig, ProducerRecord};

/// How long anything may take before a test calls it a hang.
const LIMIT: Duration = Duration::from_secs(20);

fn config() -> GroupConsumerConfig {
    GroupConsumerConfig {
        heartbeat_interval: Duration::from_millis(5),
        offset_reset: OffsetReset::Earliest,
        fetch: ConsumerConfig { max_wait: Duration::from_millis(5), ..ConsumerConfig::default() },
        ..GroupConsumerConfig::new(GROUP, vec![TOPIC.to_owned()])
    }
}

fn cooperative() -> GroupConsumerConfig {
    GroupConsumerConfig { assignors: vec![Assignor::CooperativeSticky], ..config() }
}

fn member(broker: &FakeBroker, config: GroupConsumerConfig) -> GroupConsumer {
    GroupConsumer::new(broker.client(), config)
}

/// Writes so many records, to each partition in turn.
async fn write(broker: &FakeBroker, count: usize) {
    let producer = Producer::new(broker.client(), ProducerConfig::default());
    let metadata = broker.client().topics(&[TOPIC.to_owned()]).await.unwrap();
    let partitions = metadata.topics[TOPIC].partitions.keys().copied();
    for partition in partitions.cycle().take(count) {
        let record = ProducerRecord {
            topic: TOPIC,
            partition: Some(partition),
            value: Some(b"v"),
            ..ProducerRecord::default()
        };
        let _delivery = producer.send(&record).await.unwrap();
    }
    producer.flush().await;
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(LIMIT, what).await.expect("it comes soon")
}

/// Returns the next event that is not an empty answer.
async fn next(member: &mut GroupConsumer) -> GroupEvent {
    soon(async {
        loop {
            match member.poll().await.unwrap() {
                GroupEvent::Records(records) if records.is_empty() => {}
                event => return event,
            }
        }
    })
    .await
}

/// Polls until so many records came; returns them, and fails on anything that is taken away.
async fn read(member: &mut GroupConsumer, count: usize) -> Vec<(i32, i64)> {
    let mut read = Vec::new();
    soon(async {
        while read.len() < count {
            match member.poll().await.unwrap() {
                GroupEvent::Records(records) => {
                    read.extend(records.iter().map(|it| (it.partition.partition, it.offset.0)));
                }
                GroupEvent::Assigned { .. } => {}
                event => panic!("{event:?}"),
            }
        }
    })
    .await;
    read
}

fn rebalance(broker: &FakeBroker) {
    broker.group(|group| group.refuse(ApiKey::Heartbeat, &[ErrorCode::RebalanceInProgress]));
}

fn all(partitions: &[i32]) -> Vec<TopicPartition> {
    partitions.iter().map(|partition| at(*partition)).collect()
}

#[tokio::test]
async fn a_member_reads_everything_and_the_next_one_goes_on_where_it_stopped() {
    let broker = FakeBroker::start(3, Faults::default()).await;
    write(&broker, 300).await;
    let mut first = member(&broker, config());
    assert_eq!(
        next(&mut first).await,
        GroupEvent::Assigned { generation: 1, partitions: all(&[0, 1, 2]) }
    );
    assert!(first.watching.is_some(), "it leads");
    let mut records = read(&mut first, 300).await;
    soon(first.leave()).await.unwrap();
    assert_eq!(broker.group(|group| group.member.clone()), None);
    write(&broker, 60).await;
    let mut second = member(&broker, config());
    records.extend(read(&mut second, 60).await);
    let distinct: BTreeSet<_> = records.iter().collect();
    assert_eq!((records.len(), distinct.len()), (360, 360), "a record came twice");
}

#[tokio::test]
async fn faults_of_every_kind_lose_no_record_and_end_in_a_commit_of_all() {
    let faults = Faults { break_before: Some(29), break_after: Some(29), ..Faults::default() };
    let broker = FakeBroker::start(3, faults).await;
    write(&broker, 500).await;
    let passing = [
        ErrorCode::NotCoordinator,
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::CoordinatorNotAvailable,
    ];
    broker.group(|group| {
        for api in [
            ApiKey::FindCoordinator,
            ApiKey::JoinGroup,
            ApiKey::SyncGroup,
            ApiKey::Heartbeat,
            ApiKey::OffsetCommit,
            ApiKey::OffsetFetch,
        ] {
            group.refuse(api, &passing);
        }
        group.refuse(ApiKey::SyncGroup, &[ErrorCode::RebalanceInProgress]);
        group.refuse(ApiKey::OffsetFetch, &[ErrorCode::UnstableOffsetCommit]);
    });
    let mut member = member(&broker, config());
    let mut seen = BTreeSet::new();
    while seen.len() < 500 {
        // A response that got lost may cost the membership, which is told and made good.
        if let GroupEvent::Records(records) = next(&mut member).await {
            seen.extend(records.iter().map(|it| (it.partition.partition, it.offset)));
        }
    }
    soon(async {
        while member.commit().await.is_err() {
            let _event = member.poll().await.unwrap();
        }
    })
    .await;
    let committed = broker.group(|group| group.committed.values().sum::<i64>());
    assert_eq!(committed, 500);
}

#[tokio::test]
async fn an_eager_member_commits_and_gives_up_everything_before_it_joins_again() {
    let broker = FakeBroker::start(3, Faults::default()).await;
    write(&broker, 90).await;
    let mut member = member(&broker, config());
    read(&mut member, 90).await;
    broker.group(|group| group.given.push_back(vec![1]));
    rebalance(&broker);
    assert_eq!(next(&mut member).await, GroupEvent::Revoked(all(&[0, 1, 2])));
    assert_eq!(broker.group(|group| group.committed.values().sum::<i64>()), 90);
    assert!(member.assignment().is_empty());
    let assigned = GroupEvent::Assigned { generation: 2, partitions: all(&[1]) };
    assert_eq!(next(&mut member).await, assigned);
    assert!(member.watching.is_none(), "another one leads");
    write(&broker, 30).await;
    let records = read(&mut member, 10).await;
    assert!(
        records.iter().all(|(partition, offset)| *partition == 1 && *offset >= 30),
        "{records:?}"
    );
}

#[tokio::test]
async fn a_cooperative_member_keeps_reading_what_it_keeps() {
    let broker = FakeBroker::start(3, Faults::default()).await;
    write(&broker, 90).await;
    let mut member = member(&broker, cooperative());
    broker.group(|group| group.given.push_back(vec![0, 1, 2]));
    read(&mut member, 90).await;
    let questions = broker.group(|group| group.asked[&ApiKey::OffsetFetch]);
    // The others take one away in this round, and are given it in the next.
    broker.group(|group| group.given.extend([vec![0, 1], vec![0, 1]]));
    rebalance(&broker);
    assert_eq!(next(&mut member).await, GroupEvent::Revoked(all(&[2])));
    assert_eq!(broker.group(|group| group.committed.values().sum::<i64>()), 90);
    assert_eq!(next(&mut member).await, GroupEvent::Assigned { generation: 2, partitions: vec![] });
    assert_eq!(next(&mut member).await, GroupEvent::Assigned { generation: 3, partitions: vec![] });
    let owned = broker.group(|group| group.owned.clone());
    assert_eq!(owned, [all(&[]), all(&[0, 1, 2]), all(&[0, 1])]);
    write(&broker, 30).await;
    let records = read(&mut member, 20).await;
    assert!(
        records.iter().all(|(partition, offset)| *partition < 2 && *offset >= 30),
        "{records:?}"
    );
    // What it kept it did not ask for again.
    assert_eq!(broker.group(|group| group.asked[&ApiKey::OffsetFetch]), questions);
}

#[tokio::test]
async fn a_member_that_the_group_forgot_tells_what_is_lost_and_joins_anew() {
    for config in [config(), cooperative()] {
        let broker = FakeBroker::start(2, Faults::default()).await;
        write(&broker, 20).await;
        let mut member = member(&broker, config);
        read(&mut member, 20).await;
        broker.group(|group| group.member = Some("somebody else".to_owned()));
        assert_eq!(next(&mut member).await, GroupEvent::Lost(all(&[0, 1])));
        let assigned = GroupEvent::Assigned { generation: 2, partitions: all(&[0, 1]) };
        assert_eq!(next(&mut member).await, assigned);
        assert_eq!(member.membership.identity().member_id, "m2");
        // Nothing was committed, so it comes again.
        read(&mut member, 20).await;
    }
}

#[tokio::test]
async fn a_cooperative_member_that_is_forgotten_while_it_joins_keeps_nothing() {
    let broker = FakeBroker::start(2, Faults::default()).await;
    let mut member = member(&broker, cooperative());
    next(&mut member).await;
    broker.group(|group| group.refuse(ApiKey::SyncGroup, &[ErrorCode::UnknownMemberId]));
    rebalance(&broker);
    assert_eq!(next(&mut member).await, GroupEvent::Lost(all(&[0, 1])));
    let GroupEvent::Assigned { partitions, .. } = next(&mut member).await else { panic!() };
    assert_eq!(partitions, all(&[0, 1]));
    assert_eq!(broker.group(|group| group.owned.last().cloned()), Some(vec![]));
}

#[tokio::test]
async fn a_static_member_that_was_replaced_ends_with_an_error() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let config = GroupConsumerConfig { group_instance_id: Some("i".to_owned()), ..config() };
    let mut member = member(&broker, config);
    next(&mut member).await;
    broker.group(|group| group.refuse(ApiKey::Heartbeat, &[ErrorCode::FencedInstanceId]));
    let error = loop {
        match soon(member.poll()).await {
            Ok(GroupEvent::Records(_)) => {}
            Ok(event) => panic!("{event:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), Some(ErrorCode::FencedInstanceId));
}

#[tokio::test]
async fn a_static_member_does_not_leave() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let config = GroupConsumerConfig { group_instance_id: Some("i".to_owned()), ..config() };
    let mut member = member(&broker, config);
    next(&mut member).await;
    soon(member.leave()).await.unwrap();
    assert!(broker.group(|group| group.member.is_some()));
}

#[tokio::test]
async fn polls_that_are_cancelled_all_the_time_still_get_there() {
    let broker = FakeBroker::start(3, Faults::default()).await;
    write(&broker, 300).await;
    let mut member = member(&broker, config());
    let mut seen = BTreeSet::new();
    soon(async {
        while seen.len() < 300 {
            let poll = timeout(Duration::from_micros(200), member.poll()).await;
            let Ok(event) = poll else { continue };
            if let GroupEvent::Records(records) = event.unwrap() {
                for record in &records {
                    let is_new = seen.insert((record.partition.partition, record.offset));
                    assert!(is_new, "{record:?} came twice");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn what_polls_have_returned_is_committed_by_a_later_poll_alone() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    write(&broker, 10).await;
    let config =
        GroupConsumerConfig { auto_commit_interval: Some(Duration::from_millis(20)), ..config() };
    let mut member = member(&broker, config);
    read(&mut member, 10).await;
    // The poll that returned them cannot know that they are worked on.
    assert_ne!(broker.group(|group| group.committed.get(&0).copied()), Some(10));
    soon(async {
        while broker.group(|group| group.committed.get(&0).copied()) != Some(10) {
            member.poll().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_member_that_nobody_polls_leaves() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let config = GroupConsumerConfig { rebalance_timeout: Duration::from_millis(30), ..config() };
    let mut member = member(&broker, config);
    next(&mut member).await;
    soon(async {
        while broker.group(|group| group.member.is_some()) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    assert_eq!(next(&mut member).await, GroupEvent::Lost(all(&[0])));
}

#[tokio::test]
async fn a_leader_sees_that_a_topic_has_grown() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let client_config =
        ClientConfig { metadata_max_age: Duration::from_millis(20), ..broker.config() };
    let client = Client::new(client_config, broker.tasks().clone());
    let mut member = GroupConsumer::new(client, cooperative());
    next(&mut member).await;
    broker.add_partition();
    let grown = GroupEvent::Assigned { generation: 2, partitions: all(&[1]) };
    assert_eq!(next(&mut member).await, grown);
}

#[tokio::test]
async fn the_heartbeats_end_with_the_value() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let tasks = crate::Tasks::default();
    let mut member = GroupConsumer::new(Client::new(broker.config(), tasks.clone()), config());
    next(&mut member).await;
    drop(member);
    tasks.tracker.close();
    soon(tasks.tracker.wait()).await;
}
