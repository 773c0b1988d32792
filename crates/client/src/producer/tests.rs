//! Producer and consumer through real connections to a broker that breaks them.

use std::collections::BTreeMap;

use futures_util::FutureExt;
use model::record_batch::Codec;
use model::{ErrorCode, Offset};

use super::*;
use crate::consumer::{ConsumedRecord, Consumer, ConsumerConfig, OffsetReset, Start};
use crate::fake_broker::{FakeBroker, Faults, TOPIC};
use crate::partition_offsets::OffsetAt;

async fn read_all(client: &Client, partitions: i32, count: usize) -> Vec<ConsumedRecord> {
    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    for partition in 0..partitions {
        let partition = TopicPartition { topic: TOPIC.to_owned(), partition };
        consumer.assign(partition, Start::At(OffsetAt::Earliest)).await.unwrap();
    }
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(consumer.poll().await.unwrap());
    }
    records
}

fn number_of(record: &ConsumedRecord) -> u32 {
    u32::from_be_bytes(record.value.as_deref().unwrap().try_into().unwrap())
}

/// Writes numbers through a broker with faults and returns what was delivered, by partition and offset.
async fn write(producer: &Producer, count: u32) -> BTreeMap<(i32, Offset), u32> {
    let mut deliveries = Vec::new();
    for number in 0..count {
        let value = number.to_be_bytes();
        let record =
            ProducerRecord { topic: TOPIC, value: Some(&value), ..ProducerRecord::default() };
        deliveries.push(producer.send(&record).await.unwrap());
        if number % 7 == 0 {
            tokio::task::yield_now().await;
        }
    }
    producer.flush().await;
    let mut delivered = BTreeMap::new();
    for (number, delivery) in (0..).zip(deliveries) {
        let at = delivery.now().expect("a flush waits for all").unwrap();
        delivered.insert((at.partition.partition, at.offset.unwrap()), number);
    }
    assert_eq!(producer.shared.accumulator().oldest_order(), None);
    delivered
}

#[tokio::test]
async fn broken_connections_and_refusals_neither_lose_nor_double_nor_reorder_records() {
    let faults = Faults {
        break_before: Some(9),
        break_after: Some(9),
        refuse: Some(7),
        ..Faults::default()
    };
    let broker = FakeBroker::start(3, faults).await;
    let config = ProducerConfig { batch_bytes: 400, ..ProducerConfig::default() };
    let producer = Producer::new(broker.client(), config);
    let delivered = write(&producer, 3_000).await;
    assert_eq!(delivered.len(), 3_000);
    // The reader meets the same faults.
    let records = read_all(&broker.client(), 3, 3_000).await;
    assert_eq!(records.len(), 3_000);
    let mut last = BTreeMap::new();
    for record in &records {
        let number = number_of(record);
        let partition = record.partition.partition;
        assert_eq!(delivered[&(partition, record.offset)], number);
        assert!(last.insert(partition, number).is_none_or(|before| before < number));
    }
}

#[tokio::test]
async fn keyed_records_of_every_codec_come_back_from_the_partition_of_their_key() {
    for codec in Codec::ALL {
        let broker = FakeBroker::start(4, Faults::default()).await;
        let client = broker.client();
        let producer =
            Producer::new(client.clone(), ProducerConfig { codec, ..ProducerConfig::default() });
        for number in 0..200_u32 {
            let (key, value) = ((number % 10).to_be_bytes(), number.to_be_bytes());
            let headers = [Header { key: b"h", value: Some(&value) }];
            let record = ProducerRecord {
                topic: TOPIC,
                key: Some(&key),
                value: Some(&value),
                headers: &headers,
                ..ProducerRecord::default()
            };
            producer.send(&record).await.unwrap();
        }
        producer.flush().await;
        for record in read_all(&client, 4, 200).await {
            let key = record.key.as_deref().unwrap();
            assert_eq!(record.partition.partition, partition_for_key(key, 4));
            assert_eq!(record.headers[0].1, record.value, "{codec:?}");
        }
    }
}

#[tokio::test]
async fn a_full_buffer_makes_the_caller_wait_and_is_given_back() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let config = ProducerConfig { buffer_bytes: 200, ..ProducerConfig::default() };
    let producer = Producer::new(broker.client(), config);
    let delivered = write(&producer, 100).await;
    assert_eq!(delivered.len(), 100);
    assert_eq!(producer.shared.memory.available_permits(), 200);
}

#[tokio::test]
async fn what_cannot_be_written_is_refused_before_it_is_taken() {
    let broker = FakeBroker::start(2, Faults::default()).await;
    let client = broker.client();
    let producer = Producer::new(client, ProducerConfig::default());
    let large = vec![0; 2 << 20];
    let too_large =
        ProducerRecord { topic: TOPIC, value: Some(&large), ..ProducerRecord::default() };
    let code = producer.send(&too_large).await.unwrap_err().code();
    assert_eq!(code, Some(ErrorCode::MessageTooLarge));
    let elsewhere =
        ProducerRecord { topic: TOPIC, partition: Some(2), ..ProducerRecord::default() };
    let code = producer.send(&elsewhere).await.unwrap_err().code();
    assert_eq!(code, Some(ErrorCode::UnknownTopicOrPartition));
    assert_eq!(producer.shared.accumulator().oldest_order(), None);
}

#[tokio::test]
async fn a_stop_fails_what_is_not_delivered() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let config = ProducerConfig { linger: Duration::from_secs(3_600), ..ProducerConfig::default() };
    let producer = Producer::new(broker.client(), config);
    let record = ProducerRecord { topic: TOPIC, ..ProducerRecord::default() };
    let delivery = producer.send(&record).await.unwrap();
    broker.tasks().token.cancel();
    assert!(matches!(delivery.outcome().await, Err(Error::Stopped)));
    assert!(matches!(producer.send(&record).await, Err(Error::Stopped)));
}

#[tokio::test]
async fn a_flush_that_is_given_up_lets_batches_linger_again() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let config = ProducerConfig { linger: Duration::from_secs(3_600), ..ProducerConfig::default() };
    let producer = Producer::new(broker.client(), config);
    let record = ProducerRecord { topic: TOPIC, ..ProducerRecord::default() };
    let _delivery = producer.send(&record).await.unwrap();
    assert_eq!(producer.flush().now_or_never(), None, "it waits for the broker");
    let now = producer.shared.clock.now();
    assert_eq!(producer.shared.accumulator().ready(now), []);
}

#[tokio::test]
async fn a_dropped_producer_still_delivers_what_it_took() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let config = ProducerConfig { linger: Duration::from_secs(3_600), ..ProducerConfig::default() };
    let producer = Producer::new(broker.client(), config);
    let record = ProducerRecord { topic: TOPIC, ..ProducerRecord::default() };
    let delivery = producer.send(&record).await.unwrap();
    drop(producer);
    assert_eq!(delivery.outcome().await.unwrap().offset, Some(Offset(0)));
}

#[tokio::test]
async fn with_acks_0_nobody_says_where_records_went_but_they_go() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let client = broker.client();
    let producer = Producer::new(client.clone(), ProducerConfig::with_acks(Acks::None));
    let value = 5_u32.to_be_bytes();
    let record = ProducerRecord { topic: TOPIC, value: Some(&value), ..ProducerRecord::default() };
    let delivery = producer.send(&record).await.unwrap();
    assert_eq!(delivery.outcome().await.unwrap().offset, None);
    assert_eq!(number_of(&read_all(&client, 1, 1).await[0]), 5);
}

#[tokio::test]
async fn an_offset_that_is_gone_is_an_error_or_reset() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let client = broker.client();
    let producer = Producer::new(client.clone(), ProducerConfig::default());
    write(&producer, 10).await;
    let partition = TopicPartition { topic: TOPIC.to_owned(), partition: 0 };
    let start = Start::Offset(Offset(50));

    let mut consumer = Consumer::new(client.clone(), ConsumerConfig::default());
    consumer.assign(partition.clone(), start).await.unwrap();
    let code = consumer.poll().await.unwrap_err().code();
    assert_eq!(code, Some(ErrorCode::OffsetOutOfRange));

    let config =
        ConsumerConfig { offset_reset: OffsetReset::Earliest, ..ConsumerConfig::default() };
    let mut consumer = Consumer::new(client, config);
    consumer.assign(partition, start).await.unwrap();
    let records = consumer.poll().await.unwrap();
    assert_eq!(records[0].offset, Offset(0));
}

#[tokio::test]
async fn reading_begins_inside_a_batch_at_the_offset_that_was_asked_for() {
    let broker = FakeBroker::start(1, Faults::default()).await;
    let client = broker.client();
    let config = ProducerConfig { linger: Duration::from_secs(3_600), ..ProducerConfig::default() };
    let producer = Producer::new(client.clone(), config);
    write(&producer, 10).await;
    let partition = TopicPartition { topic: TOPIC.to_owned(), partition: 0 };
    let mut consumer = Consumer::new(client, ConsumerConfig::default());
    consumer.assign(partition.clone(), Start::Offset(Offset(7))).await.unwrap();
    let records = consumer.poll().await.unwrap();
    assert_eq!(records.iter().map(number_of).collect::<Vec<_>>(), [7, 8, 9]);
    assert_eq!(consumer.position(&partition), Some(Offset(10)));
    assert_eq!(consumer.high_watermark(&partition), Some(Offset(10)));
}
