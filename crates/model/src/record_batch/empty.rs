//! Batches without records, as compaction leaves them.
//!
//! Owns their two kinds: what is left of a producer's last batch, whose sequence must not be forgotten, and what stands where batches were. Neither has a timestamp,
//! so no lookup by time stops at it.

use super::batches::Batch;
use super::compression::COMPRESSION_BITS;
use super::header::{BatchHeader, DELETE_HORIZON_BIT, HEADER_BYTES};
use crate::epoch::LeaderEpoch;
use crate::offset::Offset;
use crate::timestamp::UnixMillis;

/// Returns a batch without its records: offsets, leader epoch, producer fields and kind stay.
#[must_use]
pub fn emptied_batch(batch: Batch<'_>) -> Vec<u8> {
    write(BatchHeader {
        attributes: batch.header.attributes & !(COMPRESSION_BITS | DELETE_HORIZON_BIT),
        ..batch.header
    })
}

/// Returns a batch that stands for offsets whose records are gone, from `base_offset` to `last_offset`, both included; of one leader epoch and of no producer.
///
/// # Panics
/// When the offsets are no range, or one of more than 2^31 offsets.
#[must_use]
pub fn vacant_batch(
    base_offset: Offset,
    last_offset: Offset,
    leader_epoch: Option<LeaderEpoch>,
) -> Vec<u8> {
    let last_offset_delta =
        i32::try_from(last_offset - base_offset).ok().filter(|delta| *delta >= 0);
    write(BatchHeader {
        base_offset,
        size_bytes: HEADER_BYTES,
        leader_epoch,
        crc: 0,
        attributes: 0,
        last_offset_delta: last_offset_delta.expect("a range of at most 2^31 offsets"),
        base_timestamp: UnixMillis(-1),
        max_timestamp: UnixMillis(-1),
        producer: None,
        record_count: 0,
    })
}

fn write(header: BatchHeader) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    let header = BatchHeader {
        size_bytes: HEADER_BYTES,
        base_timestamp: UnixMillis(-1),
        max_timestamp: UnixMillis(-1),
        record_count: 0,
        ..header
    };
    header.write_to(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::ProducerEpoch;
    use crate::ids::ProducerId;
    use crate::record_batch::{
        BatchBuilder, BatchKind, BatchOptions, BatchProducer, Batches, Codec, NewRecord, verify_crc,
    };

    #[test]
    fn a_batch_without_its_records_keeps_what_says_whose_it_was() {
        let producer =
            BatchProducer { id: ProducerId(7), epoch: ProducerEpoch(3), base_sequence: Some(12) };
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: Offset(40),
            leader_epoch: Some(LeaderEpoch(5)),
            codec: Codec::Zstd,
            producer: Some(producer),
            kind: BatchKind::Transactional,
            ..BatchOptions::default()
        });
        for _ in 0..3 {
            builder.append(&NewRecord { key: Some(b"k"), ..NewRecord::default() }).unwrap();
        }
        let bytes = builder.build().unwrap();
        let empty = emptied_batch(Batches::whole(&bytes).next().unwrap().unwrap());
        verify_crc(&empty).unwrap();
        let header = BatchHeader::parse(&empty).unwrap();
        assert_eq!((header.base_offset, header.last_offset()), (Offset(40), Offset(42)));
        assert_eq!(header.leader_epoch, Some(LeaderEpoch(5)));
        assert_eq!(header.producer, Some(producer));
        assert_eq!(header.codec(), Codec::None);
        assert!(header.is_transactional() && !header.is_vacant());
        assert_eq!((header.record_count, header.last_sequence()), (0, Some(14)));
    }

    #[test]
    fn a_vacant_batch_is_a_batch_and_says_that_it_is_vacant() {
        let bytes = vacant_batch(Offset(7), Offset(1_000), Some(LeaderEpoch(2)));
        verify_crc(&bytes).unwrap();
        let header = BatchHeader::parse(&bytes).unwrap();
        assert_eq!((header.base_offset, header.next_offset()), (Offset(7), Offset(1_001)));
        assert!(header.is_vacant());
        assert_eq!(header.max_timestamp, UnixMillis(-1));
    }

    #[test]
    fn a_delete_horizon_leaves_the_records_times_as_they_are() {
        let mut builder =
            BatchBuilder::with_delete_horizon(BatchOptions::default(), UnixMillis(9_000));
        for time in [1_000, 500] {
            let record = NewRecord { timestamp: UnixMillis(time), ..NewRecord::default() };
            builder.append(&record).unwrap();
        }
        let bytes = builder.build().unwrap();
        let batch = Batches::whole(&bytes).next().unwrap().unwrap();
        assert_eq!(batch.header.delete_horizon(), Some(UnixMillis(9_000)));
        assert_eq!(batch.header.max_timestamp, UnixMillis(1_000));
        let records = crate::record_batch::Records::of(batch, 1_000).unwrap();
        let times: Vec<_> = records.iter().map(|record| record.unwrap().timestamp.0).collect();
        assert_eq!(times, [1_000, 500]);
    }
}
