//! A transactional producer that does exactly what it is told, request by request, and a reader of what is committed; blocking.
//!
//! What a real client hides a test must do: send a request late, twice, or under an old name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::record_batch::{
    BatchBuilder, BatchKind, BatchOptions, BatchProducer, Batches, NewRecord, Records,
    TransactionResult,
};
use model::{ErrorCode, ProducerEpoch, ProducerId, UnixMillis};
use protocol::ApiRequest;
use protocol::messages::add_partitions_to_txn::AddPartitionsToTxnTopic;
use protocol::messages::fetch::{FetchPartition, FetchTopic};
use protocol::messages::find_coordinator::TRANSACTION_KEY_TYPE;
use protocol::messages::produce::{PartitionProduceData, TopicProduceData};
use protocol::messages::{
    AddPartitionsToTxnRequest, DescribeTransactionsRequest, EndTxnRequest, FetchRequest,
    FindCoordinatorRequest, InitProducerIdRequest, ProduceRequest,
};

use crate::admin::Admin;
use crate::cluster::Cluster;
use crate::wire::RawConnection;

/// How a client's transactions go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Of before KIP-890: partitions are added by the client, an epoch is a producer's.
    V1,
    /// KIP-890: partitions are added by the broker, an epoch is a transaction's.
    V2,
}

/// A transactional producer.
#[derive(Clone, Debug)]
pub struct TransactionalProducer {
    /// Its name.
    pub transactional_id: String,
    /// How it speaks.
    pub protocol: Protocol,
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub epoch: i16,
    sequences: BTreeMap<(String, i32), i32>,
}

/// Asks one broker; `None` when it is gone.
pub fn ask<R: ApiRequest>(
    cluster: &Cluster,
    broker: u16,
    request: &R,
    version: i16,
) -> Option<R::Response> {
    RawConnection::try_open(&cluster.address(broker))?.try_ask(request, version)
}

/// Finds the coordinator of a transactional id.
///
/// # Panics
/// When there is none for half a minute.
#[must_use]
pub fn coordinator(cluster: &Cluster, transactional_id: &str) -> u16 {
    until("a coordinator", || {
        let request = FindCoordinatorRequest {
            key: transactional_id.into(),
            key_type: TRANSACTION_KEY_TYPE,
            ..FindCoordinatorRequest::default()
        };
        let running = (1..=cluster.broker_count()).filter(|broker| cluster.is_running(*broker));
        running.filter_map(|broker| ask(cluster, broker, &request, 2)).find_map(|answer| {
            (answer.error_code == ErrorCode::None)
                .then(|| u16::try_from(answer.node_id).expect("an id of the cluster's"))
        })
    })
}

/// Tries until there is something.
///
/// # Panics
/// When there is nothing for half a minute.
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} in half a minute");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What passes by itself: a coordinator that loads or moves, a leader that moves, a transaction whose markers are on their way.
fn passes(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NotCoordinator
            | ErrorCode::ConcurrentTransactions
            | ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::NotEnoughReplicasAfterAppend
            | ErrorCode::RequestTimedOut
            | ErrorCode::UnknownTopicOrPartition
    )
}

impl TransactionalProducer {
    /// Begins as a new process of that name would: whoever had the name before is fenced.
    ///
    /// # Panics
    /// When the coordinator refuses.
    #[must_use]
    pub fn init(cluster: &Cluster, transactional_id: &str, protocol: Protocol) -> Self {
        let request = InitProducerIdRequest {
            transactional_id: Some(transactional_id.into()),
            transaction_timeout_ms: 60_000,
            ..InitProducerIdRequest::default()
        };
        let answer = until("producer id", || {
            let coordinator = coordinator(cluster, transactional_id);
            let answer = ask(cluster, coordinator, &request, 5)?;
            (!passes(answer.error_code)).then_some(answer)
        });
        assert_eq!(answer.error_code, ErrorCode::None, "{transactional_id}");
        Self {
            transactional_id: transactional_id.to_owned(),
            protocol,
            producer_id: answer.producer_id,
            epoch: answer.producer_epoch,
            sequences: BTreeMap::new(),
        }
    }

    /// Writes one record to a partition within the transaction.
    ///
    /// # Panics
    /// When it is refused.
    pub fn write(&mut self, cluster: &Cluster, admin: &Admin, place: (&str, i32), text: &str) {
        let code = self.try_write(cluster, admin, place, text);
        assert_eq!(code, ErrorCode::None, "{text} to {place:?}");
    }

    /// The same; returns the final code. A partition is added before if the client has to.
    #[must_use]
    pub fn try_write(
        &mut self,
        cluster: &Cluster,
        admin: &Admin,
        place: (&str, i32),
        text: &str,
    ) -> ErrorCode {
        let (topic, partition) = place;
        if self.protocol == Protocol::V1 {
            let code = self.add(cluster, topic, partition);
            if code != ErrorCode::None {
                return code;
            }
        }
        self.try_write_unadded(cluster, admin, place, text)
    }

    /// The same, without adding the partition.
    #[must_use]
    pub fn try_write_unadded(
        &mut self,
        cluster: &Cluster,
        admin: &Admin,
        place: (&str, i32),
        text: &str,
    ) -> ErrorCode {
        let (topic, partition) = place;
        let sequence = self.sequences.get(&(topic.to_owned(), partition)).copied().unwrap_or(0);
        let request = ProduceRequest {
            transactional_id: Some(self.transactional_id.as_str().into()),
            acks: -1,
            timeout_ms: 10_000,
            topic_data: vec![TopicProduceData {
                name: topic.into(),
                partition_data: vec![PartitionProduceData {
                    index: partition,
                    records: Some(self.batch(sequence, text)),
                }],
                ..TopicProduceData::default()
            }],
        };
        let version = if self.protocol == Protocol::V2 { 12 } else { 11 };
        let index = usize::try_from(partition).expect("a partition's number");
        let code = until("acknowledgement", || {
            let leader = admin.leader(topic, index)?;
            let answer = ask(cluster, leader, &request, version)?;
            let code = answer.responses[0].partition_responses[0].error_code;
            (!passes(code)).then_some(code)
        });
        if code == ErrorCode::None {
            self.sequences.insert((topic.to_owned(), partition), sequence + 1);
        }
        code
    }

    fn batch(&self, sequence: i32, text: &str) -> Bytes {
        let mut builder = BatchBuilder::new(BatchOptions {
            producer: Some(BatchProducer {
                id: ProducerId(self.producer_id),
                epoch: ProducerEpoch(self.epoch),
                base_sequence: Some(sequence),
            }),
            kind: BatchKind::Transactional,
            ..BatchOptions::default()
        });
        let record = NewRecord {
            timestamp: UnixMillis(1),
            key: None,
            value: Some(text.as_bytes()),
            headers: &[],
        };
        builder.append(&record).expect("a short record fits");
        builder.build().expect("a batch of one record").into()
    }

    /// Adds a partition to the transaction, as an older client does.
    #[must_use]
    pub fn add(&self, cluster: &Cluster, topic: &str, partition: i32) -> ErrorCode {
        let request = AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.transactional_id.as_str().into(),
            v3_and_below_producer_id: self.producer_id,
            v3_and_below_producer_epoch: self.epoch,
            v3_and_below_topics: vec![AddPartitionsToTxnTopic {
                name: topic.into(),
                partitions: vec![partition],
            }],
            ..AddPartitionsToTxnRequest::default()
        };
        until("place in the transaction", || {
            let coordinator = coordinator(cluster, &self.transactional_id);
            let answer = ask(cluster, coordinator, &request, 3)?;
            let topics = answer.results_by_topic_v3_and_below;
            let code = topics[0].results_by_partition[0].partition_error_code;
            (!passes(code)).then_some(code)
        })
    }

    /// Returns the request that would end the transaction that is open now; a test may send it later.
    #[must_use]
    pub fn end_request(&self, result: TransactionResult) -> EndTxnRequest {
        EndTxnRequest {
            transactional_id: self.transactional_id.as_str().into(),
            producer_id: self.producer_id,
            producer_epoch: self.epoch,
            committed: result.is_commit(),
        }
    }

    /// Sends a request to end a transaction, and returns what came of it, with what the producer is for its next one.
    #[must_use]
    pub fn send_end(&self, cluster: &Cluster, request: &EndTxnRequest) -> (ErrorCode, i64, i16) {
        let version = if self.protocol == Protocol::V2 { 5 } else { 4 };
        until("end of the transaction", || {
            let coordinator = coordinator(cluster, &self.transactional_id);
            let answer = ask(cluster, coordinator, request, version)?;
            let told = (answer.error_code, answer.producer_id, answer.producer_epoch);
            (!passes(answer.error_code)).then_some(told)
        })
    }

    /// Ends the transaction. It is decided when this returns; the markers follow.
    ///
    /// # Panics
    /// When the coordinator refuses.
    pub fn end(&mut self, cluster: &Cluster, result: TransactionResult) {
        let (code, producer_id, epoch) = self.send_end(cluster, &self.end_request(result));
        assert_eq!(code, ErrorCode::None, "{result:?}");
        if self.protocol == Protocol::V2 {
            if (producer_id, epoch) != (self.producer_id, self.epoch) {
                self.sequences.clear();
            }
            (self.producer_id, self.epoch) = (producer_id, epoch);
        }
    }

    /// Returns the state that the coordinator shows of the producer.
    #[must_use]
    pub fn state(&self, cluster: &Cluster) -> String {
        let request = DescribeTransactionsRequest {
            transactional_ids: vec![self.transactional_id.as_str().into()],
        };
        until("description", || {
            let coordinator = coordinator(cluster, &self.transactional_id);
            let answer = ask(cluster, coordinator, &request, 0)?;
            let described = answer.transaction_states.into_iter().next()?;
            (described.error_code == ErrorCode::None)
                .then(|| described.transaction_state.as_str().to_owned())
        })
    }

    /// Waits until every partition of the last transaction has its marker.
    ///
    /// # Panics
    /// When one has none in half a minute.
    pub fn wait_until_complete(&self, cluster: &Cluster) {
        until("markers in every partition", || {
            self.state(cluster).starts_with("Complete").then_some(())
        });
    }
}

/// Reads the texts of a partition as a consumer of committed records does, with the last stable offset and the high watermark.
///
/// # Panics
/// When no leader answers for half a minute.
#[must_use]
pub fn read_committed(
    cluster: &Cluster,
    admin: &Admin,
    topic: &str,
    partition: i32,
) -> (Vec<String>, i64, i64) {
    let request = FetchRequest {
        max_wait_ms: 0,
        isolation_level: 1,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![FetchPartition {
                partition,
                fetch_offset: 0,
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    };
    let index = usize::try_from(partition).expect("a partition's number");
    let read = until("records", || {
        let leader = admin.leader(topic, index)?;
        let mut answer = ask(cluster, leader, &request, 12)?;
        let read = answer.responses.pop()?.partitions.pop()?;
        (!passes(read.error_code)).then_some(read)
    });
    assert_eq!(read.error_code, ErrorCode::None);
    let aborted = read.aborted_transactions.unwrap_or_default();
    let aborted = aborted.iter().map(|one| (one.first_offset, one.producer_id)).collect();
    let texts = committed_texts(&read.records.unwrap_or_default(), aborted);
    (texts, read.last_stable_offset, read.high_watermark)
}

/// Leaves out what belongs to an aborted transaction: from its first offset to its producer's next marker.
fn committed_texts(records: &Bytes, aborted: BTreeSet<(i64, i64)>) -> Vec<String> {
    let mut coming = aborted.into_iter().peekable();
    let mut in_aborted = BTreeSet::new();
    let mut texts = Vec::new();
    for batch in Batches::whole(records) {
        let batch = batch.expect("whole batches");
        let header = batch.header;
        while let Some((_, producer)) =
            coming.next_if(|(first, _)| *first <= header.last_offset().0)
        {
            in_aborted.insert(producer);
        }
        let producer = header.producer.map_or(-1, |producer| producer.id.0);
        if header.is_control() {
            // The marker that ends the producer's transaction.
            in_aborted.remove(&producer);
            continue;
        }
        if header.is_transactional() && in_aborted.contains(&producer) {
            continue;
        }
        let read = Records::of(batch, 1 << 20).expect("records");
        for record in read.iter() {
            let text = record.expect("a record").value.expect("a text");
            texts.push(String::from_utf8(text.to_vec()).expect("a text"));
        }
    }
    texts
}
