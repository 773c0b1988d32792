//! What is not a message: an error, never a panic, never more memory than the frame warrants.

use bytes::Bytes;

use super::allocation::peak_of;
use super::sample::Source;
use super::{Body, Direction, for_each_version};
use crate::api::ApiKey;
use crate::codec::{DecodeError, Problem, Reader};

/// Reads a body and checks that memory stays within the bound that the reader promises.
fn read_bounded(
    bytes: &[u8],
    key: ApiKey,
    direction: Direction,
    version: i16,
) -> Result<(Body, usize), DecodeError> {
    let bytes = Bytes::copy_from_slice(bytes);
    let allowed = 16 * bytes.len() + 65 * 1024;
    let (result, peak) = peak_of(|| Body::read(bytes, key, direction, version));
    assert!(peak <= allowed, "{key} {direction:?} {version} held {peak} bytes of {allowed}");
    result
}

/// Lengths that a liar would write: in the classic and in the flexible layout, below null and beyond any frame.
pub(super) const HOSTILE: &[&[u8]] = &[
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0, 0, 0],
    &[0xff, 0xff, 0xff, 0xfe],
    &[0xff, 0xff],
    &[0x7f, 0xff],
    &[0xff, 0xff, 0xff, 0xff, 0x07],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff; 11],
    &[0],
    &[2],
];

#[test]
fn a_message_that_is_cut_anywhere_is_refused() {
    for_each_version(|key, direction, version| {
        for mut source in [Source::least(), Source::full(7)] {
            let body = Body::sample(&mut source, key, direction, version);
            let bytes = body.write(version).unwrap();
            for length in 0..bytes.len() {
                let result = read_bounded(&bytes[..length], key, direction, version);
                assert!(result.is_err(), "{key} {direction:?} {version} cut at {length}");
            }
        }
    });
}

#[test]
fn hostile_lengths_anywhere_in_a_message_neither_panic_nor_take_memory() {
    for_each_version(|key, direction, version| {
        let body = Body::sample(&mut Source::full(11), key, direction, version);
        let bytes = body.write(version).unwrap();
        for position in 0..bytes.len() {
            for length in HOSTILE {
                let mut bytes = bytes.to_vec();
                let end = bytes.len().min(position + length.len());
                bytes.splice(position..end, length.iter().copied());
                drop(read_bounded(&bytes, key, direction, version));
            }
        }
    });
}

#[test]
fn random_bytes_neither_panic_nor_take_memory() {
    let mut source = Source::full(3);
    for_each_version(|key, direction, version| {
        for _ in 0..100 {
            let length = usize::try_from(source.below(300)).unwrap();
            // Small bytes make plausible lengths and lead deeper into the message.
            let bound = [256, 4, 2][usize::try_from(source.below(3)).unwrap()];
            let bytes: Vec<u8> =
                (0..length).map(|_| u8::try_from(source.below(bound)).unwrap()).collect();
            drop(read_bounded(&bytes, key, direction, version));
        }
    });
}

#[test]
fn arrays_of_tiny_elements_are_bounded_by_the_memory_that_they_would_take() {
    // A Metadata request of version 9 whose every topic has an empty name takes two bytes per topic.
    let count = 4_000_000usize;
    let mut bytes = vec![0xff, 0xff, 0xff, 0xff, 0x01];
    let announced = count + 1;
    for (index, byte) in bytes.iter_mut().enumerate() {
        let bits = u8::try_from(announced >> (7 * index) & 0x7f).unwrap();
        *byte = if index < 4 { bits | 0x80 } else { bits };
    }
    bytes.extend(std::iter::repeat_n([1, 0], count).flatten());
    bytes.extend([1, 0, 0, 0]);
    let (result, peak) = peak_of(|| {
        Body::read(Bytes::from(bytes), ApiKey::Metadata, Direction::Request, 9).map(drop)
    });
    assert!(matches!(result.unwrap_err().problem(), Problem::MemoryLimit { .. }));
    assert!(peak < 10_000, "{peak}");
}

fn reader(bytes: &'static [u8]) -> Reader {
    Reader::new(Bytes::from_static(bytes))
}

fn flexible(bytes: &'static [u8]) -> Reader {
    let mut reader = reader(bytes);
    reader.set_version(0, crate::codec::Layout::Flexible);
    reader
}

#[test]
fn lengths_beyond_the_frame_and_below_null_are_named() {
    let problem = |result: Result<_, DecodeError>| result.map(drop).unwrap_err().problem().clone();
    let max = 0x7fff_ffff;
    assert_eq!(
        problem(reader(&[0x7f, 0xff, 0xff, 0xff, 1]).read_count(1, 8).map(drop)),
        Problem::ImpossibleCount { count: max, left: 1 }
    );
    assert_eq!(
        problem(reader(&[0xff, 0xff, 0xff, 0xfe]).read_count(1, 8).map(drop)),
        Problem::NegativeLength(-2)
    );
    assert_eq!(
        problem(reader(&[0x80, 0, 0, 0]).read_nullable_bytes().map(drop)),
        Problem::NegativeLength(i64::from(i32::MIN))
    );
    assert_eq!(
        problem(reader(&[0x7f, 0xff, 0xff, 0xff]).read_nullable_bytes().map(drop)),
        Problem::Truncated { needed: max, left: 0 }
    );
    assert_eq!(
        problem(reader(&[0xff, 0xfe]).read_nullable_string().map(drop)),
        Problem::NegativeLength(-2)
    );
    assert_eq!(
        problem(flexible(&[0x80, 0x80, 0x80, 0x80, 0x08, 1]).read_count(1, 8).map(drop)),
        Problem::ImpossibleCount { count: max, left: 1 }
    );
    assert_eq!(
        problem(flexible(&[0x81, 0x80, 0x02]).read_nullable_string().map(drop)),
        Problem::StringTooLong(0x8000)
    );
    assert_eq!(problem(reader(&[0, 1, 0xff]).read_nullable_string().map(drop)), Problem::NotUtf8);
    assert_eq!(reader(&[0xff, 0xff]).read_nullable_string(), Ok(None));
    assert_eq!(flexible(&[0]).read_nullable_bytes(), Ok(None));
    assert_eq!(flexible(&[0]).read_count(1, 8), Ok(None));
}

#[test]
fn varints_end_within_their_type() {
    let problem = |result: Result<_, DecodeError>| result.map(drop).unwrap_err().problem().clone();
    assert_eq!(reader(&[0xff, 0xff, 0xff, 0xff, 0x0f]).read_unsigned_varint(), Ok(u32::MAX));
    assert_eq!(
        problem(reader(&[0xff, 0xff, 0xff, 0xff, 0x1f]).read_unsigned_varint().map(drop)),
        Problem::VarintTooLong
    );
    assert_eq!(
        problem(reader(&[0x80, 0x80, 0x80, 0x80, 0x80, 0]).read_unsigned_varint().map(drop)),
        Problem::VarintTooLong
    );
    assert_eq!(
        problem(reader(&[0xff; 11]).read_unsigned_varint().map(drop)),
        Problem::VarintTooLong
    );
    assert_eq!(
        problem(reader(&[0x80, 0x80]).read_unsigned_varint().map(drop)),
        Problem::Truncated { needed: 1, left: 0 }
    );
    assert_eq!(reader(&[1]).read_unsigned_varint(), Ok(1));
}

#[test]
fn a_tagged_field_cannot_reach_beyond_its_size_nor_its_size_beyond_the_frame() {
    // Tag 1 of an ApiVersions response is an eight-byte number.
    let prefix = [0, 0, 1, 0, 0, 0, 0, 1, 1];
    let read = |tail: &[u8]| {
        let bytes = [&prefix[..], tail].concat();
        Body::read(Bytes::from(bytes), ApiKey::ApiVersions, Direction::Response, 3)
    };
    assert!(read(&[8, 0, 0, 0, 0, 0, 0, 0, 9]).is_ok());
    let error = read(&[7, 0, 0, 0, 0, 0, 0, 0, 9]).unwrap_err();
    assert_eq!(error.problem(), &Problem::Truncated { needed: 8, left: 7 });
    assert_eq!(error.place(), Some(("ApiVersionsResponse", "finalized_features_epoch")));
    let error = read(&[9, 0, 0, 0, 0, 0, 0, 0, 9]).unwrap_err();
    assert_eq!(error.problem(), &Problem::Truncated { needed: 9, left: 8 });
}

#[test]
fn unknown_tagged_fields_are_skipped() {
    // Tag 9 with three bytes, between nothing and the end.
    let bytes = [0, 0, 1, 0, 0, 0, 0, 1, 9, 3, 1, 2, 3];
    let result =
        Body::read(Bytes::from(bytes.to_vec()), ApiKey::ApiVersions, Direction::Response, 3);
    let expected = Body::Response(crate::messages::ApiVersionsResponse::default().into());
    assert_eq!(result, Ok((expected, 0)));
}
