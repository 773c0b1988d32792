//! What the checker has found so far: counts, and the first few examples of each anomaly.
//!
//! Keeps at most [`MAX_EXAMPLES`] examples of each, so that its memory is bounded however bad a history is.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::OperationId;
use crate::report::{Anomaly, Example};

/// Examples kept of each anomaly.
const MAX_EXAMPLES: usize = 5;
/// Remarks kept of what could not be checked.
const MAX_UNCHECKED: usize = 100;

macro_rules! anomalies {
    ($($kind:ident $name:literal $meaning:literal)*) => {
        /// Names the anomalies. docs/lab-history.md has the exact rule of each.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum Kind { $(#[doc = $meaning] $kind),* }

        impl Kind {
            /// All of them.
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$kind),*];

            /// The checker's name of it.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }

            fn meaning(self) -> &'static str {
                match self { $(Self::$kind => $meaning),* }
            }
        }
    };
}

anomalies! {
    LostWrite "lost-write" "A record that was acknowledged with acks=all, or that a consumer saw, is not in the final read."
    VanishedRead "vanished-read" "A record that a consumer read is not in a later full read of its partition."
    InconsistentOffsets "inconsistent-offsets" "Two different records were seen at one offset."
    Duplicate "duplicate" "One record is at two offsets, though its producer never sends twice or is idempotent."
    Reorder "reorder" "Two records of one producer stand in the log in another order than they were sent."
    StaleAppend "stale-append" "A record was acknowledged at an offset that others had already been promised before it was sent."
    SpuriousOffset "spurious-offset" "An acknowledgement named an offset that cannot be."
    PhantomRead "phantom-read" "A consumer read a record that nobody sent."
    AbortedRead "aborted-read" "A consumer read a record whose send certainly failed, or whose transaction was not committed (G1a)."
    PrecommittedRead "precommitted-read" "A transaction polled a record that it had sent itself."
    CircularFlow "circular-flow" "Committed transactions read each other's records in a circle (G1c)."
    TornTransaction "torn-transaction" "Of one transaction some records are in the final read and others are not."
    PollSkip "poll-skip" "A consumer jumped over a record that is in the log."
    NonmonotonicPoll "nonmonotonic-poll" "A consumer was given an offset that it had already passed."
    CommittedOffsetRegress "committed-offset-regress" "A group's committed offset went back, and nobody had rewound it."
    CommittedOffsetSkip "committed-offset-skip" "A group went on behind records that none of its members had polled."
    Undelivered "undelivered" "A record in the log was polled by no member of a group, though somebody waited for that."
    ReplicaDivergence "replica-divergence" "The replicas of a partition differ on their disks, or one lacks records of the final read."
    WatermarkRegress "watermark-regress" "The log start offset or the high watermark went back."
    IllegalError "illegal-error" "A send was answered with an error that says nothing (UNKNOWN_SERVER_ERROR): clients then send twice."
}

/// The findings.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: BTreeMap<Kind, Found>,
    /// What happened and was allowed.
    pub(super) allowed: BTreeMap<String, u64>,
    unchecked: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Found {
    count: u64,
    examples: Vec<Draft>,
}

/// An example whose lines are still to be found.
#[derive(Debug)]
struct Draft {
    what: String,
    operations: Vec<OperationId>,
}

impl Findings {
    /// Notes an anomaly; `what` is only called when the example is kept.
    pub(super) fn anomaly(
        &mut self,
        kind: Kind,
        operations: &[OperationId],
        what: impl FnOnce() -> String,
    ) {
        let found = self.found.entry(kind).or_default();
        found.count += 1;
        if found.examples.len() < MAX_EXAMPLES {
            let mut operations = operations.to_vec();
            operations.sort_unstable();
            operations.dedup();
            found.examples.push(Draft { what: what(), operations });
        }
    }

    /// Counts something that the settings allow.
    pub(super) fn allow(&mut self, kind: Kind, why: &str) {
        *self.allowed.entry(format!("{} ({why})", kind.name())).or_default() += 1;
    }

    /// Notes what could not be checked.
    pub(super) fn unchecked(&mut self, what: String) {
        if self.unchecked.len() < MAX_UNCHECKED {
            self.unchecked.insert(what);
        }
    }

    /// The anomalies, the allowed and the unchecked; an operation stands as `{"op":7}` until its lines are known.
    pub(super) fn into_parts(self) -> (Vec<Anomaly>, BTreeMap<String, u64>, Vec<String>) {
        let anomalies = self.found.into_iter().map(|(kind, found)| Anomaly {
            name: kind.name().to_owned(),
            meaning: kind.meaning().to_owned(),
            count: found.count,
            examples: found.examples.into_iter().map(Draft::into_example).collect(),
        });
        (anomalies.collect(), self.allowed, self.unchecked.into_iter().collect())
    }
}

impl Draft {
    fn into_example(self) -> Example {
        let operations = self.operations.iter().map(|op| reference(*op)).collect();
        Example { what: self.what, operations }
    }
}

/// How an operation stands in an example whose lines are not known.
pub(super) fn reference(op: OperationId) -> String {
    format!("{{\"op\":{op}}}")
}

/// The reverse of [`reference()`].
pub(super) fn referred(text: &str) -> Option<OperationId> {
    text.strip_prefix("{\"op\":")?.strip_suffix('}')?.parse().ok()
}
