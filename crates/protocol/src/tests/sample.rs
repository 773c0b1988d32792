//! Draws messages: the least, full, and wild ones, from a seed.

use bytes::Bytes;
use model::{DirectoryId, ErrorCode, TopicId};

use crate::codec::KafkaString;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// Nulls, empty arrays, zeros.
    Least,
    /// No nulls, nothing empty, no two numbers alike.
    Full,
    /// Anything, with a taste for edges.
    Wild,
}

/// A seeded source of values.
#[derive(Debug)]
pub(crate) struct Source {
    state: u64,
    manner: Manner,
}

impl Source {
    /// Gives one source of each manner, and more wild ones.
    pub(crate) fn all(seed: u64) -> Vec<Self> {
        let mut sources = vec![Self::least(), Self::full(seed)];
        sources.extend((0..8).map(|index| Self { state: seed << 8 | index, manner: Manner::Wild }));
        sources
    }

    pub(crate) fn least() -> Self {
        Self { state: 0, manner: Manner::Least }
    }

    pub(crate) fn full(seed: u64) -> Self {
        Self { state: seed, manner: Manner::Full }
    }

    /// The next 64 bits (SplitMix64).
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    fn number(&mut self, min: i64, max: i64) -> i64 {
        let any = self.bits().cast_signed();
        let folded = (i128::from(any) - i128::from(min))
            .rem_euclid(i128::from(max) - i128::from(min) + 1)
            + i128::from(min);
        let folded = i64::try_from(folded).unwrap();
        match (self.manner, self.bits() % 8) {
            (Manner::Least, _) => 0,
            (Manner::Wild, 0 | 1) => -1,
            (Manner::Wild, 2) => min,
            (Manner::Wild, 3) => max,
            _ => folded,
        }
    }

    fn count(&mut self) -> usize {
        match self.manner {
            Manner::Least => 0,
            Manner::Full => 2,
            // More than 127 need a second byte in a compact count. Rare, since arrays stand in arrays.
            Manner::Wild => match self.bits() % 64 {
                0 => 130,
                other => usize::try_from(other % 4).unwrap(),
            },
        }
    }

    fn letters(&mut self, length: usize) -> String {
        (0..length).map(|_| char::from(b'a' + u8::try_from(self.below(26)).unwrap())).collect()
    }

    /// Draws a value, or null if that is allowed.
    pub(crate) fn nullable_from<T: Sample>(&mut self, allowed: bool, version: i16) -> Option<T> {
        let null = match self.manner {
            Manner::Least => true,
            Manner::Full => false,
            Manner::Wild => self.bits().is_multiple_of(3),
        };
        if null && allowed { None } else { Some(T::sample(self, version)) }
    }
}

/// A value that can be drawn.
pub(crate) trait Sample: Sized {
    /// Draws a value that a version can carry.
    fn sample(source: &mut Source, version: i16) -> Self;
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Sample for $type {
            fn sample(source: &mut Source, _: i16) -> Self {
                Self::try_from(source.number(Self::MIN.into(), Self::MAX.into())).unwrap()
            }
        }
    )*};
}
numbers!(i8, i16, i32, i64);

impl Sample for bool {
    fn sample(source: &mut Source, _: i16) -> Self {
        source.manner == Manner::Full || source.manner == Manner::Wild && source.below(2) == 0
    }
}

impl Sample for ErrorCode {
    fn sample(source: &mut Source, _: i16) -> Self {
        match source.manner {
            Manner::Least => Self::None,
            Manner::Full | Manner::Wild => {
                Self::from_wire(i16::try_from(source.below(130)).unwrap() - 1)
            }
        }
    }
}

fn uuid(source: &mut Source) -> [u8; 16] {
    match source.manner {
        Manner::Least => [0; 16],
        Manner::Full | Manner::Wild => {
            (u128::from(source.bits()) << 64 | u128::from(source.bits())).to_be_bytes()
        }
    }
}

impl Sample for TopicId {
    fn sample(source: &mut Source, _: i16) -> Self {
        Self::from_bytes(uuid(source))
    }
}

impl Sample for DirectoryId {
    fn sample(source: &mut Source, _: i16) -> Self {
        Self::from_bytes(uuid(source))
    }
}

impl Sample for KafkaString {
    fn sample(source: &mut Source, _: i16) -> Self {
        let length = match (source.manner, source.below(40)) {
            (Manner::Least, _) => 0,
            (Manner::Wild, 0) => 200,
            (Manner::Wild, 1 | 2) => 0,
            (_, other) => usize::try_from(other / 4 + 1).unwrap(),
        };
        Self::from(source.letters(length))
    }
}

impl Sample for Bytes {
    fn sample(source: &mut Source, _: i16) -> Self {
        let length = match (source.manner, source.below(16)) {
            (Manner::Least, _) => 0,
            (Manner::Wild, 0) => crate::codec::SPLICE_BYTES + 1,
            (_, other) => usize::try_from(other).unwrap(),
        };
        Self::from(source.letters(length))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(source: &mut Source, version: i16) -> Self {
        (0..source.count()).map(|_| T::sample(source, version)).collect()
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(source: &mut Source, version: i16) -> Self {
        source.nullable_from(true, version)
    }
}
