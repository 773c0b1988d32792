//! Offsets: positions of records in a partition.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};

/// Position of a record in a partition's log: dense, starts at 0, never reused for another record that was committed.
///
/// As a bound it is exclusive: a high watermark of 5 says that offsets 0 to 4 are committed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Offset(pub i64);

impl Offset {
    /// The first offset of a new partition.
    pub const ZERO: Self = Self(0);

    /// Reads an offset from the wire, where a negative number says "none".
    #[must_use]
    pub fn from_wire(value: i64) -> Option<Self> {
        (value >= 0).then_some(Self(value))
    }

    /// Writes an optional offset as the wire wants it: −1 for none.
    #[must_use]
    pub fn to_wire(offset: Option<Self>) -> i64 {
        offset.map_or(-1, |offset| offset.0)
    }
}

impl Add<i64> for Offset {
    type Output = Self;

    fn add(self, count: i64) -> Self {
        Self(self.0 + count)
    }
}

impl AddAssign<i64> for Offset {
    fn add_assign(&mut self, count: i64) {
        self.0 += count;
    }
}

impl Sub for Offset {
    type Output = i64;

    fn sub(self, other: Self) -> i64 {
        self.0 - other.0
    }
}

impl fmt::Debug for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
