//! What can be wrong with a frame that was received, or with a message that shall be sent.

use std::fmt;

/// A frame that does not hold the message that it should.
///
/// Its size is one pointer, because every read of a field returns it.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<Located>);

#[derive(Clone, PartialEq, Eq)]
struct Located {
    problem: Problem,
    position: usize,
    place: Option<(&'static str, &'static str)>,
}

impl DecodeError {
    /// Makes an error about the byte at `position` of the frame.
    #[cold]
    pub(crate) fn new(problem: Problem, position: usize) -> Self {
        Self(Box::new(Located { problem, position, place: None }))
    }

    /// Names the structure and the field, unless an inner structure has named its own.
    #[cold]
    pub(crate) fn within(mut self, structure: &'static str, field: &'static str) -> Self {
        self.0.place.get_or_insert((structure, field));
        self
    }

    /// Returns what is wrong.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.0.problem
    }

    /// Returns where in the frame: bytes from its start, without the length in front of it.
    #[must_use]
    pub fn position(&self) -> usize {
        self.0.position
    }

    /// Returns the structure and the field that were being read, if the header was behind.
    #[must_use]
    pub fn place(&self) -> Option<(&'static str, &'static str)> {
        self.0.place
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((structure, field)) = self.0.place {
            write!(f, "{structure}.{field}: ")?;
        }
        write!(f, "{} at byte {}", self.0.problem, self.0.position)
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for DecodeError {}

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// A value needs more bytes than are left.
    #[error("needs {needed} bytes and {left} are left")]
    Truncated {
        /// Bytes that the value takes.
        needed: usize,
        /// Bytes that are left in the frame, or in the tagged field.
        left: usize,
    },
    /// A length below the one that says "null".
    #[error("length {0} is negative")]
    NegativeLength(i64),
    /// An array whose elements cannot fit into the bytes that are left, however small they are.
    #[error("{count} elements cannot fit into the {left} bytes that are left")]
    ImpossibleCount {
        /// Elements that were announced.
        count: usize,
        /// Bytes that are left in the frame, or in the tagged field.
        left: usize,
    },
    /// Arrays that would take more memory than a frame of this size may.
    #[error("{bytes} bytes of memory exceed what a frame of this size may take")]
    MemoryLimit {
        /// Bytes that the array would take in memory.
        bytes: usize,
    },
    /// A string of more than 32,767 bytes.
    #[error("a string of {0} bytes is too long")]
    StringTooLong(usize),
    /// A string that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// Null where this version of the message has no null.
    #[error("is null, which this version does not allow")]
    Null,
    /// A varint that does not end within 5 bytes, or exceeds 32 bits.
    #[error("a varint is too long")]
    VarintTooLong,
    /// A byte in front of a nullable structure that is neither -1 nor 1.
    #[error("{0} says neither null nor present")]
    InvalidPresence(i8),
    /// A version outside of the API's range.
    #[error("version {0} is not known")]
    UnsupportedVersion(i16),
}

/// A message that cannot be sent as it is: the caller's mistake, or a size that the protocol cannot express.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A version outside of the range of the API, or of the record.
    #[error("{api} has no version {version}")]
    UnsupportedVersion {
        /// Kafka's name of the API, or of the record.
        api: &'static str,
        /// The version that was asked for.
        version: i16,
    },
    /// Null in a version that has no null for this field.
    #[error("{structure}.{field} is null, which version {version} does not allow")]
    Null {
        /// The structure.
        structure: &'static str,
        /// Its field.
        field: &'static str,
        /// The version that was asked for.
        version: i16,
    },
    /// A string of more than 32,767 bytes.
    #[error("a string of {0} bytes is too long")]
    StringTooLong(usize),
    /// A field or a frame of more than 2,147,483,647 bytes.
    #[error("{0} bytes are more than a frame can hold")]
    TooLarge(usize),
}
