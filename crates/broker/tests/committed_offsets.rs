//! Committed offsets on the wire, version by version, against one broker process.

mod one_broker;

use model::{ErrorCode, TopicId};
use one_broker::{Broker, OFFSETS, topic};
use protocol::ApiKey;
use protocol::messages::offset_commit::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use protocol::messages::offset_delete::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use protocol::messages::offset_fetch::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::messages::*;

/// Starts a broker with a topic `t` of two partitions and returns the topic's id.
fn broker() -> (Broker, TopicId) {
    let broker = Broker::start_with_groups(&[]);
    let topic_id = broker.described("t").topic_id;
    (broker, topic_id)
}

fn position(partition_index: i32, committed_offset: i64) -> OffsetCommitRequestPartition {
    OffsetCommitRequestPartition {
        partition_index,
        committed_offset,
        committed_metadata: Some("words".into()),
        ..OffsetCommitRequestPartition::default()
    }
}

/// A commit without a member, of a topic by name and by id.
fn commit(
    group: &str,
    topic_id: TopicId,
    partitions: Vec<OffsetCommitRequestPartition>,
) -> OffsetCommitRequest {
    let topics = vec![OffsetCommitRequestTopic { name: "t".into(), topic_id, partitions }];
    OffsetCommitRequest { group_id: group.into(), topics, ..OffsetCommitRequest::default() }
}

fn codes(answer: &OffsetCommitResponse) -> Vec<ErrorCode> {
    let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

/// Asks for partitions 0 and 1 of `t`, in the form of either age.
fn fetch(group: &str, topic_id: TopicId) -> OffsetFetchRequest {
    let old = OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![0, 1] };
    let new =
        OffsetFetchRequestTopics { name: "t".into(), topic_id, partition_indexes: vec![0, 1] };
    let group_id = group.into();
    OffsetFetchRequest {
        group_id: group.into(),
        topics: Some(vec![old]),
        groups: vec![OffsetFetchRequestGroup {
            group_id,
            topics: Some(vec![new]),
            ..Default::default()
        }],
        require_stable: true,
    }
}

/// The offsets of an answer of either age, in order.
fn offsets(answer: &OffsetFetchResponse) -> Vec<i64> {
    let old = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let new =
        answer.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| &topic.partitions);
    old.map(|one| one.committed_offset).chain(new.map(|one| one.committed_offset)).collect()
}

#[test]
fn offsets_are_committed_and_fetched_in_every_version() {
    let (broker, topic_id) = broker();
    for version in 0..=10 {
        let group = format!("versions-{version}");
        let offset = i64::from(version) * 10;
        let request = commit(&group, topic_id, vec![position(1, offset)]);
        assert_eq!(codes(&broker.ask(version, &request)), [ErrorCode::None], "version {version}");
        for fetch_version in 0..=10 {
            let answer = broker.ask(fetch_version, &fetch(&group, topic_id));
            assert_eq!(offsets(&answer), [-1, offset], "version {fetch_version}");
            assert_eq!(answer.error_code, ErrorCode::None);
        }
    }
    let answer = broker.ask(8, &fetch("versions-8", topic_id));
    let partitions = &answer.groups[0].topics[0].partitions;
    assert_eq!(partitions[0].metadata, Some("".into()));
    assert_eq!(partitions[1].metadata, Some("words".into()));
    assert_eq!(partitions[1].committed_leader_epoch, -1);
}

#[test]
fn all_offsets_of_many_groups_are_fetched_at_once() {
    let (broker, topic_id) = broker();
    for group in ["a", "b"] {
        broker.ask(5, &commit(group, topic_id, vec![position(0, 7), position(1, 8)]));
    }
    let all = |group: &str| OffsetFetchRequestGroup {
        group_id: group.into(),
        topics: None,
        ..OffsetFetchRequestGroup::default()
    };
    let groups = vec![all("a"), all("unknown"), all("b")];
    let request = OffsetFetchRequest { groups, ..OffsetFetchRequest::default() };
    for version in 8..=10 {
        let answer = broker.ask(version, &request);
        assert_eq!(answer.groups.len(), 3);
        assert!(answer.groups.iter().all(|group| group.error_code == ErrorCode::None));
        assert!(answer.groups[1].topics.is_empty());
        assert_eq!(offsets(&answer), [7, 8, 7, 8], "version {version}");
        let first = &answer.groups[0].topics[0];
        assert_eq!(first.topic_id == topic_id, version >= 10);
    }
    let old = OffsetFetchRequest { group_id: "a".into(), topics: None, ..Default::default() };
    assert_eq!(offsets(&broker.ask(2, &old)), [7, 8]);
}

#[test]
fn commits_that_are_wrong_get_kafkas_codes_each_in_its_place() {
    let (broker, topic_id) = broker();
    let long = OffsetCommitRequestPartition {
        committed_metadata: Some("x".repeat(4_097).into()),
        ..position(0, 1)
    };
    let request =
        commit("g", topic_id, vec![position(9, 1), position(1, 1), long, position(-1, 1)]);
    for version in 0..=10 {
        assert_eq!(
            codes(&broker.ask(version, &request)),
            [
                ErrorCode::UnknownTopicOrPartition,
                ErrorCode::None,
                ErrorCode::OffsetMetadataTooLarge,
                ErrorCode::UnknownTopicOrPartition,
            ],
            "version {version}"
        );
    }
    let mut unknown = commit("g", TopicId::from_bytes([7; 16]), vec![position(0, 1)]);
    unknown.topics[0].name = "unknown".into();
    assert_eq!(codes(&broker.ask(9, &unknown)), [ErrorCode::UnknownTopicOrPartition]);
    assert_eq!(codes(&broker.ask(10, &unknown)), [ErrorCode::UnknownTopicId]);
    let fetched = broker.ask(10, &fetch("g", TopicId::from_bytes([7; 16])));
    assert_eq!(fetched.groups[0].topics[0].partitions[0].error_code, ErrorCode::UnknownTopicId);

    // Of two offsets for one partition the last counts, as in Kafka.
    let twice = commit("g", topic_id, vec![position(0, 1), position(0, 2), position(9, 1)]);
    assert_eq!(
        codes(&broker.ask(5, &twice)),
        [ErrorCode::None, ErrorCode::None, ErrorCode::UnknownTopicOrPartition]
    );
    assert_eq!(offsets(&broker.ask(1, &fetch("g", topic_id)))[0], 2);
    // Each repetition in a fetch would be the client's words in the answer once more.
    let mut twice = fetch("g", topic_id);
    twice.topics =
        Some(vec![OffsetFetchRequestTopic { name: "t".into(), partition_indexes: vec![1, 1] }]);
    assert_eq!(broker.ask(3, &twice).error_code, ErrorCode::InvalidRequest);

    // A member of a group that does not exist: what is said depends on what the client knows.
    let mut member = commit("nobody", topic_id, vec![position(0, 1)]);
    member.generation_id_or_member_epoch = 1;
    member.member_id = "m".into();
    assert_eq!(codes(&broker.ask(8, &member)), [ErrorCode::IllegalGeneration]);
    assert_eq!(codes(&broker.ask(9, &member)), [ErrorCode::GroupIdNotFound]);
    // The empty group is legal for commits and fetches.
    assert_eq!(
        codes(&broker.ask(2, &commit("", topic_id, vec![position(0, 3)]))),
        [ErrorCode::None]
    );
    assert_eq!(offsets(&broker.ask(1, &fetch("", topic_id))), [3, -1]);
}

#[test]
fn offsets_are_deleted_and_go_with_their_topic() {
    let (broker, topic_id) = broker();
    broker.ask(5, &commit("g", topic_id, vec![position(0, 7), position(1, 8)]));
    let partition = |partition_index| OffsetDeleteRequestPartition { partition_index };
    let named = |name: &str, partitions| OffsetDeleteRequestTopic { name: name.into(), partitions };
    let topics = vec![named("t", vec![partition(5), partition(0)]), named("u", vec![partition(0)])];
    let request = OffsetDeleteRequest { group_id: "g".into(), topics: topics.clone() };
    let answer = broker.ask(0, &request);
    assert_eq!(answer.error_code, ErrorCode::None);
    let codes: Vec<ErrorCode> = answer
        .topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .map(|one| one.error_code)
        .collect();
    let unknown = ErrorCode::UnknownTopicOrPartition;
    assert_eq!(codes, [unknown, ErrorCode::None, unknown]);
    assert_eq!(offsets(&broker.ask(5, &fetch("g", topic_id))), [-1, 8]);
    let nobody = OffsetDeleteRequest { group_id: "nobody".into(), topics };
    assert_eq!(broker.ask(0, &nobody).error_code, ErrorCode::GroupIdNotFound);

    assert_eq!(broker.delete("t"), ErrorCode::None);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while offsets(&broker.ask(5, &fetch("g", topic_id))) != [-1, -1] {
        assert!(std::time::Instant::now() < deadline, "the offsets outlive their topic");
    }
}

#[test]
fn a_topic_of_the_same_name_keeps_what_is_committed_for_it() {
    let (broker, mut topic_id) = broker();
    for round in 1..=10 {
        broker.ask(5, &commit("g", topic_id, vec![position(0, 7), position(1, 8)]));
        assert_eq!(broker.delete("t"), ErrorCode::None);
        topic_id = broker.create(topic("t", 2)).topic_id;
        let fresh = commit("g", topic_id, vec![position(0, 100 + round)]);
        assert_eq!(codes(&broker.ask(5, &fresh)), [ErrorCode::None]);
        // The old topic's offset of partition 1 is gone: so its deletion has reached the group.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while offsets(&broker.ask(5, &fetch("g", topic_id)))[1] != -1 {
            assert!(std::time::Instant::now() < deadline, "the offsets outlive their topic");
        }
        assert_eq!(offsets(&broker.ask(5, &fetch("g", topic_id))), [100 + round, -1]);
    }
}

#[test]
fn clients_do_not_write_to_internal_topics() {
    let (broker, topic_id) = broker();
    broker.ask(5, &commit("g", topic_id, vec![position(0, 7)]));
    let data = PartitionProduceData { index: 0, records: Some(vec![0_u8; 61].into()) };
    let topic = TopicProduceData {
        name: OFFSETS.into(),
        partition_data: vec![data],
        ..TopicProduceData::default()
    };
    let request = ProduceRequest {
        acks: 1,
        timeout_ms: 1_000,
        topic_data: vec![topic],
        ..Default::default()
    };
    let answer = broker.ask(7, &request);
    let code = answer.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::InvalidTopicException);
}

#[test]
fn the_page_of_metrics_shows_how_far_groups_are_behind() {
    let (broker, topic_id) = broker();
    broker.ask(5, &commit("g", topic_id, vec![position(0, 0), position(1, 0)]));
    let page = broker.metrics();
    assert!(page.contains("steadfast_group_lag{group=\"g\",topic=\"t\"} 0"), "{page}");
    assert!(page.contains("steadfast_group_lag_omitted_offsets 0"));
    assert!(page.contains("steadfast_groups{state=\"Empty\"} 1"));
}

#[test]
fn the_versions_of_a_test_are_those_that_are_served() {
    for key in [ApiKey::OffsetCommit, ApiKey::OffsetFetch] {
        assert_eq!((key.versions().min, key.versions().max), (0, 10));
    }
}

#[test]
fn committed_offsets_outlive_the_process() {
    let (broker, topic_id) = broker();
    broker.ask(5, &commit("g", topic_id, vec![position(0, 42)]));
    let broker = broker.killed_and_started_again();
    broker.wait_for_groups();
    assert_eq!(offsets(&broker.ask(5, &fetch("g", topic_id))), [42, -1]);
}
