//! Who may open a stream, and what a late message of an ended one does.

use log_storage::Minimum;
use model::{LeaderEpoch, Offset};

use super::*;
use crate::fixture::{TestBroker, assigned, directory};
use crate::image_update::RegisteredBroker;
use crate::partition::{FollowerFetch, Generation};

/// A broker 2, registered under epoch 2 with directory 2.
fn broker_2() -> RegisteredBroker {
    RegisteredBroker {
        broker_id: BrokerId(2),
        broker_epoch: BrokerEpoch(2),
        directory_id: directory(2),
        replication_host: "localhost".to_owned(),
        replication_port: 1,
    }
}

fn hello() -> proto::Hello {
    proto::Hello {
        cluster_id: "ours".to_owned(),
        broker_id: 2,
        directory_id: vec![2; 16].into(),
        broker_epoch: 2,
        leader_id: 1,
    }
}

#[tokio::test]
async fn a_stream_is_refused_when_anything_of_its_hello_does_not_fit() {
    let broker = TestBroker::start(vec![broker_2()]).await;
    let service = broker.replicas.service();
    let running = service.local.running().unwrap();
    let accepted = service.check(running, &hello()).unwrap();
    assert_eq!(accepted, (BrokerId(2), BrokerEpoch(2)));
    let newer = proto::Hello { broker_epoch: 9, directory_id: vec![7; 16].into(), ..hello() };
    assert!(service.check(running, &newer).is_ok(), "the image may be behind");
    for (refused, why) in [
        (proto::Hello { cluster_id: "theirs".to_owned(), ..hello() }, "another cluster"),
        (proto::Hello { leader_id: 3, ..hello() }, "another broker was meant"),
        (proto::Hello { broker_epoch: 1, ..hello() }, "a later registration exists"),
        (proto::Hello { broker_epoch: -1, ..hello() }, "no broker epoch"),
        (
            proto::Hello { directory_id: vec![7; 16].into(), ..hello() },
            "another log directory is registered",
        ),
        (proto::Hello { directory_id: vec![2; 15].into(), ..hello() }, "no directory id"),
    ] {
        let status = service.check(running, &refused).unwrap_err();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
        assert_eq!(status.message(), why);
    }
    broker.stop().await;
}

fn position(generation: u64) -> FollowerFetch {
    FollowerFetch {
        broker_epoch: BrokerEpoch(2),
        leader_epoch: LeaderEpoch(0),
        generation: Generation(generation),
        fetch_offset: Offset(0),
        last_fetched_epoch: None,
        flushed_offset: Offset(0),
        log_start_offset: Offset(0),
    }
}

#[tokio::test]
async fn what_an_ended_stream_had_in_flight_does_not_stop_the_flow_on_the_next_one() {
    let broker = TestBroker::start(vec![broker_2()]).await;
    let partition = broker.show(assigned(&[1, 2])).await;
    let (id, service) = (partition.id(), broker.replicas.service());
    let stream = || FollowerStream::new(BrokerId(2), BrokerEpoch(2));
    let (before, present) = (stream(), stream());
    before.fetched(&service.local, id, position(1));
    present.fetched(&service.local, id, position(2));
    // Read late: the reader of the ended stream was held up.
    before.fetched(&service.local, id, position(1));
    present.fetched(&service.local, id, position(2));

    let session = present.session_of(partition);
    let (update, _) = session.turn(1_000, Minimum::OneBatch);
    let answer = update.unwrap().answer;
    assert_eq!(answer.generation, Generation(2), "{answer:?}");
    broker.stop().await;
}
