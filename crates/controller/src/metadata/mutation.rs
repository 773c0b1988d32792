//! Deliberate bugs, by name, so that tests can show that the simulator and the scripts see them.
//!
//! Compiled out without the cargo feature `mutations`: [`is_active`] is then the constant `false`.
//! A simulation picks one per thread; a broker is broken as a whole (`activate_in_process`), for its machines run on many threads.

/// A rule that is left out or bent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mutation {
    /// A refused ISR proposal that matched leaves the partition epoch as it is.
    RefusedProposalKeepsPartitionEpoch,
    /// A member may join the ISR under a broker epoch that is not its present one.
    StaleIncarnationJoins,
    /// ISRs shrink whatever remains.
    NoFloor,
    /// Fenced members count for the floor.
    FencedMembersCount,
    /// A wiped directory, and a lost replica, stay in the ISR.
    LostReplicaStays,
    /// On a lossy partition an unclean restart costs nothing.
    UncleanRestartStays,
    /// A registration leaves the leaderships of the old incarnation alone.
    OldIncarnationLeadsOn,
    /// Any live replica may lead.
    ElectionOutsideIsr,
    /// A partition that leaves `flush.messages=1` stays durable.
    DurableForEver,
    /// A late copy of a fence fences again.
    LateFenceCounts,
}

impl Mutation {
    /// Every deliberate bug, for tests that try them in turn.
    pub const ALL: [Self; 10] = [
        Self::RefusedProposalKeepsPartitionEpoch,
        Self::StaleIncarnationJoins,
        Self::NoFloor,
        Self::FencedMembersCount,
        Self::LostReplicaStays,
        Self::UncleanRestartStays,
        Self::OldIncarnationLeadsOn,
        Self::ElectionOutsideIsr,
        Self::DurableForEver,
        Self::LateFenceCounts,
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
    pub(in crate::metadata) fn is_active(mutation: Mutation) -> bool {
        ACTIVE.get() == Some(mutation) || OF_PROCESS.get() == Some(&mutation)
    }
}

#[cfg(feature = "mutations")]
pub(super) use switch::is_active;
#[cfg(feature = "mutations")]
pub use switch::{activate, activate_in_process};

/// Says whether this deliberate bug is on: never, in a build without the feature.
#[cfg(not(feature = "mutations"))]
pub(super) const fn is_active(_mutation: Mutation) -> bool {
    false
}
