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
    /// Replies do not wait for the write that they depend on.
    AnswerBeforeWrite,
    /// A static member's predecessor is not fenced: it stays a member.
    NoFencing,
    /// A rebalance ends in the generation in which it began.
    GenerationStays,
    /// One who leaves or expires stays a member.
    LeaverStays,
    /// Replay does not heed a group's tombstone.
    TombstoneIgnored,
    /// A static member that comes back is not written to the log.
    ReplacementNotWritten,
    /// The leader's assignment is handed out, but not written.
    AssignmentNotWritten,
    /// A member's parked request does not keep it from expiring.
    ParkedMemberExpires,
    /// A commit's generation is not checked.
    CommitOfAnyGeneration,
    /// A commit is taken in and acknowledged, but not written.
    CommitNotWritten,
    /// A topic's deletion takes the offsets of its successor along.
    TopicIdIgnored,
    /// What a transaction commits is committed before its marker.
    OffsetsVisibleBeforeMarker,
    /// A load does not heed what transactions that are open have committed.
    PendingOffsetsLostAtLoad,
    /// A rewrite puts what is committed for a partition above what a transaction has pending for it.
    RewriteAbovePending,
}

#[cfg(all(test, feature = "mutations"))]
impl Mutation {
    /// All of them.
    pub(super) const ALL: [Self; 14] = [
        Self::AnswerBeforeWrite,
        Self::NoFencing,
        Self::GenerationStays,
        Self::LeaverStays,
        Self::TombstoneIgnored,
        Self::ReplacementNotWritten,
        Self::AssignmentNotWritten,
        Self::ParkedMemberExpires,
        Self::CommitOfAnyGeneration,
        Self::CommitNotWritten,
        Self::TopicIdIgnored,
        Self::OffsetsVisibleBeforeMarker,
        Self::PendingOffsetsLostAtLoad,
        Self::RewriteAbovePending,
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
pub(super) const fn is_active(_mutation: Mutation) -> bool {
    false
}

/// Says whether invariants go unchecked: never, in a build without the feature.
#[cfg(not(feature = "mutations"))]
pub(super) const fn are_invariants_silent() -> bool {
    false
}
