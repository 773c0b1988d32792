//! Deliberate bugs, by name, so that tests of whole processes can show that they see them.
//!
//! Compiled out without the cargo feature `mutations`: [`is_active`] is then the constant `false`. A process has one at most, for as long as it lives; a test has one in
//! its thread.

/// A rule that is left out or bent.
#[cfg_attr(
    not(feature = "mutations"),
    expect(
        unreachable_pub,
        reason = "public in builds with deliberate bugs, where a process picks one"
    )
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// A flush on a storage thread syncs nothing and says that it did. What does not go by a [`Flusher`](crate::Flusher), and checkpoints, stay whole.
    FlushWithoutSync,
    /// No sequence of an idempotent producer is checked.
    SequencesUnchecked,
    /// Only leaders remember what idempotent producers wrote.
    FollowersForgetProducers,
    /// The last stable offset is the high watermark, whatever is open below it.
    OpenTransactionsIgnored,
    /// A truncation takes the whole transaction index of the segment that it cuts.
    AbortIndexLostAtTruncation,
    /// A transactional batch needs no open transaction and no verification.
    VerificationSkipped,
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

    /// Turns one deliberate bug on, or all off, for the logs of this thread.
    pub fn activate(mutation: Option<Mutation>) {
        ACTIVE.set(mutation);
    }

    /// Turns one deliberate bug on for all threads, for as long as the process lives. The first call counts.
    pub fn activate_in_process(mutation: Mutation) {
        OF_PROCESS.get_or_init(|| mutation);
    }

    /// Says whether this deliberate bug is on.
    pub(crate) fn is_active(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation) || OF_PROCESS.get() == Some(&mutation)
    }
}

#[cfg(feature = "mutations")]
pub(crate) use switch::is_active;
#[cfg(feature = "mutations")]
pub use switch::{activate, activate_in_process};

/// Says whether this deliberate bug is on: never, in a build without the feature.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn is_active(_mutation: Mutation) -> bool {
    false
}
