//! Structures that stand behind two bytes with their version, inside bytes that the protocol itself does not read: records of `__consumer_offsets`
//! ([`group_log`](crate::group_log)) and `__transaction_state` ([`transaction_log`](crate::transaction_log)), what consumers say to each other
//! ([`consumer_protocol`](crate::consumer_protocol)).
//!
//! Each is declared as the messages are. Invariant: as for messages, bytes of a log or a peer never panic, and never make more memory than a small
//! multiple of themselves. Strings and bytes that come out are slices of what went in and keep it in memory: what
//! outlives it takes copies (`String::from(&text)`).

use bytes::{Buf, Bytes};

use crate::codec::{DecodeError, EncodeError, Layout, Problem, Reader, Wire, Writer};
use crate::frame::LENGTH_BYTES;

/// Name and versions of a structure whose version stands in front of it; the oldest one is 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    /// Kafka's name.
    pub(crate) name: &'static str,
    /// The newest version.
    pub(crate) newest: i16,
    /// The first version with the flexible layout, if there is one.
    pub(crate) flexible_from: Option<i16>,
}

impl Format {
    fn layout(self, version: i16) -> Layout {
        match self.flexible_from {
            Some(flexible_from) if version >= flexible_from => Layout::Flexible,
            _ => Layout::Classic,
        }
    }

    /// Reads a structure behind its version. What stands behind it is left, as in Kafka.
    pub(crate) fn decode<T: Wire>(self, bytes: Bytes) -> Result<T, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.read_i16()?;
        self.read(version, &mut reader)
    }

    /// Reads a structure whose version has been read.
    pub(crate) fn read<T: Wire>(self, version: i16, reader: &mut Reader) -> Result<T, DecodeError> {
        if !(0..=self.newest).contains(&version) {
            return Err(reader.error(Problem::UnsupportedVersion(version)));
        }
        reader.set_version(version, self.layout(version));
        T::read(reader)
    }

    /// Writes a structure behind its version.
    pub(crate) fn encode<T: Wire>(self, value: &T, version: i16) -> Result<Bytes, EncodeError> {
        if !(0..=self.newest).contains(&version) {
            return Err(EncodeError::UnsupportedVersion { api: self.name, version });
        }
        write(value, version, version, self.layout(version))
    }
}

/// Writes two bytes and a structure.
pub(crate) fn write<T: Wire>(
    value: &T,
    prefix: i16,
    version: i16,
    layout: Layout,
) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::default();
    writer.put_i16(prefix);
    writer.set_version(version, layout);
    value.write(&mut writer);
    let mut bytes = writer.finish()?.into_bytes();
    bytes.advance(LENGTH_BYTES);
    Ok(bytes)
}
