//! Administrative requests against a broker in memory.

use std::time::Duration;

use model::BrokerId;

use super::*;
use crate::ClientConfig;
use crate::error::RequestError;
use crate::fake_broker::{FakeBroker, Faults};

#[tokio::test]
async fn a_controller_that_has_moved_is_looked_for_before_the_next_attempt() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let config = ClientConfig { api_timeout: Duration::from_secs(2), ..broker.config() };
    let client = Client::new(config, broker.tasks().clone());
    client.refresh_metadata(Topics::None).await.unwrap();
    broker.move_controller();
    let topic = NewTopic { name: "new".to_owned(), ..NewTopic::default() };
    client.create_topic(&topic, Mode::Apply).await.unwrap();
}

#[tokio::test]
async fn a_broker_that_does_not_live_is_told_at_once() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let asked = broker.client().describe_configs(&ConfigResource::Broker(BrokerId(9))).await;
    let is_unknown =
        matches!(asked, Err(Error::Request(RequestError::UnknownBroker { broker: BrokerId(9) })));
    assert!(is_unknown, "{asked:?}");
}

#[tokio::test]
async fn an_ipv6_address_has_its_brackets() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let cluster = broker.client().describe_cluster().await.unwrap();
    assert_eq!(cluster.brokers[0].address, "[::1]:9092");
}
