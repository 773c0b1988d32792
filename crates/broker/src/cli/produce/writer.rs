//! What writes: a producer, or one in transactions, which are committed after so many records and at the end of the input.

use client::producer::{Delivery, Producer, ProducerConfig, ProducerRecord};
use client::transactional_producer::TransactionalProducerConfig;
use client::{Client, Error, TransactionalProducer};

use super::Arguments;
use crate::cli::failure::Failure;

pub(super) enum Writer {
    Plain(Producer),
    Transactional {
        producer: Box<TransactionalProducer>,
        records: u64,
        /// Records of a transaction; `None` for one transaction.
        limit: Option<u64>,
    },
}

impl Writer {
    /// Starts; with a transactional id, takes that over and opens a transaction.
    pub(super) async fn start(
        client: Client,
        config: ProducerConfig,
        arguments: &Arguments,
    ) -> Result<Self, Failure> {
        let Some(id) = &arguments.transactional_id else {
            return Ok(Self::Plain(Producer::new(client, config)));
        };
        let config = TransactionalProducerConfig {
            transaction_timeout: arguments.transaction_timeout,
            producer: config,
            ..TransactionalProducerConfig::new(id)
        };
        let failed = || Failure::cluster(format!("cannot take over transactional id {id}"));
        let mut producer = TransactionalProducer::init(client, config).await.map_err(failed())?;
        producer.begin().map_err(failed())?;
        let limit = arguments.transaction_records;
        Ok(Self::Transactional { producer: Box::new(producer), records: 0, limit })
    }

    /// Takes a record; ends the transaction when it is full.
    pub(super) async fn send(&mut self, record: &ProducerRecord<'_>) -> Result<Delivery, Error> {
        match self {
            Self::Plain(producer) => producer.send(record).await,
            Self::Transactional { producer, records, limit } => {
                let delivery = producer.send(record).await?;
                *records += 1;
                if *limit == Some(*records) {
                    *records = 0;
                    producer.commit().await?;
                    producer.begin()?;
                }
                Ok(delivery)
            }
        }
    }

    /// Waits until everything is written, and commits; a transaction that cannot be committed is aborted.
    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        match self {
            Self::Plain(producer) => {
                producer.flush().await;
                Ok(())
            }
            Self::Transactional { producer, .. } => {
                let committed = producer.commit().await;
                if committed.is_err() {
                    self.give_up().await;
                }
                committed
            }
        }
    }

    /// Aborts an open transaction; what failed before says why.
    pub(super) async fn give_up(&mut self) {
        if let Self::Transactional { producer, .. } = self {
            let _ = producer.abort().await;
        }
    }
}
