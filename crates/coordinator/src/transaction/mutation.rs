//! Deliberate bugs, by name, so that tests can show that the simulator and the scripts see them.
//!
//! Compiled out without the cargo feature `mutations`: [`is_active`] is then the constant `false`. A simulation picks one per thread; a broker is broken as a whole
//! (`activate_in_process`), for its machines run on many threads.

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
    /// Neither replies nor markers wait for the write that they depend on.
    ActBeforeWrite,
    /// After a decision one partition is not asked to write its marker, and counts as if it had.
    MarkerDropped,
    /// A transaction is complete as soon as one partition has its marker.
    CompleteBeforeAllMarkers,
    /// A decision that is found at a load is left as it is.
    MarkersForgottenAtLoad,
    /// Whoever asks whether a partition is in a transaction is told that it is.
    VerificationSkipped,
    /// A partition joins a transaction, and no record says so.
    PartitionNotWritten,
    /// A transaction of version 2 ends in the epoch in which it began.
    EpochNotBumped,
    /// An EndTxn that is repeated after its transaction ends the next one.
    RepeatedEndAccepted,
    /// A newcomer is given its predecessor's epoch.
    PredecessorNotFenced,
    /// A newcomer takes its predecessor's open transaction over.
    OpenTransactionInherited,
    /// An EndTxn may change what was decided.
    DecisionChanged,
    /// The next transaction may begin before the last one's markers are written.
    NextBeginsBeforeComplete,
    /// A transaction whose time is over is aborted, and its producer not fenced.
    TimeoutWithoutFence,
    /// What is told of written markers counts for whatever transaction waits then.
    MarkersOfAnyDecision,
}

#[cfg(feature = "mutations")]
impl Mutation {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::ActBeforeWrite,
        Self::MarkerDropped,
        Self::CompleteBeforeAllMarkers,
        Self::MarkersForgottenAtLoad,
        Self::VerificationSkipped,
        Self::PartitionNotWritten,
        Self::EpochNotBumped,
        Self::RepeatedEndAccepted,
        Self::PredecessorNotFenced,
        Self::OpenTransactionInherited,
        Self::DecisionChanged,
        Self::NextBeginsBeforeComplete,
        Self::TimeoutWithoutFence,
        Self::MarkersOfAnyDecision,
    ];
}

#[cfg(feature = "mutations")]
mod switch {
    use std::cell::Cell;
    use std::sync::OnceLock;

    use super::Mutation;

    thread_local! {
        static ACTIVE: Cell<Option<Mutation>> = const { Cell::new(None) };
    }

    static OF_PROCESS: OnceLock<Mutation> = OnceLock::new();

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

    /// Says whether any deliberate bug is on: then what it breaks is to be seen from outside, and not by the machine's own checks.
    pub(crate) fn is_any_active() -> bool {
        ACTIVE.get().is_some() || OF_PROCESS.get().is_some()
    }
}

#[cfg(feature = "mutations")]
pub(super) use switch::is_any_active;
#[cfg(feature = "mutations")]
pub use switch::{activate, activate_in_process, is_active};

/// Says whether this deliberate bug is on: never, in a build without the feature.
#[cfg(not(feature = "mutations"))]
pub(super) const fn is_active(_mutation: Mutation) -> bool {
    false
}

/// Says whether any deliberate bug is on: never, in a build without the feature.
#[cfg(not(feature = "mutations"))]
pub(super) const fn is_any_active() -> bool {
    false
}
