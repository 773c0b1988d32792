//! What a reader of committed records leaves out of batches that brokers send.

use bytes::BytesMut;
use model::record_batch::{
    BatchBuilder, BatchKind, BatchOptions, BatchProducer, EndTransactionMarker, NewRecord,
    TransactionResult, set_base_offset,
};
use model::{ProducerEpoch, ProducerId, UnixMillis};
use protocol::messages::fetch::AbortedTransaction;

use super::*;

/// A log of batches of one record, whose value is its offset.
#[derive(Default)]
struct Log(BytesMut, i64);

impl Log {
    fn write(&mut self, kind: BatchKind, producer: i64) {
        let producer = BatchProducer {
            id: ProducerId(producer),
            epoch: ProducerEpoch(0),
            base_sequence: Some(0),
        };
        let options = BatchOptions { kind, producer: Some(producer), ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        builder.append(&NewRecord { value: Some(b"v"), ..NewRecord::default() }).unwrap();
        self.append(builder.build().unwrap());
    }

    fn end(&mut self, producer: i64, result: TransactionResult) {
        let marker = EndTransactionMarker { result, coordinator_epoch: 0 };
        let (id, epoch) = (ProducerId(producer), ProducerEpoch(0));
        self.append(marker.batch(id, epoch, None, UnixMillis(0)).unwrap());
    }

    fn append(&mut self, mut batch: Vec<u8>) {
        set_base_offset(&mut batch, Offset(self.1));
        self.1 += 1;
        self.0.extend_from_slice(&batch);
    }

    /// Returns the offsets that a reader sees, of the bytes behind an offset that the broker would list these aborted transactions for.
    fn read(&self, isolation_level: IsolationLevel, aborted: &[(i64, i64)]) -> Vec<i64> {
        let listed = aborted.iter().map(|(producer_id, first_offset)| AbortedTransaction {
            producer_id: *producer_id,
            first_offset: *first_offset,
        });
        let data = PartitionData {
            aborted_transactions: Some(listed.collect()),
            ..PartitionData::default()
        };
        let fetched = FetchedBatches {
            partition: Arc::new(TopicPartition { topic: "t".to_owned(), partition: 0 }),
            from: Offset::ZERO,
            next: Offset(self.1),
            high_watermark: Offset(self.1),
            bytes: self.0.clone().freeze(),
            aborted: records::aborted(isolation_level, &data),
        };
        let mut records = Vec::new();
        fetched.decode_into(1 << 20, &mut records).unwrap();
        records.iter().map(|record| record.offset.0).collect()
    }
}

#[test]
fn records_of_aborted_transactions_are_left_out_up_to_their_markers() {
    let mut log = Log::default();
    log.write(BatchKind::Transactional, 1); // 0, aborted
    log.write(BatchKind::Transactional, 2); // 1, committed
    log.write(BatchKind::Plain, 3); // 2
    log.write(BatchKind::Transactional, 1); // 3, aborted
    log.end(1, TransactionResult::Abort); // 4
    log.write(BatchKind::Transactional, 1); // 5, committed
    log.end(2, TransactionResult::Commit); // 6
    log.end(1, TransactionResult::Commit); // 7
    log.write(BatchKind::Transactional, 2); // 8, aborted
    log.end(2, TransactionResult::Abort); // 9
    log.write(BatchKind::Plain, 2); // 10: the id of an aborted transaction, outside of one
    // Brokers list them by where they end.
    let aborted = [(2, 8), (1, 0)];
    assert_eq!(log.read(IsolationLevel::ReadCommitted, &aborted), [1, 2, 5, 10]);
    assert_eq!(log.read(IsolationLevel::ReadUncommitted, &aborted), [0, 1, 2, 3, 5, 8, 10]);
    assert_eq!(log.read(IsolationLevel::ReadCommitted, &[]), [0, 1, 2, 3, 5, 8, 10]);
}
