//! Bytes of commands, outcomes, records and snapshots (`proto/steadfast/controller/v1/command.proto`).
//!
//! Owns the only place where metadata meets protobuf: no Rust type is a disk format. Decoding is total; what an image must not hold does not get
//! past it. A command or record of a newer metadata version is an error, since applying half of it would part this image from all others.

mod command;
mod outcome;
mod record;
mod wire;

use prost::Message;

use super::command::Command;
use super::outcome::Outcome;
use crate::proto::controller as proto;

/// The level of commands and records that this code writes, and the highest that it reads (`steadfast.metadata.version`).
pub(crate) const METADATA_VERSION: u32 = 1;

/// Bytes that are no command, outcome, record or snapshot of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// Not the protobuf message that was expected.
    #[error("malformed metadata")]
    Malformed(#[source] prost::DecodeError),
    /// Written by a newer version of the software.
    #[error(
        "metadata version {0} is newer than {METADATA_VERSION}, the newest that this version reads"
    )]
    NewerVersion(u32),
    /// A field is missing or has no legal value.
    #[error("malformed metadata: {0}")]
    Field(&'static str),
    /// The records by themselves are legal, and make no legal image.
    #[error("records make no image")]
    Image(#[source] super::BrokenInvariant),
}

impl From<prost::DecodeError> for DecodeError {
    fn from(error: prost::DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl Command {
    /// Returns the entry of the metadata log.
    #[must_use]
    pub(crate) fn encode(&self) -> Vec<u8> {
        command::to_proto(self).encode_to_vec()
    }

    /// Reads an entry of the metadata log.
    ///
    /// # Errors
    /// [`DecodeError::NewerVersion`] for a command of a newer level, else whatever is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = proto::Command::decode(bytes)?;
        check_version(message.metadata_version)?;
        command::from_proto(message)
    }
}

impl Outcome {
    /// Returns the answer's bytes.
    #[must_use]
    pub(crate) fn encode(&self) -> Vec<u8> {
        outcome::to_proto(self).encode_to_vec()
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// Whatever is wrong with the bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        outcome::from_proto(proto::Outcome::decode(bytes)?)
    }
}

/// Refuses levels of the future, and zero: a message that says no level is none of ours.
fn check_version(version: u32) -> Result<(), DecodeError> {
    match version {
        0 => Err(DecodeError::Field("metadata version")),
        1..=METADATA_VERSION => Ok(()),
        newer => Err(DecodeError::NewerVersion(newer)),
    }
}

#[cfg(test)]
mod tests;
