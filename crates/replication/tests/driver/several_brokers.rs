//! Two and three brokers: followers, acks=all, restarts, elections, streams.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use log_storage::AppendError;
use model::record_batch::Batches;
use model::{Acks, BrokerId, LeaderEpoch, Offset};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use replication::partition::ReplicaRole;
use replication::{FetchError, NotServed, ProduceError, ReplicationConfig};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gate::{Gate, GatedFileSystem};
use crate::support::{
    Broker, Cluster, DEADLINE, Setup, batch, eventually, in_time, numbered, options, partition_id,
    read_from,
};

async fn three(cluster: &Cluster) -> [Broker; 3] {
    [
        cluster.start(1, Setup::default()).await,
        cluster.start(2, Setup::default()).await,
        cluster.start(3, Setup::default()).await,
    ]
}

#[tokio::test]
async fn acks_all_is_answered_when_all_in_sync_replicas_have_flushed() {
    let cluster = Cluster::new();
    let gate = Arc::new(Gate::default());
    let first = cluster.start(1, Setup::default()).await;
    let second = cluster.start(2, Setup::default()).await;
    let fs = Arc::new(GatedFileSystem::new(&gate));
    let third = cluster.start(3, Setup { fs, ..Setup::default() }).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    let waiter = first.partition(0).produce(&mut batch(5, 100), &options(Acks::All));
    in_time("an acknowledgement", waiter).await.unwrap();
    gate.close();
    let mut waiter = pin!(first.partition(0).produce(&mut batch(5, 100), &options(Acks::All)));
    eventually("replication", || second.log_end(0) == 10 && third.log_end(0) == 10).await;
    eventually("a flush that hangs", || gate.waiting() > 0).await;
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(waiter.as_mut().poll(&mut context), Poll::Pending));
    assert_eq!(first.high_watermark(0), 5);
    gate.open();
    in_time("an acknowledgement", waiter).await.unwrap();
    eventually("news of the high watermark without data", || {
        second.high_watermark(0) == 10 && third.high_watermark(0) == 10
    })
    .await;
    for broker in [first, second, third] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn a_follower_that_was_down_catches_up_and_joins_again() {
    let cluster = Cluster::new();
    let config = ReplicationConfig {
        replica_lag_time_max: Duration::from_millis(500),
        ..ReplicationConfig::default()
    };
    let setup = || Setup { config: config.clone(), ..Setup::default() };
    let first = cluster.start(1, setup()).await;
    let second = cluster.start(2, setup()).await;
    let third = cluster.start(3, setup()).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    in_time(
        "an acknowledgement",
        first.partition(0).produce(&mut batch(5, 100), &options(Acks::All)),
    )
    .await
    .unwrap();
    cluster.stop(third).await;
    let waiter = first.partition(0).produce(&mut batch(5, 100), &options(Acks::All));
    in_time("an acknowledgement without the third", waiter).await.unwrap();
    assert_eq!(cluster.metadata(0).isr, [BrokerId(1), BrokerId(2)].into());
    let third = cluster.start(3, setup()).await;
    eventually("the third joins", || cluster.metadata(0).isr.len() == 3).await;
    assert_eq!(third.log_end(0), 10);
    for broker in [first, second, third] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn a_deposed_leader_cuts_what_was_never_committed() {
    let cluster = Cluster::new();
    let [first, second, third] = three(&cluster).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    in_time(
        "an acknowledgement",
        first.partition(0).produce(&mut batch(5, 100), &options(Acks::All)),
    )
    .await
    .unwrap();
    eventually("replication", || second.high_watermark(0) == 5 && third.high_watermark(0) == 5)
        .await;
    cluster.stop(second).await;
    cluster.stop(third).await;
    // The ISR stays as it is, so this reaches nobody and is never committed.
    let waiter = first.partition(0).produce(&mut batch(7, 100), &options(Acks::Leader));
    in_time("an acknowledgement by the leader alone", waiter).await.unwrap();
    assert_eq!((first.log_end(0), first.high_watermark(0)), (12, 5));
    cluster.stop(first).await;
    cluster.elect(0, 2, &[2, 3]);
    let second = cluster.start(2, Setup::default()).await;
    let third = cluster.start(3, Setup::default()).await;
    let waiter = second.partition(0).produce(&mut batch(2, 50), &options(Acks::All));
    assert_eq!(in_time("an acknowledgement", waiter).await.unwrap().base_offset, Offset(5));
    let first = cluster.start(1, Setup::default()).await;
    eventually("the old leader joins", || cluster.metadata(0).isr.len() == 3).await;
    assert_eq!(first.log_end(0), 7);
    let path = |id| cluster.data_dir(id).join("topic-0/00000000000000000000.log");
    let logs = [1, 2, 3].map(|id| std::fs::read(path(id)).unwrap());
    assert!(logs[0] == logs[1] && logs[1] == logs[2], "the logs are the same, byte for byte");
    for broker in [first, second, third] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn an_election_moves_the_streams_and_the_old_leader_refuses() {
    let cluster = Cluster::new();
    let [first, second, third] = three(&cluster).await;
    for partition in 0..8 {
        cluster.create(partition, &[&first, &second, &third], 2).await;
    }
    for round in 0..3 {
        let leaders = [&first, &second, &third];
        let leader = leaders[round % 3];
        for partition in 0..8 {
            let waiter =
                leader.partition(partition).produce(&mut batch(2, 50), &options(Acks::All));
            in_time("an acknowledgement", waiter).await.unwrap();
            let next = leaders[(round + 1) % 3];
            cluster.elect(partition, next.id.0, &[1, 2, 3]);
            let refused =
                leader.partition(partition).produce(&mut batch(2, 50), &options(Acks::All));
            let error = in_time("a refusal", refused).await.unwrap_err();
            let hint = match error {
                ProduceError::NotServed(NotServed::NotLeader(hint)) => hint,
                other => panic!("{other:?}"),
            };
            assert_eq!(hint.leader, Some(next.id));
        }
    }
    assert_eq!(first.partition(0).role(), ReplicaRole::Leader(LeaderEpoch(3)));
    for broker in [first, second, third] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn a_position_that_is_ahead_of_the_leaders_image_is_not_lost() {
    let cluster = Cluster::new();
    // So long a lag time that no keep-alive repeats the position.
    let config = ReplicationConfig {
        replica_lag_time_max: Duration::from_secs(36_000),
        ..ReplicationConfig::default()
    };
    let first = cluster.start(1, Setup { config: config.clone(), ..Setup::default() }).await;
    let second = cluster.start(2, Setup { config, ..Setup::default() }).await;
    // The follower hears of the partition and opens its position before the leader has heard of it.
    cluster.create(0, &[&second, &first], 1).await;
    cluster.hold_back(1);
    cluster.create(1, &[&first, &second], 1).await;
    eventually("the follower", || {
        matches!(second.partition(1).role(), ReplicaRole::Follower(BrokerId(1), _))
    })
    .await;
    cluster.release(1);
    in_time("creation", first.replicas.settled()).await;
    let waiter = first.partition(1).produce(&mut batch(2, 50), &options(Acks::All));
    in_time("an acknowledgement", waiter).await.unwrap();

    // Likewise when the leader has the partition, but has not heard of its own election yet.
    let waiter = second.partition(0).produce(&mut batch(2, 50), &options(Acks::All));
    in_time("an acknowledgement", waiter).await.unwrap();
    cluster.hold_back(1);
    cluster.elect(0, 1, &[1, 2]);
    eventually("the follower's position", || {
        second.partition(0).role() == ReplicaRole::Follower(BrokerId(1), LeaderEpoch(1))
    })
    .await;
    // A round over the same stream: the position was read before it.
    let waiter = first.partition(1).produce(&mut batch(2, 50), &options(Acks::All));
    in_time("an acknowledgement", waiter).await.unwrap();
    cluster.release(1);
    let waiter = first.partition(0).produce(&mut batch(2, 50), &options(Acks::All));
    in_time("an acknowledgement", waiter).await.unwrap();
    for broker in [first, second] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn a_position_goes_to_the_leader_that_it_is_for() {
    let cluster = Cluster::new();
    // So long a lag time that no keep-alive repeats the position.
    let config = ReplicationConfig {
        replica_lag_time_max: Duration::from_secs(36_000),
        ..ReplicationConfig::default()
    };
    let setup = || Setup { config: config.clone(), ..Setup::default() };
    let first = cluster.start(1, setup()).await;
    let second = cluster.start(2, setup()).await;
    let third = cluster.start(3, setup()).await;
    cluster.create(0, &[&second, &first, &third], 1).await;
    cluster.create(1, &[&third, &first, &second], 1).await;
    for (leader, partition) in [(&second, 0), (&third, 1)] {
        let waiter = leader.partition(partition).produce(&mut batch(2, 50), &options(Acks::All));
        in_time("an acknowledgement", waiter).await.unwrap();
    }
    // Two elections before any stream has a turn: when the stream to the first leader gets one, the position is for the second.
    cluster.elect(0, 2, &[1, 2, 3]);
    cluster.elect(0, 3, &[1, 2, 3]);
    let waiter = third.partition(0).produce(&mut batch(2, 50), &options(Acks::All));
    in_time("an acknowledgement", waiter).await.unwrap();
    for broker in [first, second, third] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn a_follower_of_another_cluster_gets_nothing() {
    let cluster = Cluster::new();
    let first = cluster.start(1, Setup::default()).await;
    let cluster_id = "BBBBBBBBBBBBBBBBBBBBBA".to_owned();
    let second = cluster.start(2, Setup { cluster_id, ..Setup::default() }).await;
    let third = cluster.start(3, Setup::default()).await;
    cluster.create(0, &[&first, &second, &third], 1).await;
    cluster.set_deaf(true);
    let waiter = first.partition(0).produce(&mut batch(2, 50), &options(Acks::Leader));
    in_time("an acknowledgement", waiter).await.unwrap();
    eventually("replication to the follower of the same cluster", || third.log_end(0) == 2).await;
    assert_eq!(second.log_end(0), 0);
    assert_eq!(first.high_watermark(0), 0);
    for broker in [first, second, third] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn records_deleted_at_the_leader_go_at_the_followers_too() {
    let cluster = Cluster::new();
    let first = cluster.start(1, Setup::default()).await;
    let second = cluster.start(2, Setup::default()).await;
    cluster.create(0, &[&first, &second], 1).await;
    in_time(
        "an acknowledgement",
        first.partition(0).produce(&mut batch(9, 50), &options(Acks::All)),
    )
    .await
    .unwrap();
    let deleted = first.partition(0).delete_records(Some(Offset(4)), DEADLINE).await;
    assert_eq!(deleted, Ok(Offset(4)));
    assert_eq!(second.partition(0).status().log_start_offset, Offset(4));
    assert!(first.partition(0).read(&read_from(3, 100)).is_err());
    for broker in [first, second] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn a_leader_with_damaged_bytes_steps_down_and_fetches_them_again() {
    let cluster = Cluster::new();
    let [first, second, third] = three(&cluster).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    // More batches than a log remembers the places of, so that the read looks through what it finds.
    for _ in 0..300 {
        let waiter = first.partition(0).produce(&mut batch(2, 50), &options(Acks::None));
        in_time("an append", waiter).await.unwrap();
    }
    eventually("the commit", || first.high_watermark(0) == 600).await;
    let path = |id| cluster.data_dir(id).join("topic-0/00000000000000000000.log");
    damage(&path(1), 1, 300);
    let partition = first.partition(0);
    let readable = partition.read(&read_from(2, 1 << 20)).unwrap();
    assert_eq!(partition.records(readable).await, Err(FetchError::Corrupt));
    eventually("the step down", || cluster.metadata(0).leader == Some(BrokerId(2))).await;
    eventually("the return to the ISR", || cluster.metadata(0).isr.len() == 3).await;
    assert!(std::fs::read(path(1)).unwrap() == std::fs::read(path(2)).unwrap());
    eventually("the end of the lost mark", || {
        !cluster.data_dir(1).join("topic-0/replica-lost").exists()
    })
    .await;
    for broker in [first, second, third] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn damage_that_a_start_finds_is_named_and_fetched_again() {
    let cluster = Cluster::new();
    let [first, second, third] = three(&cluster).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    for _ in 0..3 {
        let waiter = first.partition(0).produce(&mut batch(2, 50), &options(Acks::All));
        in_time("an acknowledgement", waiter).await.unwrap();
    }
    cluster.stop(first).await;
    let path = |id| cluster.data_dir(id).join("topic-0/00000000000000000000.log");
    damage(&path(1), 1, 3);
    let first = cluster.start(1, Setup::default()).await;
    assert!(first.proof.lost.contains(&partition_id(0)));
    assert_eq!(cluster.metadata(0).leader, Some(BrokerId(2)));
    eventually("the return to the ISR", || cluster.metadata(0).isr.len() == 3).await;
    assert!(std::fs::read(path(1)).unwrap() == std::fs::read(path(2)).unwrap());
    for broker in [first, second, third] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn damage_that_the_run_before_gave_itself_up_for_is_cut_although_the_start_does_not_find_it()
{
    let cluster = Cluster::new();
    let [first, second, third] = three(&cluster).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    // Enough that the walk of the start, which begins at the last entry of the index, does not meet the damage.
    for _ in 0..300 {
        let waiter = first.partition(0).produce(&mut batch(2, 50), &options(Acks::None));
        in_time("an append", waiter).await.unwrap();
    }
    eventually("the commit", || first.high_watermark(0) == 600).await;
    cluster.stop(first).await;
    let path = |id| cluster.data_dir(id).join("topic-0/00000000000000000000.log");
    damage(&path(1), 1, 300);
    // The mark was written, and the process died before anybody heard.
    let mark = cluster.data_dir(1).join("topic-0/replica-lost");
    std::fs::write(&mark, "version: 0\ndamaged_from: 2\n").unwrap();
    let first = cluster.start(1, Setup::default()).await;
    assert!(first.proof.lost.contains(&partition_id(0)));
    eventually("the return to the ISR", || cluster.metadata(0).isr.len() == 3).await;
    assert!(std::fs::read(path(1)).unwrap() == std::fs::read(path(2)).unwrap());
    assert!(!mark.exists());
    for broker in [first, second, third] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn a_damaged_replica_is_left_as_it_is_while_no_other_leads() {
    let cluster = Cluster::new();
    let first = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&first], 1).await;
    for _ in 0..3 {
        let waiter = first.partition(0).produce(&mut batch(2, 50), &options(Acks::All));
        in_time("an acknowledgement", waiter).await.unwrap();
    }
    cluster.stop(first).await;
    let path = cluster.data_dir(1).join("topic-0/00000000000000000000.log");
    damage(&path, 1, 3);
    let found = std::fs::read(&path).unwrap();
    let first = cluster.start(1, Setup::default()).await;
    assert!(first.proof.lost.contains(&partition_id(0)));
    assert_eq!(cluster.metadata(0).leader, None);
    cluster.stop(first).await;
    assert!(std::fs::read(&path).unwrap() == found, "what lies behind the damage is still there");
}

/// Damages one of a number of batches of one size.
fn damage(path: &Path, index: usize, count: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    let start = bytes.len() / count * index;
    bytes[start + MAGIC_POSITION] = 77;
    std::fs::write(path, &bytes).unwrap();
}

#[tokio::test]
async fn a_leader_whose_bytes_a_follower_refuses_looks_at_them_itself() {
    let cluster = Cluster::new();
    let config = ReplicationConfig {
        replica_lag_time_max: Duration::from_millis(500),
        ..ReplicationConfig::default()
    };
    let setup = || Setup { config: config.clone(), ..Setup::default() };
    let first = cluster.start(1, setup()).await;
    let second = cluster.start(2, setup()).await;
    let third = cluster.start(3, setup()).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    cluster.stop(third).await;
    let waiter = first.partition(0).produce(&mut batch(2, 50), &options(Acks::All));
    in_time("an acknowledgement", waiter).await.unwrap();
    let path = |id| cluster.data_dir(id).join("topic-0/00000000000000000000.log");
    let mut bytes = std::fs::read(path(1)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path(1), &bytes).unwrap();
    let third = cluster.start(3, setup()).await;
    eventually("the step down", || cluster.metadata(0).leader == Some(BrokerId(2))).await;
    eventually("all in sync", || cluster.metadata(0).isr.len() == 3).await;
    for id in [1, 3] {
        assert!(std::fs::read(path(id)).unwrap() == std::fs::read(path(2)).unwrap());
    }
    for broker in [first, second, third] {
        cluster.stop(broker).await;
    }
}

#[tokio::test]
async fn a_leader_whose_disk_is_full_gives_way() {
    let cluster = Cluster::new();
    let gate = Arc::new(Gate::default());
    let fs = Arc::new(GatedFileSystem::new(&gate));
    let first = cluster.start(1, Setup { fs, ..Setup::default() }).await;
    let second = cluster.start(2, Setup::default()).await;
    cluster.create(0, &[&first, &second], 1).await;
    in_time(
        "an acknowledgement",
        first.partition(0).produce(&mut batch(1, 50), &options(Acks::All)),
    )
    .await
    .unwrap();
    gate.fill();
    let refused = first.partition(0).produce(&mut batch(1, 50), &options(Acks::All));
    let error = in_time("a refusal", refused).await.unwrap_err();
    assert!(matches!(error, ProduceError::Refused(AppendError::OutOfSpace(_))), "{error:?}");
    eventually("the election of another", || cluster.metadata(0).leader == Some(BrokerId(2))).await;
    let produced = second.partition(0).produce(&mut batch(1, 50), &options(Acks::Leader));
    assert_eq!(in_time("an acknowledgement", produced).await.unwrap().base_offset, Offset(1));
    // The full disk is closed without its checkpoints: nothing more can be written there.
    cluster.stop(second).await;
    drop(first);
}

/// Producers write while leaderships move and brokers restart; whatever was acknowledged is there at the end, once, at its offset, on each replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_elections_and_restarts() {
    let cluster = Cluster::new();
    let mut brokers: Vec<Option<Broker>> = three(&cluster).await.map(Some).into();
    let all: Vec<_> = brokers.iter().flatten().collect();
    cluster.create(0, &all, 2).await;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let acknowledged: Arc<Mutex<BTreeMap<i64, u64>>> = Arc::default();
    for producer in 0..3_u64 {
        let (cluster, stop) = (cluster.clone(), stop.clone());
        let acknowledged = Arc::clone(&acknowledged);
        tasks.spawn(async move {
            for count in 0_u64.. {
                if stop.is_cancelled() {
                    return;
                }
                let number = producer << 32 | count;
                let Some(partition) = cluster.leader(0) else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let waiter = partition.produce(&mut numbered(number), &options(Acks::All));
                if let Ok(produced) = in_time("an answer", waiter).await {
                    let before =
                        acknowledged.lock().unwrap().insert(produced.base_offset.0, number);
                    assert_eq!(before, None, "an offset is acknowledged once");
                }
            }
        });
    }
    let mut random = StdRng::seed_from_u64(7);
    for round in 0..30 {
        let goal = acknowledged.lock().unwrap().len() + 20;
        eventually("progress", || acknowledged.lock().unwrap().len() >= goal).await;
        let isr: Vec<_> = cluster.metadata(0).isr.into_iter().collect();
        let leader = isr[random.random_range(0..isr.len())];
        let members: Vec<_> = isr.iter().map(|member| member.0).collect();
        cluster.elect(0, leader.0, &members);
        if round % 3 == 2 && isr.len() == 3 {
            let index = random.random_range(0..3_usize);
            let id = i32::try_from(index).unwrap() + 1;
            let others: Vec<_> = [1, 2, 3].into_iter().filter(|other| *other != id).collect();
            cluster.elect(0, others[0], &others);
            cluster.stop(brokers[index].take().unwrap()).await;
            brokers[index] = Some(cluster.start(id, Setup::default()).await);
        }
    }
    stop.cancel();
    tasks.close();
    in_time("the producers' end", tasks.wait()).await;
    eventually("all in sync", || cluster.metadata(0).isr.len() == 3).await;
    let path = |id| cluster.data_dir(id).join("topic-0/00000000000000000000.log");
    eventually("the same log everywhere", || {
        let logs = [1, 2, 3].map(|id| std::fs::read(path(id)).unwrap());
        logs[0] == logs[1] && logs[1] == logs[2]
    })
    .await;
    let log = std::fs::read(path(1)).unwrap();
    let found: BTreeMap<i64, u64> = Batches::whole(&log)
        .map(|batch| {
            let batch = batch.unwrap();
            let value = batch.bytes[batch.bytes.len() - 9..batch.bytes.len() - 1].try_into();
            (batch.header.base_offset.0, u64::from_be_bytes(value.unwrap()))
        })
        .collect();
    for (offset, number) in acknowledged.lock().unwrap().iter() {
        assert_eq!(found.get(offset), Some(number), "at offset {offset}");
    }
    for broker in brokers.into_iter().flatten() {
        cluster.stop(broker).await;
    }
}

/// Where a batch's format stands.
const MAGIC_POSITION: usize = 16;
