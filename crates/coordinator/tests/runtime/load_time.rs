//! How long a failover of everything takes: 10,000 groups and a million committed offsets on 50 partitions, loaded by one broker.
//!
//! Measures, so it runs only when asked for, and means something only with optimisation:
//! `O=opt-level=3; cargo test -p coordinator --test runtime --config "profile.dev.package.'*'.$O" --config "profile.dev.package.coordinator.$O" --config "profile.dev.package.model.$O"
//! --config "profile.dev.package.protocol.$O" -- --ignored --nocapture load_time`, since `*` names no crate of ours.

use std::time::{Duration, Instant};

use bytes::Bytes;
use coordinator::group::ids::GenerationId;
use coordinator::group::record::{GroupMetadataRecord, GroupRecord, MemberRecord, OffsetRecord};
use coordinator::record_format;
use model::{Offset, TopicId, UnixMillis};
use uuid::Uuid;

use super::memory_log::MemoryLog;
use super::support::Broker;

const PARTITIONS: i32 = 50;
const GROUPS_PER_PARTITION: i32 = 200;
const OFFSETS_PER_GROUP: i32 = 100;
const LIMIT: Duration = Duration::from_secs(3);

fn group_record(group: &str) -> GroupRecord {
    let member_id = format!("{group}-client-00000000-0000-0000-0000-000000000000");
    GroupRecord::Group {
        group_id: group.into(),
        value: Some(GroupMetadataRecord {
            protocol_type: "consumer".to_owned(),
            generation_id: GenerationId(7),
            protocol_name: Some("range".to_owned()),
            leader: Some(member_id.as_str().into()),
            state_since: Some(UnixMillis(1)),
            members: vec![MemberRecord {
                member_id: member_id.as_str().into(),
                group_instance_id: None,
                client_id: "client".to_owned(),
                client_host: "/127.0.0.1".to_owned(),
                rebalance_timeout: Duration::from_secs(300),
                session_timeout: Duration::from_secs(45),
                subscription: Bytes::from_static(&[0; 40]),
                assignment: Bytes::from_static(&[0; 400]),
            }],
        }),
    }
}

fn commit_records(group: &str, offset: i64) -> Vec<GroupRecord> {
    let record = |partition| GroupRecord::Offset {
        group_id: group.into(),
        topic: "orders-of-all-regions".into(),
        partition,
        value: Some(OffsetRecord {
            offset: Offset(offset),
            topic_id: Some(TopicId(Uuid::from_u128(7))),
            leader_epoch: None,
            metadata: String::new(),
            commit_time: UnixMillis(1),
            expire_time: None,
        }),
    };
    (0..OFFSETS_PER_GROUP).map(record).collect()
}

/// Writes what `commits` rounds of commits of all groups leave in the log.
fn fill(log: &MemoryLog, commits: i64) {
    for partition in 0..PARTITIONS {
        for commit in 1..=commits {
            for group in 0..GROUPS_PER_PARTITION {
                let group = format!("application-{partition}-{group}");
                let mut records = commit_records(&group, commit);
                if commit == 1 {
                    records.push(group_record(&group));
                }
                for batch in record_format::encode(&records, UnixMillis(1), 1 << 20).unwrap() {
                    log.append_raw(partition, batch);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures, which takes an optimised build and an idle machine"]
async fn ten_thousand_groups_and_a_million_offsets_load_in_three_seconds() {
    // Freshly rewritten, and as large as a log gets before it is rewritten.
    for commits in [1, 3] {
        let log = MemoryLog::new();
        fill(&log, commits);
        let bytes: usize = (0..PARTITIONS).map(|partition| log.size_bytes(partition)).sum();
        let broker = Broker::start(&log);
        let leaderships: Vec<_> =
            (0..PARTITIONS).map(|partition| log.elect(partition, 1)).collect();
        let began = Instant::now();
        for leadership in leaderships {
            broker.coordinator.elected(leadership);
        }
        for partition in 0..PARTITIONS {
            broker.loaded(partition).await;
        }
        let took = began.elapsed();
        println!("{commits} commits of each offset, {} MiB: {took:?}", bytes >> 20);
        let counts = broker.coordinator.counts();
        assert_eq!(counts.offset_count, 1_000_000);
        assert_eq!(counts.groups.values().sum::<usize>(), 10_000);
        assert!(took < LIMIT);
        broker.stop().await;
    }
}
