//! A partition in memory, by Kafka's rules for sequences: the last five batches of a producer are recognised, and a gap is refused.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use model::record_batch::{BatchHeader, Batches, set_base_offset, verify_crc};
use model::{ErrorCode, Offset, ProducerId, TopicPartition};

/// The topic that exists.
pub(crate) const TOPIC: &str = "t";

/// A partition of the topic that exists.
pub(crate) fn at(partition: i32) -> TopicPartition {
    TopicPartition { topic: TOPIC.to_owned(), partition }
}

/// The log of a partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) batches: Vec<Bytes>,
    pub(crate) end: i64,
    /// The last five batches of each producer: first and last sequence, base offset.
    producers: BTreeMap<ProducerId, Vec<(i32, i32, i64)>>,
}

impl Log {
    /// Appends a batch, unless it is known or out of order; returns its base offset.
    pub(crate) fn append(&mut self, bytes: &Bytes) -> (i64, ErrorCode) {
        verify_crc(bytes).unwrap();
        let header = BatchHeader::parse(bytes).unwrap();
        header.check_produced().unwrap();
        if let Some(producer) = header.producer {
            let (first, last) = (producer.base_sequence.unwrap(), header.last_sequence().unwrap());
            let known = self.producers.entry(producer.id).or_default();
            if let Some((.., offset)) = known.iter().find(|old| (old.0, old.1) == (first, last)) {
                return (*offset, ErrorCode::None);
            }
            if known.last().is_some_and(|(_, old_last, _)| first != old_last + 1) {
                return (-1, ErrorCode::OutOfOrderSequenceNumber);
            }
            known.push((first, last, self.end));
            if known.len() > 5 {
                known.remove(0);
            }
        }
        let mut stored = bytes.to_vec();
        set_base_offset(&mut stored, Offset(self.end));
        let base_offset = self.end;
        self.end += i64::from(header.record_count);
        self.batches.push(stored.into());
        (base_offset, ErrorCode::None)
    }

    /// Turns a bit of the last batch.
    pub(super) fn damage(&mut self) {
        let batch = self.batches.last_mut().unwrap();
        let mut bytes = batch.to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        *batch = bytes.into();
    }

    /// Returns two batches at most, and a part of a third, as a broker with a size limit does.
    pub(super) fn read(&self, from: i64) -> Bytes {
        let mut records = BytesMut::new();
        let wanted = self.batches.iter().filter(|batch| {
            Batches::whole(batch).flatten().any(|batch| batch.header.next_offset().0 > from)
        });
        for (index, batch) in wanted.take(3).enumerate() {
            let length = if index == 2 { batch.len() / 2 } else { batch.len() };
            records.extend_from_slice(&batch[..length]);
        }
        records.freeze()
    }
}
