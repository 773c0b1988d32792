//! The file form of the producer state, `<offset>.snapshot`: ours, not Kafka's, which keeps one batch per producer and so turns a retry after a restart
//! into a duplicate.
//!
//! Owns format and version. All numbers are big-endian.
//!
//! ```text
//!  0 magic        "SFPS"
//!  4 version      u16    2; 1, which had no transactions, is read too
//!  6 crc          u32    CRC-32C of everything from byte 10 on
//! 10 offset       i64    the state is that of all batches below it; also in the file's name
//! 18 producers    u32    number of entries, ordered by id:
//!      id         i64
//!      epoch      i16
//!      appended   i64    local time of the last append, milliseconds since 1970
//!      timestamp  i64    of the last batch or marker                          from version 2 on
//!      coordinator i32   epoch of the last marker's coordinator, −1 for none  from version 2 on
//!      transaction i64   first offset of the open transaction, −1 for none    from version 2 on
//!      batches    u8     0 to 5, oldest first:
//!        first sequence     i32
//!        last offset        i64
//!        last offset delta  i32
//!        log append time    i64   −1 for CreateTime
//! From version 2 on:
//!    decided      u32    number of transactions whose marker was not known to be committed, ordered by marker:
//!      marker     i64
//!      first      i64    offset of the first record
//!    indexes      u32    number of segments with aborted transactions below the offset, ordered by base offset:
//!      base       i64    base offset of the segment
//!      entries    u32    entries of its transaction index below the offset
//! ```
//!
//! The counts of the transaction indexes stand here because Kafka's format of those has neither checksum nor count: an index that lost entries would look whole, and
//! a reader would be shown aborted records.

use std::collections::{BTreeMap, VecDeque};

use model::{Offset, ProducerEpoch, ProducerId, UnixMillis};

use super::state::{ProducerEntry, ProducerState, REMEMBERED_BATCHES, RememberedBatch};

/// Bytes that are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the producer snapshot is malformed: {0}")]
pub(crate) struct MalformedSnapshot(&'static str);

/// Entries of the transaction indexes, by base offset of the segment; segments without any are left out.
pub(crate) type AbortedCounts = BTreeMap<Offset, u32>;

/// What a snapshot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) state: ProducerState,
    pub(crate) aborted: AbortedCounts,
}

/// Writes the state of all batches below `offset`.
pub(crate) fn encode(state: &ProducerState, aborted: &AbortedCounts, offset: Offset) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + state.producers.len() * 128);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&offset.0.to_be_bytes());
    bytes.extend_from_slice(&count_of(state.producers.len()));
    for (id, entry) in &state.producers {
        bytes.extend_from_slice(&id.0.to_be_bytes());
        encode_entry(entry, &mut bytes);
    }
    let decided = state.transactions.unreplicated();
    bytes.extend_from_slice(&count_of(decided.len()));
    for (marker, first) in decided {
        bytes.extend_from_slice(&marker.0.to_be_bytes());
        bytes.extend_from_slice(&first.0.to_be_bytes());
    }
    bytes.extend_from_slice(&count_of(aborted.len()));
    for (base_offset, count) in aborted {
        bytes.extend_from_slice(&base_offset.0.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
    }
    let crc = crc_of(&bytes);
    bytes[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
    bytes
}

fn encode_entry(entry: &ProducerEntry, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&entry.epoch.0.to_be_bytes());
    bytes.extend_from_slice(&entry.appended_at.0.to_be_bytes());
    bytes.extend_from_slice(&entry.last_timestamp.0.to_be_bytes());
    bytes.extend_from_slice(&entry.coordinator_epoch.unwrap_or(-1).to_be_bytes());
    bytes.extend_from_slice(&Offset::to_wire(entry.transaction).to_be_bytes());
    bytes.push(u8::try_from(entry.batches.len()).expect("at most five batches"));
    for batch in &entry.batches {
        bytes.extend_from_slice(&batch.first_sequence.to_be_bytes());
        bytes.extend_from_slice(&batch.last_offset.0.to_be_bytes());
        bytes.extend_from_slice(&batch.last_offset_delta.to_be_bytes());
        let time = batch.log_append_time.map_or(-1, |time| time.0);
        bytes.extend_from_slice(&time.to_be_bytes());
    }
}

fn count_of(length: usize) -> [u8; 4] {
    u32::try_from(length).expect("memory holds no 2^32 entries").to_be_bytes()
}

/// Reads a snapshot that must be of `offset`.
pub(crate) fn decode(bytes: &[u8], offset: Offset) -> Result<Snapshot, MalformedSnapshot> {
    if bytes.len() < HEADER_BYTES || !bytes.starts_with(MAGIC) {
        return Err(MalformedSnapshot("no snapshot"));
    }
    let mut input = Input(&bytes[MAGIC.len()..]);
    let version = input.u16()?;
    if !(FIRST_VERSION..=VERSION).contains(&version) {
        return Err(MalformedSnapshot("another version"));
    }
    if input.u32()? != crc_of(bytes) {
        return Err(MalformedSnapshot("wrong checksum"));
    }
    if input.i64()? != offset.0 {
        return Err(MalformedSnapshot("another offset than its name says"));
    }
    let mut snapshot = Snapshot::default();
    for _ in 0..input.u32()? {
        let id = ProducerId(input.i64()?);
        let entry = decode_entry(&mut input, version)?;
        if let Some(first_offset) = entry.transaction {
            snapshot.state.transactions.begin(first_offset, id);
        }
        snapshot.state.producers.insert(id, entry);
    }
    if version >= TRANSACTIONS_VERSION {
        for _ in 0..input.u32()? {
            let (marker, first) = (Offset(input.i64()?), Offset(input.i64()?));
            snapshot.state.transactions.restore_unreplicated(marker, first);
        }
        for _ in 0..input.u32()? {
            snapshot.aborted.insert(Offset(input.i64()?), input.u32()?);
        }
    }
    if input.0.is_empty() { Ok(snapshot) } else { Err(MalformedSnapshot("bytes behind its end")) }
}

fn decode_entry(input: &mut Input<'_>, version: u16) -> Result<ProducerEntry, MalformedSnapshot> {
    let epoch = ProducerEpoch(i16::from_be_bytes(input.array()?));
    let appended_at = UnixMillis(input.i64()?);
    let (mut last_timestamp, mut coordinator_epoch, mut transaction) = (UnixMillis(-1), None, None);
    if version >= TRANSACTIONS_VERSION {
        last_timestamp = UnixMillis(input.i64()?);
        let epoch = i32::from_be_bytes(input.array()?);
        coordinator_epoch = (epoch >= 0).then_some(epoch);
        transaction = Offset::from_wire(input.i64()?);
    }
    let [batch_count] = input.array()?;
    if usize::from(batch_count) > REMEMBERED_BATCHES {
        return Err(MalformedSnapshot("too many batches"));
    }
    let mut batches = VecDeque::with_capacity(usize::from(batch_count));
    for _ in 0..batch_count {
        let first_sequence = i32::from_be_bytes(input.array()?);
        let last_offset = Offset(input.i64()?);
        let last_offset_delta = i32::from_be_bytes(input.array()?);
        let time = input.i64()?;
        batches.push_back(RememberedBatch {
            first_sequence,
            last_offset,
            last_offset_delta,
            log_append_time: (time >= 0).then_some(UnixMillis(time)),
        });
    }
    Ok(ProducerEntry {
        epoch,
        batches,
        appended_at,
        last_timestamp,
        coordinator_epoch,
        transaction,
    })
}

fn crc_of(bytes: &[u8]) -> u32 {
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[CRC + 4..]);
    u32::try_from(checksum).expect("a 32-bit checksum fits")
}

/// What is left of the bytes; every read is bounded by it, so that a count from the file allocates nothing.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedSnapshot> {
        let (array, rest) =
            self.0.split_first_chunk().ok_or(MalformedSnapshot("it ends too early"))?;
        self.0 = rest;
        Ok(*array)
    }

    fn u16(&mut self) -> Result<u16, MalformedSnapshot> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, MalformedSnapshot> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, MalformedSnapshot> {
        Ok(i64::from_be_bytes(self.array()?))
    }
}

const MAGIC: &[u8] = b"SFPS";
const FIRST_VERSION: u16 = 1;
/// First version that holds transactions.
const TRANSACTIONS_VERSION: u16 = 2;
const VERSION: u16 = 2;
const CRC: usize = 6;
const HEADER_BYTES: usize = 22;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_batches::BatchSpec;

    fn snapshot() -> Snapshot {
        let mut snapshot = Snapshot::default();
        for number in 0..20_i32 {
            let spec = BatchSpec::new(2).at(i64::from(number) * 2);
            let attributes = if number % 2 == 0 { TRANSACTIONAL } else { 0 };
            let spec = spec.producer(i64::from(number % 4), 4, number / 4 * 2);
            let at = UnixMillis(1_000 + i64::from(number));
            snapshot.state.update(&spec.attributes(attributes).header(), None, at);
        }
        let (header, marker) = BatchSpec::marker(true, 9).at(40).producer(0, 5, -1).marked();
        assert!(snapshot.state.update(&header, marker, UnixMillis(2_000)).is_none());
        let (header, marker) = BatchSpec::marker(false, 8).at(41).producer(2, 4, -1).marked();
        assert!(snapshot.state.update(&header, marker, UnixMillis(2_000)).is_some());
        snapshot.aborted.insert(Offset(30), 1);
        snapshot
    }

    const TRANSACTIONAL: i16 = 0x10;

    #[test]
    fn a_snapshot_survives_its_file_form_with_batches_and_transactions() {
        let snapshot = snapshot();
        let bytes = encode(&snapshot.state, &snapshot.aborted, Offset(42));
        assert_eq!(decode(&bytes, Offset(42)), Ok(snapshot));
    }

    #[test]
    fn no_flipped_bit_and_no_missing_byte_goes_unnoticed() {
        let Snapshot { state, aborted } = snapshot();
        let bytes = encode(&state, &aborted, Offset(40));
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x10;
            assert!(decode(&damaged, Offset(40)).is_err(), "byte {index}");
            assert!(decode(&bytes[..index], Offset(40)).is_err(), "length {index}");
        }
        assert!(decode(&bytes, Offset(41)).is_err());
    }

    #[test]
    fn a_snapshot_of_the_first_version_is_read_as_one_without_transactions() {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(FIRST_VERSION.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(7_i64.to_be_bytes());
        bytes.extend(1_u32.to_be_bytes());
        bytes.extend(11_i64.to_be_bytes());
        bytes.extend(3_i16.to_be_bytes());
        bytes.extend(1_000_i64.to_be_bytes());
        bytes.push(1);
        bytes.extend(5_i32.to_be_bytes());
        bytes.extend(6_i64.to_be_bytes());
        bytes.extend(1_i32.to_be_bytes());
        bytes.extend((-1_i64).to_be_bytes());
        let crc = crc_of(&bytes);
        bytes[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
        let Snapshot { state, aborted } = decode(&bytes, Offset(7)).unwrap();
        let entry = &state.producers[&ProducerId(11)];
        assert_eq!((entry.epoch, entry.transaction), (ProducerEpoch(3), None));
        assert_eq!(entry.batches[0].last_sequence(), 6);
        assert!(aborted.is_empty());
    }
}
