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
}

#[cfg(all(test, feature = "mutations"))]
impl Mutation {
    /// All of them.
    pub(super) const ALL: [Self; 11] = [
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
