//! Text of the wire without a copy.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::str;

use bytes::Bytes;

/// UTF-8 text that is a slice of the frame it came in.
///
/// Invariant: the bytes are UTF-8, checked when the string is made. It keeps the whole frame in memory: what outlives the
/// request takes a [`String`] of its own. Cloning costs a reference count.
#[derive(Clone, Default)]
pub struct KafkaString(Bytes);

impl KafkaString {
    /// Makes a string of text that lives as long as the program, without a copy.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Checked again instead of trusted: topic names are short, and this crate needs no unsafe code.
        str::from_utf8(&self.0).expect("the bytes were checked when the string was made")
    }

    /// Returns the bytes, which are the frame's own.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

/// Bytes that are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not UTF-8")]
pub struct NotUtf8;

impl TryFrom<Bytes> for KafkaString {
    type Error = NotUtf8;

    fn try_from(bytes: Bytes) -> Result<Self, NotUtf8> {
        match str::from_utf8(&bytes) {
            Ok(_) => Ok(Self(bytes)),
            Err(_) => Err(NotUtf8),
        }
    }
}

impl From<&str> for KafkaString {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for KafkaString {
    fn from(text: String) -> Self {
        Self(Bytes::from(text.into_bytes()))
    }
}

impl From<&String> for KafkaString {
    fn from(text: &String) -> Self {
        Self::from(text.as_str())
    }
}

impl From<&KafkaString> for String {
    fn from(text: &KafkaString) -> Self {
        text.as_str().to_owned()
    }
}

impl From<KafkaString> for String {
    fn from(text: KafkaString) -> Self {
        Self::from(&text)
    }
}

impl Deref for KafkaString {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for KafkaString {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl std::borrow::Borrow<str> for KafkaString {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for KafkaString {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for KafkaString {}

impl PartialEq<str> for KafkaString {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for KafkaString {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<String> for KafkaString {
    fn eq(&self, other: &String) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialOrd for KafkaString {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The order of `str`: by bytes.
impl Ord for KafkaString {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

/// The hash of `str`, so that maps keyed by one can be asked with the other.
impl Hash for KafkaString {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for KafkaString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for KafkaString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn bytes_that_are_not_utf8_make_no_string() {
        assert_eq!(KafkaString::try_from(Bytes::from_static(b"a\xffb")), Err(NotUtf8));
        assert_eq!(KafkaString::try_from(Bytes::from_static("größe".as_bytes())).unwrap(), "größe");
    }

    #[test]
    fn a_map_keyed_by_strings_answers_to_plain_text() {
        let map = HashMap::from([(KafkaString::from("orders"), 1)]);
        assert_eq!(map.get("orders"), Some(&1));
    }

    #[test]
    fn a_string_is_a_slice_of_the_bytes_it_came_from() {
        let frame = Bytes::from(b"xxordersxx".to_vec());
        let text = KafkaString::try_from(frame.slice(2..8)).unwrap();
        assert_eq!(text.as_bytes().as_ptr(), frame[2..].as_ptr());
    }
}
