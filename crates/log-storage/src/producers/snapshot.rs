//! The file form of the producer state, `<offset>.snapshot`: ours, not Kafka's, which keeps one batch per producer and so turns a retry after a restart
//! into a duplicate.
//!
//! Owns format and version. All numbers are big-endian.
//!
//! ```text
//!  0 magic        "SFPS"
//!  4 version      u16    1
//!  6 crc          u32    CRC-32C of everything from byte 10 on
//! 10 offset       i64    the state is that of all batches below it; also in the file's name
//! 18 producers    u32    number of entries, ordered by id:
//!      id         i64
//!      epoch      i16
//!      appended   i64    local time of the last append, milliseconds since 1970
//!      batches    u8     0 to 5, oldest first:
//!        first sequence     i32
//!        last offset        i64
//!        last offset delta  i32
//!        log append time    i64   −1 for CreateTime
//! ```

use std::collections::VecDeque;

use model::{Offset, ProducerEpoch, ProducerId, UnixMillis};

use super::state::{ProducerEntry, ProducerState, REMEMBERED_BATCHES, RememberedBatch};

/// Bytes that are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the producer snapshot is malformed: {0}")]
pub(crate) struct MalformedSnapshot(&'static str);

/// Writes the state of all batches below `offset`.
pub(crate) fn encode(state: &ProducerState, offset: Offset) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + state.producers.len() * 64);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&offset.0.to_be_bytes());
    let count = u32::try_from(state.producers.len()).expect("memory holds no 2^32 producers");
    bytes.extend_from_slice(&count.to_be_bytes());
    for (id, entry) in &state.producers {
        bytes.extend_from_slice(&id.0.to_be_bytes());
        bytes.extend_from_slice(&entry.epoch.0.to_be_bytes());
        bytes.extend_from_slice(&entry.appended_at.0.to_be_bytes());
        bytes.push(u8::try_from(entry.batches.len()).expect("at most five batches"));
        for batch in &entry.batches {
            bytes.extend_from_slice(&batch.first_sequence.to_be_bytes());
            bytes.extend_from_slice(&batch.last_offset.0.to_be_bytes());
            bytes.extend_from_slice(&batch.last_offset_delta.to_be_bytes());
            let time = batch.log_append_time.map_or(-1, |time| time.0);
            bytes.extend_from_slice(&time.to_be_bytes());
        }
    }
    let crc = crc_of(&bytes);
    bytes[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// Reads a snapshot that must be of `offset`.
pub(crate) fn decode(bytes: &[u8], offset: Offset) -> Result<ProducerState, MalformedSnapshot> {
    if bytes.len() < HEADER_BYTES || !bytes.starts_with(MAGIC) {
        return Err(MalformedSnapshot("no snapshot"));
    }
    let mut input = Input(&bytes[MAGIC.len()..]);
    if input.u16()? != VERSION {
        return Err(MalformedSnapshot("another version"));
    }
    if u32::from_be_bytes(input.array()?) != crc_of(bytes) {
        return Err(MalformedSnapshot("wrong checksum"));
    }
    if input.i64()? != offset.0 {
        return Err(MalformedSnapshot("another offset than its name says"));
    }
    let count = u32::from_be_bytes(input.array()?);
    let mut state = ProducerState::default();
    for _ in 0..count {
        let id = ProducerId(input.i64()?);
        state.producers.insert(id, decode_entry(&mut input)?);
    }
    if input.0.is_empty() { Ok(state) } else { Err(MalformedSnapshot("bytes behind its end")) }
}

fn decode_entry(input: &mut Input<'_>) -> Result<ProducerEntry, MalformedSnapshot> {
    let epoch = ProducerEpoch(i16::from_be_bytes(input.array()?));
    let appended_at = UnixMillis(input.i64()?);
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
    Ok(ProducerEntry { epoch, batches, appended_at })
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

    fn i64(&mut self) -> Result<i64, MalformedSnapshot> {
        Ok(i64::from_be_bytes(self.array()?))
    }
}

const MAGIC: &[u8] = b"SFPS";
const VERSION: u16 = 1;
const CRC: usize = 6;
const HEADER_BYTES: usize = 22;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_batches::BatchSpec;

    fn state() -> ProducerState {
        let mut state = ProducerState::default();
        for number in 0..20_i32 {
            let spec = BatchSpec::new(2).at(i64::from(number) * 2);
            let header = spec.producer(i64::from(number % 3), 4, number / 3 * 2).header();
            state.update(&header, UnixMillis(1_000 + i64::from(number)));
        }
        state
    }

    #[test]
    fn a_snapshot_survives_its_file_form_with_all_five_batches() {
        let state = state();
        let bytes = encode(&state, Offset(40));
        assert_eq!(decode(&bytes, Offset(40)), Ok(state));
    }

    #[test]
    fn no_flipped_bit_and_no_missing_byte_goes_unnoticed() {
        let bytes = encode(&state(), Offset(40));
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x10;
            assert!(decode(&damaged, Offset(40)).is_err(), "byte {index}");
            assert!(decode(&bytes[..index], Offset(40)).is_err(), "length {index}");
        }
        assert!(decode(&bytes, Offset(41)).is_err());
    }
}
