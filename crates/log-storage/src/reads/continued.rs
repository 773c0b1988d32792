//! What a follower is sent when its log ends where no batch of the leader's begins any more.
//!
//! Owns the one case: the leader has cleaned, and an empty batch of its log stands for offsets on both sides of the follower's end.

use bytes::Bytes;
use model::Offset;
use model::record_batch::{BatchHeader, vacant_batch};

/// Returns batches that were read from `offset` on in a form that continues a log which ends there: when the first one is vacant and begins before, what lies before is
/// left out of it. Whatever else begins before is left as it is, and the follower refuses it.
#[must_use]
pub fn continued_at(batches: Bytes, offset: Offset) -> Bytes {
    let Ok(header) = BatchHeader::parse(&batches) else { return batches };
    let reaches_across = header.base_offset < offset && offset < header.next_offset();
    if !reaches_across || !header.is_vacant() || header.size_bytes > batches.len() {
        return batches;
    }
    let mut continued = vacant_batch(offset, header.last_offset(), header.leader_epoch);
    continued.extend_from_slice(&batches[header.size_bytes..]);
    Bytes::from(continued)
}

#[cfg(test)]
mod tests {
    use model::LeaderEpoch;
    use model::record_batch::{Batches, verify_crc};

    use super::*;
    use crate::test_batches::BatchSpec;

    #[test]
    fn a_vacant_batch_that_reaches_across_begins_where_the_follower_ends() {
        let mut bytes = vacant_batch(Offset(10), Offset(29), Some(LeaderEpoch(3)));
        let next = BatchSpec::new(2).at(30).epoch(3).bytes();
        bytes.extend_from_slice(&next);
        let continued = continued_at(Bytes::from(bytes.clone()), Offset(17));
        let batches: Vec<_> = Batches::whole(&continued).map(Result::unwrap).collect();
        assert_eq!(batches[0].header.base_offset, Offset(17));
        assert_eq!(batches[0].header.next_offset(), Offset(30));
        assert_eq!(batches[0].header.leader_epoch, Some(LeaderEpoch(3)));
        verify_crc(batches[0].bytes).unwrap();
        assert_eq!(batches[1].bytes, next);
        let unchanged = continued_at(Bytes::from(bytes.clone()), Offset(10));
        assert_eq!(unchanged, bytes);
    }

    #[test]
    fn a_batch_with_records_is_never_cut() {
        let bytes = Bytes::from(BatchSpec::new(5).at(10).epoch(3).bytes());
        assert_eq!(continued_at(bytes.clone(), Offset(12)), bytes);
    }
}
