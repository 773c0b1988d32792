//! A small Kafka client.
