//! Identities of brokers, topics, directories and producers.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A broker's configured id (Kafka's `node.id`): 0 or greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BrokerId(pub i32);

/// An idempotent producer's id, drawn from blocks that the controller hands out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ProducerId(pub i64);

macro_rules! number {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}
number!(BrokerId, ProducerId);

macro_rules! uuid_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Wraps the sixteen bytes of the wire.
            #[must_use]
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the sixteen bytes of the wire.
            #[must_use]
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }

            /// Says whether all bits are zero, which on the wire means "none".
            #[must_use]
            pub fn is_zero(self) -> bool {
                self.0.is_nil()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        /// Kafka's form: URL-safe base64 without padding, 22 characters.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_base64(self.0.as_bytes()))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                from_base64(text).map(Self::from_bytes).ok_or(InvalidId)
            }
        }
    };
}

uuid_id! {
    /// Identity of a topic (KIP-516): a topic that is deleted and created again has another one.
    TopicId
}
uuid_id! {
    /// Identity of a log directory, drawn when it is formatted (Kafka's `directory.id`). A broker epoch belongs to one directory.
    DirectoryId
}
uuid_id! {
    /// Identity of one run of a broker process, drawn at its start; registration is idempotent by it.
    IncarnationId
}

/// Text that is not a 22-character URL-safe base64 id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a 22-character URL-safe base64 id")]
pub struct InvalidId;

/// Identity of a cluster, 22 characters as Kafka's; drawn by the broker that forms it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ClusterId(pub String);

impl ClusterId {
    /// Makes a cluster id from sixteen random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 16]) -> Self {
        Self(to_base64(&bytes))
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn to_base64(bytes: &[u8; 16]) -> String {
    let number = u128::from_be_bytes(*bytes);
    // 22 characters hold 132 bits: the last one carries 2 bits and 4 zero bits of padding.
    (0..22)
        .map(|index| {
            let value = if index < 21 { number >> (122 - 6 * index) } else { number << 4 };
            char::from(ALPHABET[usize::try_from(value & 63).expect("six bits fit")])
        })
        .collect()
}

fn from_base64(text: &str) -> Option<[u8; 16]> {
    if text.len() != 22 {
        return None;
    }
    let mut number: u128 = 0;
    for (index, byte) in text.bytes().enumerate() {
        let value = ALPHABET.iter().position(|candidate| *candidate == byte)? as u128;
        number = if index < 21 { number << 6 | value } else { number << 2 | value >> 4 };
    }
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_id_survives_its_text_form() {
        for number in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let id = TopicId::from_bytes(u128::to_be_bytes(number));
            assert_eq!(id.to_string().len(), 22);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }

    #[test]
    fn text_of_another_length_or_alphabet_is_refused() {
        for text in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAA+", "AAAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(text.parse::<TopicId>(), Err(InvalidId), "{text}");
        }
    }
}
