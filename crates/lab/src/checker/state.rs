//! What the checker carries from event to event, and the one `match` over events.
//!
//! Owns the table, the processes and the partitions; the rules are in the files beside this one, each an `impl Checker`.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use super::CheckError;
use super::delivery::GroupEnd;
use super::entry::{Gap, OffsetEntry, TransactionEntry, ValueEntry};
use super::findings::{Findings, Kind as Anomaly};
use super::group::{Group, OpenCommit, OpenFetch};
use super::replica::ReplicaLog;
use super::table::{PagedTable, RegionId};
use super::watermark::{Highest, OpenQuestion};
use crate::history::{Action, Event, Kind, OperationId, Partition, Role, Settings};
use crate::report::Verdict;

/// Pages of the table in memory: 32 MiB.
pub(super) const PAGES: usize = 512;
/// A value or offset further beyond the highest of its partition is not dense; the table would grow without bound.
pub(super) const MAX_JUMP: u64 = 1 << 24;

/// Judges a history, event by event.
#[derive(Debug)]
pub(crate) struct Checker {
    pub(super) table: PagedTable,
    pub(super) findings: Findings,
    pub(super) events: u64,
    pub(super) processes: Vec<Process>,
    process_numbers: HashMap<String, usize>,
    pub(super) partitions: Vec<PartitionState>,
    partition_numbers: HashMap<Partition, usize>,
    /// The transactions in the order of their invocations; those in flight by operation.
    transactions: RegionId,
    pub(super) transaction_count: u64,
    pub(super) open_transactions: HashMap<OperationId, OpenTransaction>,
    /// Transactions by number: the first wrote what the second read.
    pub(super) flows: HashSet<(u64, u64)>,
    gaps: RegionId,
    pub(super) gap_count: u64,
    pub(super) groups: HashMap<(String, usize), Group>,
    /// The bit of each group in [`OffsetEntry::delivered`].
    pub(super) group_bits: HashMap<String, u32>,
    pub(super) group_ends: Vec<GroupEnd>,
    pub(super) open_commits: HashMap<OperationId, OpenCommit>,
    pub(super) open_fetches: HashMap<OperationId, OpenFetch>,
    pub(super) open_questions: HashMap<OperationId, OpenQuestion>,
}

/// A client.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) settings: Settings,
    /// Where it will poll next, by partition.
    pub(super) positions: HashMap<usize, Position>,
    /// The highest offset that its group acknowledged to it, by partition.
    pub(super) committed: HashMap<usize, i64>,
}

/// Where a consumer will poll next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) next: i64,
    /// The operation that brought it here.
    pub(super) op: OperationId,
}

/// A transaction in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenTransaction {
    pub(super) number: u64,
    pub(super) process: usize,
}

/// What is known of a partition as a whole.
#[derive(Debug)]
pub(super) struct PartitionState {
    pub(super) name: Partition,
    values: RegionId,
    offsets: RegionId,
    /// One beyond the highest value invoked.
    pub(super) value_end: u64,
    /// One beyond the highest offset seen.
    pub(super) offset_end: i64,
    /// The highest offset acknowledged with acks=all.
    pub(super) acked: Option<i64>,
    /// Answers of ListOffsets, as read_uncommitted and as read_committed.
    pub(super) watermarks: [Highest; 2],
    /// The bit of each final reader that is reading.
    pub(super) final_readers: HashMap<usize, u32>,
    pub(super) final_reader_count: u32,
    pub(super) read_throughs: Vec<ReadThrough>,
    pub(super) replicas: Vec<ReplicaLog>,
}

/// A full read of a partition.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadThrough {
    pub(super) op: OperationId,
    /// Its bit in [`ValueEntry::found_by`].
    pub(super) bit: u32,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) read_committed: bool,
    /// Values from here on were sent later.
    pub(super) value_end: u64,
}

impl Checker {
    /// Makes a checker; `scratch` is a folder for its temporary file.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub(crate) fn new(scratch: &Path) -> io::Result<Self> {
        Self::with_pages(scratch, PAGES)
    }

    /// Makes a checker with as many pages in memory.
    pub(super) fn with_pages(scratch: &Path, pages: usize) -> io::Result<Self> {
        let mut table = PagedTable::new(scratch, pages)?;
        let (transactions, gaps) = (table.add_region(), table.add_region());
        Ok(Self {
            table,
            findings: Findings::default(),
            events: 0,
            processes: Vec::new(),
            process_numbers: HashMap::new(),
            partitions: Vec::new(),
            partition_numbers: HashMap::new(),
            transactions,
            transaction_count: 0,
            open_transactions: HashMap::new(),
            flows: HashSet::new(),
            gaps,
            gap_count: 0,
            groups: HashMap::new(),
            group_bits: HashMap::new(),
            group_ends: Vec::new(),
            open_commits: HashMap::new(),
            open_fetches: HashMap::new(),
            open_questions: HashMap::new(),
        })
    }

    /// Takes the next event of the history.
    ///
    /// # Errors
    /// When the event breaks the rules of the format, or when the scratch file cannot be used.
    pub(crate) fn observe(&mut self, event: &Event) -> Result<(), CheckError> {
        self.events += 1;
        match (&event.action, event.kind) {
            (Action::Fault { .. } | Action::InSync { .. }, _) => Ok(()),
            (Action::GroupEnd { group, partition }, _) => {
                self.group_ended(event, group, partition);
                Ok(())
            }
            (Action::Replica { partition, node, to, digest, .. }, _) => {
                self.replica_read(event, partition, (*node, *to, digest));
                Ok(())
            }
            (Action::Start { settings }, _) => self.start(event, settings),
            (Action::Stop, _) => self.stop(event),
            (Action::Send { partition, value, offset, transaction, .. }, kind) => {
                let partition = self.partition(partition);
                match kind {
                    Kind::Invoke => self.send_invoked(event, (partition, *value), *transaction),
                    Kind::Ok => self.send_acked(event, (partition, *value), *offset),
                    Kind::Fail | Kind::Info => self.send_not_acked(event, (partition, *value)),
                }
            }
            (Action::Poll { reads, transaction }, Kind::Ok) => {
                self.polled(event, reads, *transaction)
            }
            (Action::Poll { .. }, _) => Ok(()),
            (Action::Assign { positions }, _) => self.assigned(event, positions),
            (Action::Rebalance { assigned, revoked }, _) => {
                self.rebalanced(event, assigned, revoked)
            }
            (Action::Commit { group, offsets }, kind) => match kind {
                Kind::Invoke => self.commit_invoked(event, group, offsets),
                Kind::Ok | Kind::Fail | Kind::Info => self.commit_completed(event, group, offsets),
            },
            (Action::Committed { group, offsets }, kind) => match kind {
                Kind::Invoke => self.committed_asked(event, offsets),
                Kind::Ok => self.committed_answered(event, group, offsets),
                Kind::Fail | Kind::Info => {
                    self.open_fetches.remove(&event.op);
                    Ok(())
                }
            },
            (Action::Transaction { end, offsets, group }, kind) => match kind {
                Kind::Invoke => self.transaction_invoked(event),
                Kind::Ok | Kind::Fail | Kind::Info => {
                    let group = group.as_deref().unwrap_or_default();
                    self.transaction_completed(event, *end, (group, offsets))
                }
            },
            (Action::Watermarks { partition, low, high }, kind) => match kind {
                Kind::Invoke => self.watermarks_asked(event, partition),
                Kind::Ok => self.watermarks_answered(event, partition, (*low, *high)),
                Kind::Fail | Kind::Info => {
                    self.open_questions.remove(&event.op);
                    Ok(())
                }
            },
            (Action::ReadThrough { partition, from, to }, _) => {
                self.read_through(event, partition, (*from, *to))
            }
        }
    }

    /// Looks for what only the whole history shows, and judges.
    ///
    /// # Errors
    /// When the scratch file cannot be used.
    pub(crate) fn finish(mut self) -> Result<Verdict, CheckError> {
        self.judge_gaps()?;
        self.judge_deliveries()?;
        self.judge_replicas();
        let sends = self.judge_values()?;
        self.judge_transactions()?;
        let (anomalies, allowed, unchecked) = self.findings.into_parts();
        Ok(Verdict {
            valid: anomalies.is_empty(),
            events: self.events,
            anomalies,
            allowed,
            sends,
            unchecked,
        })
    }

    fn start(&mut self, event: &Event, settings: &Settings) -> Result<(), CheckError> {
        if self.process_numbers.contains_key(&*event.process) {
            return Err(malformed(event, "it starts twice".to_owned()));
        }
        self.process_numbers.insert(event.process.to_string(), self.processes.len());
        self.processes.push(Process {
            settings: settings.clone(),
            positions: HashMap::new(),
            committed: HashMap::new(),
        });
        Ok(())
    }

    /// Forgets what was in flight: it stays unknown.
    fn stop(&mut self, event: &Event) -> Result<(), CheckError> {
        let process = self.process(event)?;
        self.processes[process].positions = HashMap::new();
        self.open_transactions.retain(|_, open| open.process != process);
        self.open_commits.retain(|_, open| open.process != process);
        self.open_fetches.retain(|_, open| open.process != process);
        self.open_questions.retain(|_, open| open.process != process);
        Ok(())
    }

    /// Notes that a final reader has read a partition through.
    fn read_through(
        &mut self,
        event: &Event,
        partition: &Partition,
        (from, to): (i64, i64),
    ) -> Result<(), CheckError> {
        let process = self.process(event)?;
        let number = self.partition(partition);
        let Some(bit) = self.final_bit(process, number) else { return Ok(()) };
        let settings = &self.processes[process].settings;
        let partition = &mut self.partitions[number];
        // Another read of the partition by the same process is another read-through.
        partition.final_readers.remove(&process);
        partition.read_throughs.push(ReadThrough {
            op: event.op,
            bit,
            from,
            to,
            read_committed: settings.read_committed,
            value_end: partition.value_end,
        });
        Ok(())
    }

    /// The bit under which a final reader's finds are noted; none for other processes, and once the bits are used up.
    pub(super) fn final_bit(&mut self, process: usize, partition: usize) -> Option<u32> {
        if self.processes[process].settings.role != Role::FinalReader {
            return None;
        }
        let partition = &mut self.partitions[partition];
        if let Some(bit) = partition.final_readers.get(&process) {
            return Some(*bit);
        }
        if partition.final_reader_count == u64::BITS {
            let name = &partition.name;
            self.findings.unchecked(format!("{name}: only its first 64 read-throughs count"));
            return None;
        }
        let bit = partition.final_reader_count;
        partition.final_reader_count += 1;
        partition.final_readers.insert(process, bit);
        Some(bit)
    }

    /// The number of the event's process.
    pub(super) fn process(&self, event: &Event) -> Result<usize, CheckError> {
        let number = self.process_numbers.get(&*event.process).copied();
        number.ok_or_else(|| malformed(event, "its process never started".to_owned()))
    }

    /// The number of a partition, which is new at its first mention.
    pub(super) fn partition(&mut self, partition: &Partition) -> usize {
        if let Some(number) = self.partition_numbers.get(partition) {
            return *number;
        }
        let number = self.partitions.len();
        self.partition_numbers.insert(partition.clone(), number);
        self.partitions.push(PartitionState {
            name: partition.clone(),
            values: self.table.add_region(),
            offsets: self.table.add_region(),
            value_end: 0,
            offset_end: 0,
            acked: None,
            watermarks: [Highest::default(); 2],
            final_readers: HashMap::new(),
            final_reader_count: 0,
            read_throughs: Vec::new(),
            replicas: Vec::new(),
        });
        number
    }

    /// Takes an offset that the history names, if it can be one.
    pub(super) fn admit_offset(
        &mut self,
        event: &Event,
        partition: usize,
        offset: i64,
    ) -> Result<(), CheckError> {
        let partition = &mut self.partitions[partition];
        let jump = i64::try_from(MAX_JUMP).unwrap_or(i64::MAX);
        if offset < 0 || offset.saturating_sub(partition.offset_end) > jump {
            let end = partition.offset_end;
            let name = &partition.name;
            return Err(malformed(
                event,
                format!("offset {offset} of {name} is not dense: offsets end at {end} so far"),
            ));
        }
        partition.offset_end = partition.offset_end.max(offset + 1);
        Ok(())
    }

    pub(super) fn value(&mut self, partition: usize, value: u64) -> io::Result<ValueEntry> {
        self.table.get(self.partitions[partition].values, value).map(ValueEntry::from_words)
    }

    pub(super) fn put_value(
        &mut self,
        (partition, value): (usize, u64),
        entry: &ValueEntry,
    ) -> io::Result<()> {
        self.table.put(self.partitions[partition].values, value, entry.words())
    }

    pub(super) fn offset(&mut self, partition: usize, offset: i64) -> io::Result<OffsetEntry> {
        let index = u64::try_from(offset).map_err(io::Error::other)?;
        self.table.get(self.partitions[partition].offsets, index).map(OffsetEntry::from_words)
    }

    /// Notes that an operation saw a value at an offset. Returns whether nobody had seen it there before.
    pub(super) fn see(
        &mut self,
        (partition, offset): (usize, i64),
        value: u64,
        (op, sight): (OperationId, Sight),
    ) -> io::Result<bool> {
        let old = self.offset(partition, offset)?;
        let mut new = old;
        let fresh = old.value != Some(value) && old.weak_value != Some(value);
        match sight {
            Sight::Weak => new.weak_value = Some(value),
            Sight::Acked | Sight::Read => {
                if old.value.is_none() {
                    (new.value, new.said_by) = (Some(value), op);
                }
                new.read |= sight == Sight::Read && new.value == Some(value);
            }
        }
        let others = [old.value, old.weak_value].into_iter().flatten();
        let differs = others.into_iter().any(|other| other != value);
        if differs && !old.inconsistent {
            // An acknowledgement of acks=1 is no promise: only two that are settle it.
            if sight != Sight::Weak && old.value.is_some_and(|other| other != value) {
                new.inconsistent = true;
                let name = &self.partitions[partition].name;
                self.findings.anomaly(Anomaly::InconsistentOffsets, &[old.said_by, op], || {
                    let other = old.value.unwrap_or_default();
                    format!("{name} offset {offset}: value {other} was seen, then value {value}")
                });
            } else if fresh {
                self.findings.allow(Anomaly::InconsistentOffsets, "acks=1");
            }
        }
        if new != old {
            self.put_offset((partition, offset), &new)?;
        }
        Ok(fresh && !old.inconsistent)
    }

    pub(super) fn put_offset(
        &mut self,
        (partition, offset): (usize, i64),
        entry: &OffsetEntry,
    ) -> io::Result<()> {
        let index = u64::try_from(offset).map_err(io::Error::other)?;
        self.table.put(self.partitions[partition].offsets, index, entry.words())
    }

    pub(super) fn transaction(&mut self, number: u64) -> io::Result<TransactionEntry> {
        self.table.get(self.transactions, number).map(TransactionEntry::from_words)
    }

    pub(super) fn put_transaction(
        &mut self,
        number: u64,
        entry: &TransactionEntry,
    ) -> io::Result<()> {
        self.table.put(self.transactions, number, entry.words())
    }

    pub(super) fn push_gap(&mut self, gap: &Gap) -> io::Result<()> {
        self.table.put(self.gaps, self.gap_count, gap.words())?;
        self.gap_count += 1;
        Ok(())
    }

    pub(super) fn gap(&mut self, number: u64) -> io::Result<Gap> {
        self.table.get(self.gaps, number).map(Gap::from_words)
    }
}

/// How a value was seen at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// An acknowledgement of acks=1.
    Weak,
    /// An acknowledgement of acks=all.
    Acked,
    /// A poll.
    Read,
}

/// An event that breaks the rules of the format.
pub(super) fn malformed(event: &Event, what: String) -> CheckError {
    CheckError::Malformed { op: event.op, process: event.process.to_string(), what }
}
