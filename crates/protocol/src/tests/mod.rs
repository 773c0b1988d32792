//! Tests of all messages in all versions: against two other codecs, against Kafka's own bytes, and with bad input.

mod allocation;
mod bad_input;
pub(crate) mod fixture;
mod headers;
mod oracle;
pub(crate) mod sample;
mod versioned;

use bytes::{Buf, Bytes};

use crate::api::{ApiKey, DECLARED, Request, Response};
use crate::codec::{DecodeError, EncodeError, Reader, Writer};

/// One of the two messages of an API.
#[derive(Clone, Debug, PartialEq)]
enum Body {
    Request(Request),
    Response(Response),
}

/// Which of the two messages of an API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Request,
    Response,
}

impl Body {
    fn sample(
        source: &mut sample::Source,
        key: ApiKey,
        direction: Direction,
        version: i16,
    ) -> Self {
        match direction {
            Direction::Request => Self::Request(Request::sample(source, key, version)),
            Direction::Response => Self::Response(Response::sample(source, key, version)),
        }
    }

    fn read(
        bytes: Bytes,
        key: ApiKey,
        direction: Direction,
        version: i16,
    ) -> Result<(Self, usize), DecodeError> {
        let mut reader = Reader::new(bytes);
        let body = match direction {
            Direction::Request => Self::Request(Request::read(key, version, &mut reader)?),
            Direction::Response => Self::Response(Response::read(key, version, &mut reader)?),
        };
        Ok((body, reader.remaining()))
    }

    fn write(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::default();
        match self {
            Self::Request(request) => {
                writer.set_version(version, request.api_key().layout(version));
                request.write(&mut writer);
            }
            Self::Response(response) => {
                writer.set_version(version, response.api_key().layout(version));
                response.write(&mut writer);
            }
        }
        let mut bytes = writer.finish()?.into_bytes();
        bytes.advance(crate::frame::LENGTH_BYTES);
        Ok(bytes)
    }
}

/// Calls `check` for each message of each API in each version.
fn for_each_version(mut check: impl FnMut(ApiKey, Direction, i16)) {
    for api in DECLARED {
        for version in api.versions.min..=api.versions.max {
            check(api.key, Direction::Request, version);
            check(api.key, Direction::Response, version);
        }
    }
}

#[test]
fn every_message_survives_a_round_trip_in_every_version() {
    for_each_version(|key, direction, version| {
        for mut source in sample::Source::all(u64::from(version.unsigned_abs())) {
            let body = Body::sample(&mut source, key, direction, version);
            let bytes = body.write(version).unwrap();
            let read = Body::read(bytes, key, direction, version);
            assert_eq!(read, Ok((body, 0)), "{key} {direction:?} {version}");
        }
    });
}
