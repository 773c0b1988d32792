//! A consumer against a broker in memory.

use std::collections::BTreeSet;

use super::*;
use crate::fake_broker::log::at;
use crate::fake_broker::{FakeBroker, Faults, TOPIC};
use crate::producer::{Producer, ProducerConfig, ProducerRecord};

/// Writes a record to each of so many partitions.
async fn write_to_each(broker: &FakeBroker, partitions: i32) {
    let producer = Producer::new(broker.client(), ProducerConfig::default());
    for partition in 0..partitions {
        let partition = Some(partition);
        let record = ProducerRecord { topic: TOPIC, partition, ..ProducerRecord::default() };
        let _delivery = producer.send(&record).await.unwrap();
    }
    producer.flush().await;
}

#[tokio::test]
async fn a_damaged_batch_is_not_passed_and_holds_back_no_other_partition() {
    let broker = FakeBroker::start(3, Faults::default()).await;
    write_to_each(&broker, 3).await;
    broker.damage(1);
    let mut consumer = Consumer::new(broker.client(), ConsumerConfig::default());
    for partition in 0..3 {
        consumer.assign(at(partition), Start::Offset(Offset::ZERO)).await.unwrap();
    }
    let mut read = BTreeSet::new();
    let error = loop {
        match consumer.poll().await {
            Ok(records) => read.extend(records.iter().map(|record| record.partition.partition)),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Records { .. }), "{error}");
    assert_eq!(read, BTreeSet::from([0, 2]));
    let positions = [0, 1, 2].map(|partition| consumer.position(&at(partition)).unwrap().0);
    assert_eq!(positions, [1, 0, 1]);
}
