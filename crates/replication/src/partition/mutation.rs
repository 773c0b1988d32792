//! Deliberate bugs, by name, so that tests can show that the simulator and the scripts see them.
//!
//! Compiled out without the cargo feature `mutations`: [`is_active`] is then the constant `false`.

/// A rule that is left out or bent.
#[cfg_attr(
    not(feature = "mutations"),
    expect(
        unreachable_pub,
        reason = "public in builds with deliberate bugs, where tests pick one"
    )
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutation {
    /// The countable offset is the log end offset although each message is flushed.
    AckBeforeFlush,
    /// The high watermark is bounded by the committed ISR, not the maximal one.
    HighWatermarkFromCommittedIsr,
    /// A new follower truncates to its high watermark before it asks.
    TruncateToHighWatermark,
    /// A follower may join the ISR on what it reported in an earlier leader epoch.
    JoinWithoutFetchInEpoch,
    /// An image that has not applied the present registration is acted upon.
    OldImageAfterRestart,
    /// A flush that began before a truncation counts after it.
    LateFlushCounts,
    /// Corrupt bytes are cut at once, before the image shows the replica out of the ISR.
    CutBeforeLeavingIsr,
    /// A position newer than the image is dropped and, once sent, not repeated.
    NewerPositionDropped,
    /// A high watermark is adopted between a divergence and the next generation.
    HighWatermarkDuringTruncation,
    /// The high watermark moves without the effective min ISR of unfenced members.
    NoStrictMinIsr,
    /// A proposal is dropped from the maximal ISR when it has waited long, though its outcome is unknown.
    ProposalForgotten,
    /// Messages of older generations count.
    OldGenerationCounts,
    /// `acks=all` completes on the leader's own countable offset.
    AcksAllOnLeaderAlone,
}

#[cfg(all(test, feature = "mutations"))]
impl Mutation {
    /// All of them.
    pub(super) const ALL: [Self; 13] = [
        Self::AckBeforeFlush,
        Self::HighWatermarkFromCommittedIsr,
        Self::TruncateToHighWatermark,
        Self::JoinWithoutFetchInEpoch,
        Self::OldImageAfterRestart,
        Self::LateFlushCounts,
        Self::CutBeforeLeavingIsr,
        Self::NewerPositionDropped,
        Self::HighWatermarkDuringTruncation,
        Self::NoStrictMinIsr,
        Self::ProposalForgotten,
        Self::OldGenerationCounts,
        Self::AcksAllOnLeaderAlone,
    ];
}

#[cfg(feature = "mutations")]
mod switch {
    use std::cell::Cell;

    use super::Mutation;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    /// Turns one deliberate bug on, or all off, for the machines of this thread.
    pub fn activate(mutation: Option<Mutation>) {
        ACTIVE.set(mutation);
    }

    /// Says whether this deliberate bug is on.
    pub fn is_active(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation)
    }
}

#[cfg(feature = "mutations")]
pub use switch::{activate, is_active};

/// Says whether this deliberate bug is on: never, in a build without the feature.
#[cfg(not(feature = "mutations"))]
pub(super) const fn is_active(_mutation: Mutation) -> bool {
    false
}
