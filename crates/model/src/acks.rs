//! What a producer waits for.

/// Acknowledgement that a produce request asks for (Kafka's `acks`). The three differ in the waiter alone, never in the append path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Acks {
    /// Nothing: the response is not even sent.
    None,
    /// The leader's countable offset passed the last offset of the batch.
    Leader,
    /// The high watermark passed the last offset of the batch.
    All,
}

impl Acks {
    /// Reads the wire's number; `None` for anything but −1, 0 and 1 (Kafka: `INVALID_REQUIRED_ACKS`).
    #[must_use]
    pub fn from_wire(value: i16) -> Option<Self> {
        match value {
            -1 => Some(Self::All),
            0 => Some(Self::None),
            1 => Some(Self::Leader),
            _ => None,
        }
    }

    /// Returns the wire's number.
    #[must_use]
    pub fn to_wire(self) -> i16 {
        match self {
            Self::All => -1,
            Self::None => 0,
            Self::Leader => 1,
        }
    }
}
