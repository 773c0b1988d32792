//! Two and three brokers: followers, acks=all, restarts, elections, streams.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use log_storage::AppendError;
use model::record_batch::Batches;
use model::{Acks, BrokerId, LeaderEpoch, Offset};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use replication::partition::{Fencing, ReplicaRole};
use replication::{NotServed, ProduceError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gate::gated;
use crate::support::{
    Broker, Cluster, DEADLINE, Setup, batch, eventually, in_time, numbered, options, read_from,
};

#[tokio::test]
async fn acks_all_is_answered_when_all_in_sync_replicas_have_flushed() {
    let cluster = Cluster::new();
    let (gate, gated) = gated();
    let first = cluster.start(1, Setup::default()).await;
    let second = cluster.start(2, Setup::default()).await;
    let third = cluster.start(3, gated).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    first.acknowledged(0, batch(5, 100), Acks::All).await;
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
    cluster.stop_all([first, second, third]).await;
}

#[tokio::test]
async fn a_follower_that_was_down_catches_up_and_joins_again() {
    let cluster = Cluster::new();
    let setup = || Setup::with_lag(Duration::from_millis(500));
    let [first, second, third] = cluster.start_three(setup).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    first.acknowledged(0, batch(5, 100), Acks::All).await;
    cluster.stop(third).await;
    first.acknowledged(0, batch(5, 100), Acks::All).await;
    assert_eq!(cluster.metadata(0).isr, [BrokerId(1), BrokerId(2)].into());
    let third = cluster.start(3, setup()).await;
    eventually("the third joins", || cluster.metadata(0).isr.len() == 3).await;
    assert_eq!(third.log_end(0), 10);
    cluster.stop_all([first, second, third]).await;
}

#[tokio::test]
async fn a_deposed_leader_cuts_what_was_never_committed() {
    let cluster = Cluster::new();
    let [first, second, third] = cluster.start_three(Setup::default).await;
    cluster.create(0, &[&first, &second, &third], 2).await;
    first.acknowledged(0, batch(5, 100), Acks::All).await;
    eventually("replication", || second.high_watermark(0) == 5 && third.high_watermark(0) == 5)
        .await;
    cluster.stop(second).await;
    cluster.stop(third).await;
    // The ISR stays as it is, so this reaches nobody and is never committed.
    first.acknowledged(0, batch(7, 100), Acks::Leader).await;
    assert_eq!((first.log_end(0), first.high_watermark(0)), (12, 5));
    cluster.stop(first).await;
    cluster.elect(0, 2, &[2, 3]);
    let second = cluster.start(2, Setup::default()).await;
    let third = cluster.start(3, Setup::default()).await;
    let produced = second.acknowledged(0, batch(2, 50), Acks::All).await;
    assert_eq!(produced.base_offset, Offset(5));
    let first = cluster.start(1, Setup::default()).await;
    eventually("the old leader joins", || cluster.metadata(0).isr.len() == 3).await;
    assert_eq!(first.log_end(0), 7);
    assert!(cluster.have_same_log(&[1, 2, 3]), "the logs are the same, byte for byte");
    cluster.stop_all([first, second, third]).await;
}

#[tokio::test]
async fn an_election_moves_the_streams_and_the_old_leader_refuses() {
    let cluster = Cluster::new();
    let [first, second, third] = cluster.start_three(Setup::default).await;
    for partition in 0..8 {
        cluster.create(partition, &[&first, &second, &third], 2).await;
    }
    for round in 0..3 {
        let leaders = [&first, &second, &third];
        let leader = leaders[round % 3];
        for partition in 0..8 {
            leader.acknowledged(partition, batch(2, 50), Acks::All).await;
            let next = leaders[(round + 1) % 3];
            cluster.elect(partition, next.id.0, &[1, 2, 3]);
            let hint = match leader.refused(partition, batch(2, 50), Acks::All).await {
                ProduceError::NotServed(NotServed::NotLeader(hint)) => hint,
                other => panic!("{other:?}"),
            };
            assert_eq!(hint.leader, Some(next.id));
        }
    }
    assert_eq!(first.partition(0).role(), ReplicaRole::Leader(LeaderEpoch(3)));
    cluster.stop_all([first, second, third]).await;
}

#[tokio::test]
async fn a_position_that_is_ahead_of_the_leaders_image_is_not_lost() {
    let cluster = Cluster::new();
    // So long a lag time that no keep-alive repeats the position.
    let first = cluster.start(1, Setup::with_lag(Duration::from_secs(36_000))).await;
    let second = cluster.start(2, Setup::with_lag(Duration::from_secs(36_000))).await;
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
    first.acknowledged(1, batch(2, 50), Acks::All).await;

    // Likewise when the leader has the partition, but has not heard of its own election yet.
    second.acknowledged(0, batch(2, 50), Acks::All).await;
    cluster.hold_back(1);
    cluster.elect(0, 1, &[1, 2]);
    eventually("the follower's position", || {
        second.partition(0).role() == ReplicaRole::Follower(BrokerId(1), LeaderEpoch(1))
    })
    .await;
    // A round over the same stream: the position was read before it.
    first.acknowledged(1, batch(2, 50), Acks::All).await;
    cluster.release(1);
    first.acknowledged(0, batch(2, 50), Acks::All).await;
    cluster.stop_all([first, second]).await;
}

#[tokio::test]
async fn a_position_goes_to_the_leader_that_it_is_for() {
    let cluster = Cluster::new();
    // So long a lag time that no keep-alive repeats the position.
    let setup = || Setup::with_lag(Duration::from_secs(36_000));
    let [first, second, third] = cluster.start_three(setup).await;
    cluster.create(0, &[&second, &first, &third], 1).await;
    cluster.create(1, &[&third, &first, &second], 1).await;
    for (leader, partition) in [(&second, 0), (&third, 1)] {
        leader.acknowledged(partition, batch(2, 50), Acks::All).await;
    }
    // Two elections before any stream has a turn: when the stream to the first leader gets one, the position is for the second.
    cluster.elect(0, 2, &[1, 2, 3]);
    cluster.elect(0, 3, &[1, 2, 3]);
    third.acknowledged(0, batch(2, 50), Acks::All).await;
    cluster.stop_all([first, second, third]).await;
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
    first.acknowledged(0, batch(2, 50), Acks::Leader).await;
    eventually("replication to the follower of the same cluster", || third.log_end(0) == 2).await;
    assert_eq!(second.log_end(0), 0);
    assert_eq!(first.high_watermark(0), 0);
    cluster.stop_all([first, second, third]).await;
}

#[tokio::test]
async fn records_deleted_at_the_leader_go_at_the_followers_too() {
    let cluster = Cluster::new();
    let first = cluster.start(1, Setup::default()).await;
    let second = cluster.start(2, Setup::default()).await;
    cluster.create(0, &[&first, &second], 1).await;
    first.acknowledged(0, batch(9, 50), Acks::All).await;
    let deleted = first.partition(0).delete_records(Some(Offset(4)), DEADLINE).await;
    assert_eq!(deleted, Ok(Offset(4)));
    assert_eq!(second.partition(0).status().log_start_offset, Offset(4));
    assert!(first.partition(0).read(&read_from(3, 100)).is_err());
    cluster.stop_all([first, second]).await;
}

#[tokio::test]
async fn a_deletion_of_records_does_not_wait_for_a_follower_that_is_fenced_meanwhile() {
    let cluster = Cluster::new();
    let first = cluster.start(1, Setup::default()).await;
    let second = cluster.start(2, Setup::default()).await;
    cluster.create(0, &[&first, &second], 1).await;
    first.acknowledged(0, batch(9, 50), Acks::All).await;
    cluster.stop(second).await;
    let partition = first.partition(0);
    let timeout = Duration::from_secs(10);
    let mut deletion = pin!(partition.delete_records(Some(Offset(4)), timeout));
    let mut context = Context::from_waker(Waker::noop());
    assert!(matches!(deletion.as_mut().poll(&mut context), Poll::Pending));
    cluster.change(0, |metadata| {
        metadata.replicas.get_mut(&BrokerId(2)).unwrap().fencing = Fencing::Fenced;
    });
    assert_eq!(in_time("the deletion", deletion).await, Ok(Offset(4)));
    cluster.stop(first).await;
}

#[tokio::test]
async fn a_leader_whose_disk_is_full_gives_way() {
    let cluster = Cluster::new();
    let (gate, setup) = gated();
    let first = cluster.start(1, setup).await;
    let second = cluster.start(2, Setup::default()).await;
    cluster.create(0, &[&first, &second], 1).await;
    first.acknowledged(0, batch(1, 50), Acks::All).await;
    gate.fill();
    let error = first.refused(0, batch(1, 50), Acks::All).await;
    assert!(matches!(error, ProduceError::Refused(AppendError::OutOfSpace(_))), "{error:?}");
    eventually("the election of another", || cluster.metadata(0).leader == Some(BrokerId(2))).await;
    let produced = second.acknowledged(0, batch(1, 50), Acks::Leader).await;
    assert_eq!(produced.base_offset, Offset(1));
    // The full disk is closed without its checkpoints: nothing more can be written there.
    cluster.stop(second).await;
    drop(first);
}

/// Producers write while leaderships move and brokers restart; whatever was acknowledged is there at the end, once, at its offset, on each replica.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_records_survive_elections_and_restarts() {
    let cluster = Cluster::new();
    let mut brokers: Vec<Option<Broker>> =
        cluster.start_three(Setup::default).await.map(Some).into();
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
    eventually("the same log everywhere", || cluster.have_same_log(&[1, 2, 3])).await;
    let log = std::fs::read(cluster.log_file(1)).unwrap();
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
