//! Deliberate bugs, by name, so that tests can show that the simulator and the scripts see them.
//!
//! Compiled out without the cargo feature `mutations`: [`is_active`] is then the constant `false`.
//! A simulation picks one per thread; a broker is broken as a whole (`activate_in_process`), for its machines run on many threads.

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
    /// A follower whose log is no longer than the leader's is believed to hold the same records.
    DivergenceByLength,
    /// Consumers read up to the log end. Of the driver: scripts and simulator do not run it.
    UncommittedReads,
    /// A batch that found no room on the disk is acknowledged. Of the driver, too.
    FullDiskAcknowledged,
}

#[cfg(all(test, feature = "mutations"))]
impl Mutation {
    /// All of the machine.
    pub(super) const ALL: [Self; 14] = [
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
        Self::DivergenceByLength,
    ];
}

#[cfg(feature = "mutations")]
mod switch {
    use std::cell::Cell;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::Mutation;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    static OF_PROCESS: OnceLock<Mutation> = OnceLock::new();
    static IS_SILENT: AtomicBool = AtomicBool::new(false);

    /// Turns one deliberate bug on, or all off, for the machines of this thread.
    pub fn activate(mutation: Option<Mutation>) {
        ACTIVE.set(mutation);
    }

    /// Turns one deliberate bug on for all threads, for as long as the process lives. The first call counts.
    pub fn activate_in_process(mutation: Mutation) {
        OF_PROCESS.get_or_init(|| mutation);
    }

    /// Says whether this deliberate bug is on.
    pub fn is_active(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation) || OF_PROCESS.get() == Some(&mutation)
    }

    /// Ends the checks of invariants in this process: what is broken on purpose, here or elsewhere, is to be seen from outside.
    pub fn silence_invariants() {
        IS_SILENT.store(true, Ordering::Relaxed);
    }

    /// Says whether invariants go unchecked.
    pub(crate) fn are_invariants_silent() -> bool {
        IS_SILENT.load(Ordering::Relaxed)
    }
}

#[cfg(feature = "mutations")]
pub(super) use switch::are_invariants_silent;
#[cfg(feature = "mutations")]
pub use switch::{activate, activate_in_process, is_active, silence_invariants};

/// Says whether this deliberate bug is on: never, in a build without the feature.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn is_active(_mutation: Mutation) -> bool {
    false
}

/// Says whether invariants go unchecked: never, in a build without the feature.
#[cfg(not(feature = "mutations"))]
pub(super) const fn are_invariants_silent() -> bool {
    false
}
