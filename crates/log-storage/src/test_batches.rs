//! Batches for the tests of this crate, written byte by byte so that they do not depend on the builder that they check.

use model::record_batch::{
    Batch, BatchHeader, EndTransactionMarker, HEADER_BYTES, set_base_offset, set_leader_epoch,
};
use model::{LeaderEpoch, Offset};

use crate::producers::marker::marker_in_log;

/// What a test batch looks like; records are uncompressed, without keys, with values of a given size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchSpec {
    pub(crate) count: i32,
    pub(crate) value_bytes: usize,
    pub(crate) base_offset: i64,
    pub(crate) epoch: i32,
    pub(crate) base_timestamp: i64,
    pub(crate) timestamp_step: i64,
    pub(crate) producer: Option<(i64, i16, i32)>,
    pub(crate) attributes: i16,
    pub(crate) fill: u8,
    /// Whether it commits, and the epoch of the coordinator: the batch is a marker.
    pub(crate) marker: Option<(bool, i32)>,
}

impl BatchSpec {
    pub(crate) fn new(count: i32) -> Self {
        Self {
            count,
            value_bytes: 10,
            base_offset: 0,
            epoch: -1,
            base_timestamp: 1_000_000,
            timestamp_step: 0,
            producer: None,
            attributes: 0,
            fill: b'v',
            marker: None,
        }
    }

    /// A marker of a transaction; the producer's sequence is −1.
    pub(crate) fn marker(commits: bool, coordinator_epoch: i32) -> Self {
        let attributes = 0x30;
        Self { marker: Some((commits, coordinator_epoch)), attributes, ..Self::new(1) }
    }

    /// A batch of a transaction.
    pub(crate) fn transactional(self) -> Self {
        self.attributes(self.attributes | 0x10)
    }

    pub(crate) fn at(self, base_offset: i64) -> Self {
        Self { base_offset, ..self }
    }

    pub(crate) fn epoch(self, epoch: i32) -> Self {
        Self { epoch, ..self }
    }

    pub(crate) fn producer(self, id: i64, epoch: i16, sequence: i32) -> Self {
        Self { producer: Some((id, epoch, sequence)), ..self }
    }

    pub(crate) fn value_bytes(self, value_bytes: usize) -> Self {
        Self { value_bytes, ..self }
    }

    pub(crate) fn timestamps(self, base_timestamp: i64, timestamp_step: i64) -> Self {
        Self { base_timestamp, timestamp_step, ..self }
    }

    pub(crate) fn fill(self, fill: u8) -> Self {
        Self { fill, ..self }
    }

    pub(crate) fn attributes(self, attributes: i16) -> Self {
        Self { attributes, ..self }
    }

    pub(crate) fn header(self) -> BatchHeader {
        BatchHeader::parse(&self.bytes()).unwrap()
    }

    /// The header, and the marker that the batch holds.
    pub(crate) fn marked(self) -> (BatchHeader, Option<EndTransactionMarker>) {
        let bytes = self.bytes();
        let header = BatchHeader::parse(&bytes).unwrap();
        let batch = Batch { header, bytes: &bytes };
        (header, marker_in_log(batch))
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        let mut records = Vec::new();
        for index in 0..i64::from(self.count) {
            let mut record = vec![0];
            varint(&mut record, index * self.timestamp_step);
            varint(&mut record, index);
            if let Some((commits, coordinator_epoch)) = self.marker {
                varint(&mut record, 4);
                record.extend([0, 0, 0, u8::from(commits)]);
                varint(&mut record, 6);
                record.extend([0, 0]);
                record.extend(coordinator_epoch.to_be_bytes());
            } else {
                varint(&mut record, -1);
                varint(&mut record, i64::try_from(self.value_bytes).unwrap());
                record.extend(std::iter::repeat_n(self.fill, self.value_bytes));
            }
            varint(&mut record, 0);
            varint(&mut records, i64::try_from(record.len()).unwrap());
            records.extend(record);
        }
        let last = i64::from(self.count - 1);
        let max_timestamp = self.base_timestamp + (last * self.timestamp_step).max(0);
        let (id, epoch, sequence) = self.producer.unwrap_or((-1, -1, -1));
        let mut batch = vec![0; 8];
        let length = i32::try_from(HEADER_BYTES - 12 + records.len()).unwrap();
        batch.extend(length.to_be_bytes());
        batch.extend((-1_i32).to_be_bytes());
        batch.push(2);
        batch.extend([0; 4]);
        batch.extend(self.attributes.to_be_bytes());
        batch.extend((self.count - 1).to_be_bytes());
        batch.extend(self.base_timestamp.to_be_bytes());
        batch.extend(max_timestamp.to_be_bytes());
        batch.extend(id.to_be_bytes());
        batch.extend(epoch.to_be_bytes());
        batch.extend(sequence.to_be_bytes());
        batch.extend(self.count.to_be_bytes());
        batch.extend(records);
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &batch[21..]);
        batch[17..21].copy_from_slice(&u32::try_from(crc).unwrap().to_be_bytes());
        set_base_offset(&mut batch, Offset(self.base_offset));
        if self.epoch >= 0 {
            set_leader_epoch(&mut batch, LeaderEpoch(self.epoch));
        }
        batch
    }
}

fn varint(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = u64::from_ne_bytes(((value << 1) ^ (value >> 63)).to_ne_bytes());
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap();
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}
