//! Where a group's offsets go in a reset: a pure function of what was asked for and what the partition holds.

use client::OffsetAt;
use model::{Offset, UnixMillis};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The first offset that is kept.
    Earliest,
    /// The end.
    Latest,
    /// Where the group is; the end where it has committed nothing.
    Current,
    /// An offset.
    Offset(i64),
    /// So many further than where the group is; back when it is negative.
    ShiftBy(i64),
    /// The first record with this timestamp or a later one; the end when there is none.
    Time(UnixMillis),
}

/// What is known of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) committed: Option<Offset>,
    pub(super) earliest: Offset,
    pub(super) latest: Offset,
    /// The answer to the question for a time; `None` when no record is as late.
    pub(super) at_time: Option<Offset>,
}

/// Where a partition's offset goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) to: Offset,
    /// What was asked for, when the log does not hold it and its nearer end was taken instead.
    pub(super) clamped_from: Option<i64>,
}

impl Target {
    /// Returns the time to ask for, if there is one.
    pub(super) fn question(self) -> Option<OffsetAt> {
        match self {
            Self::Time(time) => Some(OffsetAt::Time(time)),
            _ => None,
        }
    }

    /// Returns the new offset; `None` when it counts from a committed one and there is none.
    pub(super) fn apply(self, known: Known) -> Option<Move> {
        let wanted = match self {
            Self::Earliest => known.earliest.0,
            Self::Latest => known.latest.0,
            Self::Current => known.committed.unwrap_or(known.latest).0,
            Self::Offset(offset) => offset,
            Self::ShiftBy(count) => known.committed?.0.saturating_add(count),
            Self::Time(_) => known.at_time.unwrap_or(known.latest).0,
        };
        let to = wanted.min(known.latest.0).max(known.earliest.0);
        // Where the group is, is no request of the user's.
        let is_clamped = to != wanted && self != Self::Current;
        Some(Move { to: Offset(to), clamped_from: is_clamped.then_some(wanted) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_lands_in_the_log() {
        let known = Known {
            committed: Some(Offset(50)),
            earliest: Offset(10),
            latest: Offset(100),
            at_time: Some(Offset(60)),
        };
        let table = [
            (Target::Earliest, 10, None),
            (Target::Latest, 100, None),
            (Target::Current, 50, None),
            (Target::Offset(70), 70, None),
            (Target::Offset(5), 10, Some(5)),
            (Target::Offset(500), 100, Some(500)),
            (Target::ShiftBy(-20), 30, None),
            (Target::ShiftBy(-45), 10, Some(5)),
            (Target::ShiftBy(i64::MAX), 100, Some(i64::MAX)),
            (Target::Time(UnixMillis(1)), 60, None),
        ];
        for (target, to, clamped_from) in table {
            let expected = Move { to: Offset(to), clamped_from };
            assert_eq!(target.apply(known), Some(expected), "{target:?}");
        }
    }

    #[test]
    fn without_a_commit_a_shift_has_no_start_and_the_current_place_is_the_end() {
        let known =
            Known { committed: None, earliest: Offset(10), latest: Offset(100), at_time: None };
        assert_eq!(Target::ShiftBy(1).apply(known), None);
        let end = Some(Move { to: Offset(100), clamped_from: None });
        assert_eq!(Target::Current.apply(known), end);
        assert_eq!(Target::Time(UnixMillis(1)).apply(known), end);
    }
}
