//! Deliberate bugs, by name, so that tests of whole processes can show that they see them.
//!
//! Compiled out without the cargo feature `mutations`: [`is_active`] is then the constant `false`. A process has one at most, for as long as it lives.

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
}

#[cfg(feature = "mutations")]
mod switch {
    use std::sync::OnceLock;

    use super::Mutation;

    static OF_PROCESS: OnceLock<Mutation> = OnceLock::new();

    /// Turns one deliberate bug on for all threads, for as long as the process lives. The first call counts.
    pub fn activate_in_process(mutation: Mutation) {
        OF_PROCESS.get_or_init(|| mutation);
    }

    /// Says whether this deliberate bug is on.
    pub(crate) fn is_active(mutation: Mutation) -> bool {
        OF_PROCESS.get() == Some(&mutation)
    }
}

#[cfg(feature = "mutations")]
pub use switch::activate_in_process;
#[cfg(feature = "mutations")]
pub(crate) use switch::is_active;

/// Says whether this deliberate bug is on: never, in a build without the feature.
#[cfg(not(feature = "mutations"))]
pub(crate) const fn is_active(_mutation: Mutation) -> bool {
    false
}
