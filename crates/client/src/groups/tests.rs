//! Administration of groups against a coordinator that moves, loads and breaks.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ErrorCode, Offset};
use protocol::ApiKey;

use super::*;
use crate::fake_broker::group::GROUP;
use crate::fake_broker::log::at;
use crate::fake_broker::{FakeBroker, Faults};
use crate::{Client, ClientConfig, Error};

fn offsets() -> BTreeMap<TopicPartition, CommittedOffset> {
    (0..3).map(|partition| (at(partition), CommittedOffset::at(Offset(10)))).collect()
}

/// A client that gives up soon.
fn impatient(broker: &FakeBroker) -> Client {
    let config = ClientConfig { api_timeout: Duration::from_millis(200), ..broker.config() };
    Client::new(config, broker.tasks().clone())
}

#[tokio::test]
async fn a_coordinator_that_moves_or_loads_is_asked_again() {
    let broker = FakeBroker::start(3, Faults::default()).await;
    broker.group(|group| {
        group.refuse(ApiKey::FindCoordinator, &[ErrorCode::CoordinatorNotAvailable]);
        let passing = [ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator];
        group.refuse(ApiKey::OffsetCommit, &passing);
        group.refuse(ApiKey::OffsetFetch, &passing);
        group.refuse(ApiKey::DescribeGroups, &passing);
        group.refuse(ApiKey::ListGroups, &passing[..1]);
        group.refuse(ApiKey::DeleteGroups, &passing);
    });
    let client = broker.client();
    client.commit_group_offsets(GROUP, &offsets()).await.unwrap();
    assert_eq!(client.group_offsets(GROUP, None).await.unwrap(), offsets());
    let one = client.group_offsets(GROUP, Some(&[at(1)])).await.unwrap();
    assert_eq!(one, BTreeMap::from([(at(1), CommittedOffset::at(Offset(10)))]));
    let names = [GROUP.to_owned(), "unknown".to_owned()];
    let described = client.describe_groups(&names).await;
    assert_eq!(described[GROUP].as_ref().unwrap().state, GroupState::Empty);
    let unknown = described["unknown"].as_ref().unwrap_err();
    assert_eq!(unknown.code(), Some(ErrorCode::GroupIdNotFound));
    assert_eq!(client.list_groups(&[]).await.unwrap()[0].group_id, GROUP);
    client.delete_group(GROUP).await.unwrap();
    // Of the many attempts each one was needed.
    let asked = broker.group(|group| group.asked.clone());
    assert_eq!((asked[&ApiKey::OffsetCommit], asked[&ApiKey::DeleteGroups]), (3, 3));
}

#[tokio::test]
async fn broken_connections_cost_no_commit() {
    let faults = Faults { break_before: Some(9), break_after: Some(9), ..Faults::default() };
    let broker = FakeBroker::start(3, faults).await;
    let client = broker.client();
    for offset in 0..20 {
        let offsets = BTreeMap::from([(at(0), CommittedOffset::at(Offset(offset)))]);
        client.commit_group_offsets(GROUP, &offsets).await.unwrap();
        assert_eq!(client.group_offsets(GROUP, None).await.unwrap(), offsets);
    }
}

#[tokio::test]
async fn attempts_end_with_the_time_and_the_last_reason() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    broker.group(|group| group.refuse(ApiKey::DeleteGroups, &[ErrorCode::NotCoordinator; 1000]));
    let error = impatient(&broker).delete_group(GROUP).await.unwrap_err();
    assert!(matches!(error, Error::GaveUp { .. }), "{error}");
    assert_eq!(error.code(), Some(ErrorCode::NotCoordinator));
}

#[tokio::test]
async fn a_broker_that_never_answers_holds_nobody_beyond_the_time() {
    let broker = FakeBroker::start(1, Faults { is_mute: true, ..Faults::default() }).await;
    let started = std::time::Instant::now();
    let error = impatient(&broker).delete_group(GROUP).await.unwrap_err();
    assert!(matches!(error, Error::GaveUp { .. }), "{error}");
    assert!(impatient(&broker).find_coordinators(&[GROUP.to_owned()]).await.is_err());
    // Far below the request timeout of 30 s.
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_refusal_is_final_and_asked_for_once() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    broker.group(|group| group.refuse(ApiKey::DeleteGroups, &[ErrorCode::NonEmptyGroup]));
    let error = broker.client().delete_group(GROUP).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::NonEmptyGroup));
    assert_eq!(broker.group(|group| group.asked[&ApiKey::DeleteGroups]), 1);
}

#[tokio::test]
async fn a_commit_from_outside_is_refused_while_the_group_has_a_member() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    broker.group(|group| group.member = Some("m".to_owned()));
    let error = broker.client().commit_group_offsets(GROUP, &offsets()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::UnknownMemberId));
}

#[tokio::test]
async fn a_group_of_another_type_is_told_from_one_that_does_not_exist() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let client = broker.client();
    for (group_type, is_other) in [("Consumer", true), ("Classic", false), ("", false)] {
        broker.group(|group| {
            group.group_type = group_type;
            group.refuse(ApiKey::DescribeGroups, &[ErrorCode::GroupIdNotFound]);
        });
        let error = client.describe_groups(&[GROUP.to_owned()]).await[GROUP].clone().unwrap_err();
        assert_eq!(matches!(error, Error::GroupType { .. }), is_other, "{group_type}: {error}");
    }
}
