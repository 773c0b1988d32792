//! Groups: what they committed, and where they went on.
//!
//! A group's committed offset may go back when a member rewound (an `Assign`), or when a commit whose outcome was unknown arrives late; never
//! otherwise. It may not pass what the members have polled.

use super::CheckError;
use super::entry::{Gap, Jump};
use super::findings::Kind as Anomaly;
use super::state::Checker;
use crate::history::{Event, Kind, OperationId, Partition};

/// Commits of unknown outcome that are kept per group and partition.
const MAX_UNKNOWN: usize = 256;

/// What is known of a group's place in one partition.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The highest offset whose commit was acknowledged.
    committed: Option<Commit>,
    /// One beyond the highest offset that a member polled or was placed at.
    reached: Option<i64>,
    /// Commits that may still take effect: those in flight and the unknown ones.
    unknown: Vec<Commit>,
    /// Some commit may have taken effect.
    commits: bool,
    /// More unknown commits than are kept: going back can no longer be judged.
    overflowed: bool,
}

/// An offset and the operation that committed it.
#[derive(Clone, Copy, Debug)]
struct Commit {
    offset: i64,
    op: OperationId,
}

/// A commit in flight, with what was acknowledged of each of its partitions before it began.
#[derive(Debug)]
pub(super) struct OpenCommit {
    pub(super) process: usize,
    floors: Vec<Option<i64>>,
}

/// A question in flight for what a group has committed, with what it had acknowledged to the asker, of each partition.
#[derive(Debug)]
pub(super) struct OpenFetch {
    pub(super) process: usize,
    floors: Vec<Option<i64>>,
}

impl Checker {
    /// A member commits.
    pub(super) fn commit_invoked(
        &mut self,
        event: &Event,
        group: &str,
        offsets: &[(Partition, i64)],
    ) -> Result<(), CheckError> {
        let process = self.process(event)?;
        let mut floors = Vec::with_capacity(offsets.len());
        for (partition, offset) in offsets {
            let group = self.group(group, partition);
            floors.push(group.committed.map(|committed| committed.offset));
            group.pending(Commit { offset: *offset, op: event.op });
        }
        self.open_commits.insert(event.op, OpenCommit { process, floors });
        Ok(())
    }

    /// A commit ended.
    pub(super) fn commit_completed(
        &mut self,
        event: &Event,
        group: &str,
        offsets: &[(Partition, i64)],
    ) -> Result<(), CheckError> {
        let process = self.process(event)?;
        let floors = self.open_commits.remove(&event.op).map(|open| open.floors);
        for (place, (partition, offset)) in offsets.iter().enumerate() {
            let floor = floors.as_ref().and_then(|floors| *floors.get(place)?);
            let commit = Commit { offset: *offset, op: event.op };
            self.committed(event.kind, (group, partition), (commit, floor));
            if event.kind == Kind::Ok {
                let number = self.partition(partition);
                let own = self.processes[process].committed.entry(number).or_default();
                *own = (*own).max(*offset);
            }
        }
        Ok(())
    }

    /// A member asks what is committed.
    pub(super) fn committed_asked(
        &mut self,
        event: &Event,
        offsets: &[(Partition, i64)],
    ) -> Result<(), CheckError> {
        let process = self.process(event)?;
        let mut floors = Vec::with_capacity(offsets.len());
        for (partition, _) in offsets {
            let number = self.partition(partition);
            floors.push(self.processes[process].committed.get(&number).copied());
        }
        self.open_fetches.insert(event.op, OpenFetch { process, floors });
        Ok(())
    }

    /// A group answers what is committed. Only what the asker knows to be committed counts: a coordinator that was replaced may answer those
    /// who have not heard of it.
    pub(super) fn committed_answered(
        &mut self,
        event: &Event,
        group: &str,
        offsets: &[(Partition, i64)],
    ) -> Result<(), CheckError> {
        self.process(event)?;
        let floors = self.open_fetches.remove(&event.op).map(|open| open.floors);
        for ((partition, offset), floor) in offsets.iter().zip(floors.unwrap_or_default()) {
            self.not_below(event, (group, partition), (*offset, floor));
        }
        Ok(())
    }

    /// Checks that a group tells no offset below what it acknowledged, and below `floor`.
    fn not_below(
        &mut self,
        event: &Event,
        (name, partition): (&str, &Partition),
        (offset, floor): (i64, Option<i64>),
    ) {
        let group = self.group(name, partition);
        let late = group.unknown.iter().any(|unknown| unknown.offset == offset);
        let overflowed = group.overflowed;
        let Some(before) =
            group.committed.filter(|before| floor.min(Some(before.offset)) > Some(offset) && !late)
        else {
            return;
        };
        if overflowed {
            self.findings.unchecked(format!("group {name}, {partition}: too many commits are unknown to say whether it may go back"));
        } else {
            self.findings.anomaly(Anomaly::CommittedOffsetRegress, &[before.op, event.op], || {
                format!("group {name}, {partition}: it went on from offset {offset} when {} had been committed", before.offset)
            });
        }
    }

    /// A commit ended for one partition: by itself, or with its transaction.
    fn committed(
        &mut self,
        kind: Kind,
        (name, partition): (&str, &Partition),
        (commit, floor): (Commit, Option<i64>),
    ) {
        let group = self.group(name, partition);
        if kind == Kind::Info {
            group.pending(commit);
            return;
        }
        group.unknown.retain(|unknown| unknown.op != commit.op);
        if kind == Kind::Fail {
            return;
        }
        group.commits = true;
        let before = group.committed;
        if before.is_none_or(|before| before.offset <= commit.offset) {
            group.committed = Some(commit);
        }
        // What was acknowledged before this commit began, unless a member rewound since.
        let Some(before) =
            before.filter(|before| floor.min(Some(before.offset)) > Some(commit.offset))
        else {
            return;
        };
        self.findings.anomaly(Anomaly::CommittedOffsetRegress, &[before.op, commit.op], || {
            format!(
                "group {name}, {partition}: offset {} was committed when {} had been",
                commit.offset, before.offset
            )
        });
    }

    /// A transaction that carried offsets ended.
    pub(super) fn committed_with_transaction(
        &mut self,
        event: &Event,
        kind: Kind,
        (group, offsets): (&str, &[(Partition, i64)]),
    ) {
        for (partition, offset) in offsets {
            let commit = Commit { offset: *offset, op: event.op };
            self.committed(kind, (group, partition), (commit, None));
        }
    }

    /// A group gave a member partitions.
    pub(super) fn rebalanced(
        &mut self,
        event: &Event,
        assigned: &[(Partition, i64)],
        revoked: &[Partition],
    ) -> Result<(), CheckError> {
        let process = self.process(event)?;
        for partition in revoked {
            let partition = self.partition(partition);
            self.processes[process].positions.remove(&partition);
        }
        for (partition, next) in assigned {
            let number = self.partition(partition);
            self.place(process, number, (*next, event.op));
            if let Some(group) = self.processes[process].settings.group.clone() {
                self.handed_out(event, (&group, partition), *next)?;
            }
        }
        Ok(())
    }

    /// Checks the position from which a group lets a member go on.
    fn handed_out(
        &mut self,
        event: &Event,
        (name, partition): (&str, &Partition),
        next: i64,
    ) -> Result<(), CheckError> {
        let process = self.process(event)?;
        let number = self.partition(partition);
        let group = self.group(name, partition);
        let (before, reached, commits) = (group.committed, group.reached, group.commits);
        group.reached = reached.max(Some(next));
        self.not_below(event, (name, partition), (next, before.map(|before| before.offset)));
        // Without a commit the group begins where it was reset to.
        match reached.filter(|reached| commits && (0..next).contains(reached)) {
            Some(from) => {
                let before = before.map_or(event.op, |before| before.op);
                let (op, jump) = (event.op, Jump::Group);
                let gap = Gap { process, partition: number, from, to: next, op, before, jump };
                Ok(self.push_gap(&gap)?)
            }
            None => Ok(()),
        }
    }

    /// A member polled up to `next`.
    pub(super) fn group_polled(&mut self, process: usize, partition: usize, next: i64) {
        if let Some(group) = &self.processes[process].settings.group {
            let group = self.groups.entry((group.clone(), partition)).or_default();
            group.reached = group.reached.max(Some(next));
        }
    }

    /// A member went back by its own will: lower commits are due.
    pub(super) fn group_rewound(&mut self, process: usize, partition: usize, next: i64) {
        if let Some(group) = &self.processes[process].settings.group {
            let group = self.groups.entry((group.clone(), partition)).or_default();
            if let Some(committed) = &mut group.committed {
                committed.offset = committed.offset.min(next);
            }
        }
    }

    fn group(&mut self, name: &str, partition: &Partition) -> &mut Group {
        let partition = self.partition(partition);
        self.groups.entry((name.to_owned(), partition)).or_default()
    }
}

impl Group {
    fn pending(&mut self, commit: Commit) {
        self.commits = true;
        if self.unknown.iter().any(|unknown| unknown.op == commit.op) {
            return;
        }
        if self.unknown.len() == MAX_UNKNOWN {
            self.unknown.remove(0);
            self.overflowed = true;
        }
        self.unknown.push(commit);
    }
}
