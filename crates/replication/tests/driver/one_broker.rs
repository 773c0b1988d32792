//! One broker, one replica: produce, read, long polls, offsets, restart.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use log_storage::{FileSystem as _, LogConfig, SimulatedDisk};
use model::record_batch::Batches;
use model::{Acks, LeaderEpoch, Offset, UnixMillis};
use replication::{
    FetchError, FetchWaiter, Isolation, NotServed, OffsetQuery, ProduceError, ReplicationConfig,
};

use crate::gate::gated;
use crate::support::{
    self, Broker, Cluster, Setup, batch, batch_at, eventually, in_time, options, read_from,
};

#[tokio::test]
async fn what_is_acknowledged_can_be_read_with_each_kind_of_acks() {
    let cluster = Cluster::new();
    let broker = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&broker], 1).await;
    let partition = broker.partition(0);
    for (index, acks) in [Acks::None, Acks::Leader, Acks::All].into_iter().enumerate() {
        let produced = broker.acknowledged(0, batch(3, 10), acks).await;
        assert_eq!(produced.base_offset, Offset(i64::try_from(index * 3).unwrap()));
        assert_eq!(produced.end_offset, produced.base_offset + 3);
    }
    assert_eq!(partition.status().high_watermark, Offset(9));
    let readable = partition.read(&read_from(0, 1 << 20)).unwrap();
    let bytes = partition.records(readable).await.unwrap();
    let offsets: Vec<_> =
        Batches::whole(&bytes).map(|batch| batch.unwrap().header.base_offset.0).collect();
    assert_eq!(offsets, [0, 3, 6]);
    let epochs: Vec<_> =
        Batches::whole(&bytes).map(|batch| batch.unwrap().header.leader_epoch).collect();
    assert_eq!(epochs, [Some(LeaderEpoch(0)); 3]);
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_restart_keeps_what_was_acknowledged_and_sets_strays_aside() {
    let cluster = Cluster::new();
    let broker = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&broker], 1).await;
    cluster.create(1, &[&broker], 1).await;
    for partition in [0, 1] {
        broker.acknowledged(partition, batch(3, 10), Acks::All).await;
    }
    cluster.stop(broker).await;
    cluster.change(0, |metadata| metadata.leader_epoch = metadata.leader_epoch.next());
    // Nobody tells a broker that is down of a deletion: it finds a directory that no topic has.
    cluster.remove(1);

    let broker = cluster.start(1, Setup::default()).await;
    assert!(broker.proof.lost.is_empty());
    assert_eq!(broker.proof.present.len(), 2);
    assert_eq!(broker.high_watermark(0), 3);
    assert!(broker.replicas.get(&support::partition_id(1)).is_none());
    assert!(cluster.data_dir(1).join("topic-1-stray").is_dir());
    let produced = broker.acknowledged(0, batch(1, 10), Acks::All).await;
    assert_eq!(produced.base_offset, Offset(3));
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_directory_that_went_missing_is_named_as_lost() {
    let cluster = Cluster::new();
    let broker = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&broker], 1).await;
    broker.acknowledged(0, batch(3, 10), Acks::All).await;
    cluster.stop(broker).await;
    std::fs::remove_dir_all(cluster.data_dir(1).join("topic-0")).unwrap();
    let broker = cluster.start(1, Setup::default()).await;
    assert!(broker.proof.lost.contains(&support::partition_id(0)));
    assert_eq!(broker.log_end(0), 0);
    assert_eq!(cluster.metadata(0).leader, None);
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_long_poll_ends_when_enough_is_committed_over_all_its_partitions() {
    let cluster = Cluster::new();
    let broker = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&broker], 1).await;
    cluster.create(1, &[&broker], 1).await;
    let (first, second) = (batch(3, 10), batch(4, 100));
    let waiter = FetchWaiter::new(first.len() + second.len());
    for partition in [0, 1] {
        let partition = broker.partition(partition);
        let readable = partition.read(&read_from(0, 1 << 20)).unwrap();
        assert!(readable.is_empty());
        partition.watch(&waiter, readable.position());
    }
    broker.acknowledged(0, first, Acks::All).await;
    assert!(!waiter.is_done());
    broker.acknowledged(1, second, Acks::All).await;
    in_time("the end of the poll", waiter.done()).await;
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_long_poll_counts_what_was_committed_between_its_read_and_its_watch() {
    let cluster = Cluster::new();
    let broker = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&broker], 1).await;
    let partition = broker.partition(0);
    let readable = partition.read(&read_from(0, 1 << 20)).unwrap();
    broker.acknowledged(0, batch(1, 1), Acks::All).await;
    let waiter = FetchWaiter::new(1);
    partition.watch(&waiter, readable.position());
    in_time("the end of the poll", waiter.done()).await;
    cluster.stop(broker).await;
}

#[tokio::test]
async fn loss_of_the_leadership_ends_polls_and_fails_producers() {
    let cluster = Cluster::new();
    let (gate, setup) = gated();
    let broker = cluster.start(1, setup).await;
    cluster.create(0, &[&broker], 1).await;
    let partition = broker.partition(0);
    let poll = FetchWaiter::new(1);
    let readable = partition.read(&read_from(0, 1 << 20)).unwrap();
    partition.watch(&poll, readable.position());
    gate.close();
    let produced = partition.produce(&mut batch(1, 1), &options(Acks::All));
    cluster.change(0, |metadata| {
        metadata.leader = None;
        metadata.leader_epoch = metadata.leader_epoch.next();
    });
    let error = in_time("the end of the produce", produced).await.unwrap_err();
    assert!(
        matches!(error, ProduceError::LeadershipLost(hint) if hint.leader_epoch == LeaderEpoch(1)),
        "{error:?}"
    );
    in_time("the end of the poll", poll.done()).await;
    let error = partition.read(&read_from(0, 1 << 20)).unwrap_err();
    assert!(matches!(error, FetchError::NotServed(NotServed::NotLeader(_))), "{error:?}");
    let refused = broker.refused(0, batch(1, 1), Acks::None).await;
    assert!(matches!(refused, ProduceError::NotServed(NotServed::NotLeader(_))));
    gate.open();
    cluster.stop(broker).await;
}

#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_flushed() {
    let cluster = Cluster::new();
    let (gate, setup) = gated();
    let broker = cluster.start(1, setup).await;
    cluster.create(0, &[&broker], 1).await;
    let partition = broker.partition(0);
    gate.close();
    let mut all = pin!(partition.produce(&mut batch(2, 10), &options(Acks::All)));
    let mut leader = pin!(partition.produce(&mut batch(2, 10), &options(Acks::Leader)));
    let none = partition.produce(&mut batch(2, 10), &options(Acks::None));
    in_time("acks=0", none).await.unwrap();
    eventually("a flush that hangs", || gate.waiting() > 0).await;
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(all.as_mut().poll(&mut context), Poll::Pending));
    assert!(matches!(leader.as_mut().poll(&mut context), Poll::Pending));
    let status = partition.status();
    assert_eq!(
        (status.log_end_offset, status.flushed_offset, status.high_watermark),
        (Offset(6), Offset(0), Offset(0))
    );
    assert!(
        partition.read(&read_from(0, 1 << 20)).unwrap().is_empty(),
        "a consumer sees what is committed alone"
    );
    gate.open();
    in_time("acks=all", all).await.unwrap();
    in_time("acks=1", leader).await.unwrap();
    eventually("the flush of the last batch", || partition.status().high_watermark == Offset(6))
        .await;
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_produce_that_is_not_committed_in_time_times_out() {
    let cluster = Cluster::new();
    let (gate, setup) = gated();
    let broker = cluster.start(1, setup).await;
    cluster.create(0, &[&broker], 1).await;
    gate.close();
    let mut options = options(Acks::All);
    options.timeout = Duration::from_millis(30);
    let waiter = broker.partition(0).produce(&mut batch(2, 10), &options);
    let error = in_time("the timeout", waiter).await.unwrap_err();
    assert!(matches!(error, ProduceError::TimedOut), "{error:?}");
    gate.open();
    cluster.stop(broker).await;
}

#[tokio::test]
async fn offsets_are_found_by_position_and_by_time() {
    let cluster = Cluster::new();
    let broker = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&broker], 1).await;
    let partition = broker.partition(0);
    for timestamp in [1_000, 2_000, 3_000] {
        broker.acknowledged(0, batch_at(5, 10, timestamp), Acks::All).await;
    }
    let ask = async |query| {
        let answer = partition.list_offset(query, Isolation::ReadUncommitted, None);
        in_time("an offset", answer).await.unwrap()
    };
    assert_eq!(ask(OffsetQuery::Earliest).await.unwrap().offset, Offset(0));
    assert_eq!(ask(OffsetQuery::Latest).await.unwrap().offset, Offset(15));
    let found = ask(OffsetQuery::AtLeast(UnixMillis(2_002))).await.unwrap();
    assert_eq!((found.offset, found.timestamp), (Offset(7), Some(UnixMillis(2_002))));
    assert_eq!(ask(OffsetQuery::AtLeast(UnixMillis(9_000))).await, None);
    assert_eq!(ask(OffsetQuery::MaxTimestamp).await.unwrap().offset, Offset(14));
    assert_eq!(partition.delete_records(Some(Offset(6)), support::DEADLINE).await, Ok(Offset(6)));
    assert_eq!(ask(OffsetQuery::Earliest).await.unwrap().offset, Offset(6));
    let end = partition.end_offset_for_leader_epoch(LeaderEpoch(0), None).unwrap();
    assert_eq!(end, Some((LeaderEpoch(0), Offset(15))));
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_partition_that_is_deleted_leaves_nothing() {
    let cluster = Cluster::new();
    let broker = cluster.start(1, Setup::default()).await;
    cluster.create(0, &[&broker], 1).await;
    broker.acknowledged(0, batch(1, 1), Acks::All).await;
    cluster.remove(0);
    assert!(broker.replicas.get(&support::partition_id(0)).is_none());
    let path = cluster.data_dir(1);
    eventually("the deletion", || {
        !std::fs::read_dir(&path)
            .unwrap()
            .any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("topic-0"))
    })
    .await;
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_topic_that_is_deleted_and_created_again_at_once_begins_anew() {
    let cluster = Cluster::new();
    let broker = cluster.start(1, Setup::default()).await;
    for round in 0..20 {
        let number = round * 2_000;
        // Sometimes a topic is deleted before its replica is there.
        if round % 2 == 0 {
            cluster.begin_to_create(number + 1_000, &[&broker], 1);
            cluster.remove(number + 1_000);
        }
        cluster.create(number, &[&broker], 1).await;
        let produced = broker.acknowledged(number, batch(1, 1), Acks::All).await;
        assert_eq!(produced.base_offset, Offset(0), "round {round}");
        cluster.remove(number);
    }
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_topic_that_leaves_flushing_to_the_page_cache_acknowledges_at_once() {
    let cluster = Cluster::new();
    cluster.set_config(LogConfig { flush_messages: u64::MAX, ..LogConfig::default() });
    let (gate, setup) = gated();
    let broker = cluster.start(1, setup).await;
    cluster.create(0, &[&broker], 1).await;
    cluster.change(0, |metadata| {
        metadata.flush_policy = replication::partition::FlushPolicy::Deferred
    });
    gate.close();
    broker.acknowledged(0, batch(2, 10), Acks::All).await;
    gate.open();
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_close_waits_for_the_checkpoint_that_is_under_way_and_flushes_what_it_left_out() {
    let cluster = Cluster::new();
    cluster.set_config(LogConfig { flush_messages: u64::MAX, ..LogConfig::default() });
    let (gate, setup) = gated();
    let config = ReplicationConfig {
        flush_checkpoint_interval: Duration::from_millis(5),
        high_watermark_checkpoint_interval: Duration::from_secs(3_600),
        ..ReplicationConfig::default()
    };
    let setup = Setup { config, ..setup };
    let broker = cluster.start(1, setup).await;
    cluster.create(0, &[&broker], 1).await;
    let partition = broker.partition(0);
    broker.acknowledged(0, batch(1, 1), Acks::None).await;
    eventually("the first flush", || partition.status().flushed_offset == Offset(1)).await;
    gate.close();
    broker.acknowledged(0, batch(1, 1), Acks::None).await;
    eventually("a checkpoint that hangs", || gate.waiting() > 0).await;
    broker.acknowledged(0, batch(1, 1), Acks::None).await;

    let replicas = Arc::clone(&broker.replicas);
    let closing = tokio::task::spawn_blocking(move || replicas.close());
    let goes_on = eventually("a write beside the checkpoint", || gate.waiting() > 1);
    let goes_on = tokio::time::timeout(Duration::from_millis(200), goes_on).await.is_ok();
    gate.open();
    in_time("the close", closing).await.unwrap().unwrap();
    assert!(!goes_on);
    assert_eq!(partition.status().flushed_offset, Offset(3));
    cluster.stop(broker).await;
}

/// Starts broker 1 on a disk that has no room.
async fn start_on_full_disk(cluster: &Cluster) -> (SimulatedDisk, Broker) {
    let disk = SimulatedDisk::new(1);
    let config = ReplicationConfig {
        high_watermark_checkpoint_interval: Duration::from_secs(3_600),
        flush_checkpoint_interval: Duration::from_secs(3_600),
        ..ReplicationConfig::default()
    };
    let setup = Setup { fs: Arc::new(disk.clone()), config, ..Setup::default() };
    let broker = cluster.start(1, setup).await;
    disk.set_total_bytes(0);
    (disk, broker)
}

#[tokio::test]
async fn a_replica_that_finds_no_room_is_created_once_there_is_room() {
    let cluster = Cluster::new();
    let (disk, broker) = start_on_full_disk(&cluster).await;
    // Nothing waits for it: a broker with a full disk starts and serves what it has.
    cluster.create(0, &[&broker], 1).await;
    let id = support::partition_id(0);
    assert!(broker.replicas.is_without_room(&id));
    assert!(broker.replicas.get(&id).is_none());
    disk.set_total_bytes(1 << 40);
    in_time("the replica", broker.replicas.made(&id)).await;
    assert!(!broker.replicas.is_without_room(&id));
    broker.acknowledged(0, batch(1, 10), Acks::All).await;
    let entries = disk.list(&cluster.data_dir(1)).unwrap();
    assert!(!entries.iter().any(|entry| entry.name.ends_with("-stray")), "{entries:?}");
    cluster.stop(broker).await;
}

#[tokio::test]
async fn a_topic_that_is_deleted_before_there_was_room_for_it_gives_its_name_away() {
    let cluster = Cluster::new();
    let (disk, broker) = start_on_full_disk(&cluster).await;
    cluster.create(0, &[&broker], 1).await;
    cluster.remove(0);
    let (old, new) = (support::partition_id(0), support::partition_id(1_000));
    assert!(!broker.replicas.is_without_room(&old));
    cluster.begin_to_create(1_000, &[&broker], 1);
    eventually("the attempt to create its successor", || broker.replicas.is_without_room(&new))
        .await;
    disk.set_total_bytes(1 << 40);
    in_time("the successor", broker.replicas.made(&new)).await;
    assert!(broker.replicas.get(&old).is_none());
    cluster.stop(broker).await;
}
