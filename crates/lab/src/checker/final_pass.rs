//! The pass over the table once the history has ended: losses, vanished and aborted records, order, and gaps, each now that all is known.

use std::collections::{BTreeMap, HashMap};

use super::CheckError;
use super::entry::{Gap, Jump, OffsetEntry, Outcome, TransactionEntry, ValueEntry};
use super::findings::Kind as Anomaly;
use super::state::{Checker, ReadThrough};
use crate::history::{Acks, OperationId};
use crate::report::Tally;

/// A value, and its transaction if it has one.
#[derive(Clone, Copy, Debug)]
struct Record {
    partition: usize,
    value: u64,
    entry: ValueEntry,
    transaction: Option<TransactionEntry>,
    acks: Acks,
}

/// What a read-through says of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Found,
    Missing,
    /// It does not reach that far.
    Beyond,
}

impl Checker {
    /// Judges every value of every partition, and counts.
    pub(super) fn judge_values(&mut self) -> Result<BTreeMap<String, Tally>, CheckError> {
        let mut tallies = BTreeMap::new();
        for partition in 0..self.partitions.len() {
            if self.partitions[partition].read_throughs.is_empty() {
                let name = &self.partitions[partition].name;
                self.findings
                    .unchecked(format!("{name} was never read through: losses there are not seen"));
            }
            let read_throughs = std::mem::take(&mut self.partitions[partition].read_throughs);
            let mut last = HashMap::new();
            for value in 0..self.partitions[partition].value_end {
                let entry = self.value(partition, value)?;
                if entry.outcome == Outcome::Never {
                    continue;
                }
                let transaction = entry.transaction.map(|number| self.transaction(number));
                let transaction = transaction.transpose()?;
                let acks = self.acks(&entry);
                let record = Record { partition, value, entry, transaction, acks };
                self.judge_order(&record, &mut last);
                self.judge_visibility(&record);
                self.tear(&record, &read_throughs)?;
                let tally = tallies.entry(acks_name(acks).to_owned()).or_default();
                self.judge_presence(&record, &read_throughs, tally);
            }
            self.partitions[partition].read_throughs = read_throughs;
        }
        Ok(tallies)
    }

    /// Values stand in the order of their invocations: so must the offsets of one producer. `last` has the highest of each. Only
    /// acknowledged records are held to it: one whose outcome was unknown may arrive late.
    fn judge_order(&mut self, record: &Record, last: &mut HashMap<usize, (i64, OperationId)>) {
        let entry = &record.entry;
        // acks=1 promises no offset; where it was read is where it stayed.
        let offset = if record.acks == Acks::All { entry.offset() } else { entry.read_at };
        let Some(offset) = offset.filter(|_| entry.outcome == Outcome::Ok) else { return };
        let highest = last.entry(entry.producer).or_insert((offset, entry.send));
        if offset >= highest.0 {
            *highest = (offset, entry.send);
            return;
        }
        let (other, op) = *highest;
        let settings = &self.processes[entry.producer].settings;
        let strict = settings.idempotent || settings.max_in_flight <= 1 || !settings.retries;
        if !strict || record.acks == Acks::Zero {
            self.findings.allow(Anomaly::Reorder, "the client does not ask for order");
            return;
        }
        let Record { value, .. } = *record;
        let name = &self.partitions[record.partition].name;
        self.findings.anomaly(Anomaly::Reorder, &[op, entry.send], || {
            format!("{name}: value {value} is at offset {offset}, a record that its producer sent before at {other}")
        });
    }

    fn judge_visibility(&mut self, record: &Record) {
        let entry = &record.entry;
        let aborted = record.transaction.filter(|own| own.outcome == Outcome::Failed);
        let failed = entry.outcome == Outcome::Failed;
        if !(failed && entry.read || aborted.is_some() && entry.read_committed) {
            return;
        }
        let Record { value, .. } = *record;
        let name = &self.partitions[record.partition].name;
        let mut ops = vec![entry.send, entry.poll];
        ops.extend(aborted.map(|own| own.op));
        let why = if failed { "its send had failed" } else { "its transaction was not committed" };
        self.findings.anomaly(Anomaly::AbortedRead, &ops, || {
            format!("{name}: value {value} was polled, though {why}")
        });
    }

    /// Counts the record, and says whether it is there that was promised or seen.
    fn judge_presence(
        &mut self,
        record: &Record,
        read_throughs: &[ReadThrough],
        tally: &mut Tally,
    ) {
        let entry = &record.entry;
        let acked = entry.outcome == Outcome::Ok;
        tally.sent += 1;
        tally.acknowledged += u64::from(acked);
        tally.duplicated += entry.copies;
        let due = read_throughs.iter().filter(|read| record.is_due(read));
        let fates: Vec<_> = due.map(|read| (record.fate(read), read.op)).collect();
        let missing = fates.iter().find(|(fate, _)| *fate == Fate::Missing);
        if acked && missing.is_none() && fates.iter().any(|(fate, _)| *fate == Fate::Found) {
            tally.found += 1;
        }
        let Some((_, read_through)) = missing else { return };
        tally.lost += u64::from(acked);
        let Record { value, .. } = *record;
        let name = &self.partitions[record.partition].name;
        let place = entry.offset().map_or_else(String::new, |offset| format!(" (offset {offset})"));
        let unknown = matches!(entry.outcome, Outcome::Open | Outcome::Unknown);
        if acked && record.acks == Acks::All || unknown && entry.read {
            let why = if acked { "was acknowledged" } else { "was polled, so it is committed" };
            self.findings.anomaly(Anomaly::LostWrite, &[entry.send, *read_through], || {
                format!("{name}: value {value}{place} {why}, and the final read does not have it")
            });
        } else if acked {
            let why = format!("acks={}", acks_name(record.acks));
            self.findings.allow(Anomaly::LostWrite, &why);
        }
        if entry.read {
            let ops = [entry.send, entry.poll, *read_through];
            self.findings.anomaly(Anomaly::VanishedRead, &ops, || {
                format!("{name}: value {value}{place} was polled, and a full read does not have it")
            });
        }
    }

    /// Notes whether a read-through found the record, in its transaction.
    fn tear(&mut self, record: &Record, read_throughs: &[ReadThrough]) -> Result<(), CheckError> {
        let (Some(number), Some(old)) = (record.entry.transaction, record.transaction) else {
            return Ok(());
        };
        let mut new = old;
        for read in read_throughs.iter().filter(|read| read.read_committed) {
            match record.fate(read) {
                Fate::Found => new.found = new.found.or(Some(record.entry.send)),
                Fate::Missing => new.missing = new.missing.or(Some(record.entry.send)),
                Fate::Beyond => {}
            }
        }
        if new != old {
            self.put_transaction(number, &new)?;
        }
        Ok(())
    }

    /// Looks into what was jumped over.
    pub(super) fn judge_gaps(&mut self) -> Result<(), CheckError> {
        for number in 0..self.gap_count {
            let gap = self.gap(number)?;
            let Some((offset, value, op)) = self.first_in_gap(&gap)? else { continue };
            let name = &self.partitions[gap.partition].name;
            let kind = match gap.jump {
                Jump::Poll => Anomaly::PollSkip,
                Jump::Group => Anomaly::CommittedOffsetSkip,
            };
            self.findings.anomaly(kind, &[gap.before, gap.op, op], || {
                let Gap { from, to, .. } = gap;
                format!(
                    "{name}: from offset {from} on to {to}, over value {value} at offset {offset}"
                )
            });
        }
        Ok(())
    }

    /// The first record in a gap that the process should have seen.
    fn first_in_gap(&mut self, gap: &Gap) -> Result<Option<(i64, u64, OperationId)>, CheckError> {
        let end = gap.to.min(self.partitions[gap.partition].offset_end);
        for offset in gap.from..end {
            let at = self.offset(gap.partition, offset)?;
            let Some(value) = at.value else { continue };
            let entry = self.value(gap.partition, value)?;
            let read_committed = self.processes[gap.process].settings.read_committed;
            let transaction = match entry.transaction.filter(|_| read_committed) {
                Some(number) => Some(self.transaction(number)?),
                None => None,
            };
            let visible =
                entry.outcome != Outcome::Failed && transaction.is_none_or(|own| own.committed());
            if visible && self.is_in_log(gap.partition, &at, &entry) {
                return Ok(Some((offset, value, at.said_by)));
            }
        }
        Ok(None)
    }

    /// Somebody read it, or it was acknowledged and no read-through says that it is lost: a lost record was not jumped over.
    fn is_in_log(&self, partition: usize, at: &OffsetEntry, entry: &ValueEntry) -> bool {
        at.read || self.partitions[partition].read_throughs.is_empty() || entry.found_by != 0
    }
}

impl Record {
    /// Whether a read-through should have it: if it reads all that is there, or the record is of no transaction, or of a committed one.
    fn is_due(&self, read: &ReadThrough) -> bool {
        !read.read_committed || self.transaction.is_none_or(|own| own.committed())
    }

    fn fate(&self, read: &ReadThrough) -> Fate {
        let entry = &self.entry;
        if entry.found_by >> read.bit & 1 == 1 {
            return Fate::Found;
        }
        if self.value >= read.value_end || !entry.read && entry.outcome != Outcome::Ok {
            return Fate::Beyond;
        }
        let missing = match (entry.acked_at, entry.read_at) {
            // All sends had ended: one acknowledged behind the end is gone too.
            (Some(acked), _) => acked >= read.from,
            // What arrived late may be behind the end.
            (None, Some(offset)) => (read.from..read.to).contains(&offset),
            (None, None) => read.from <= 0,
        };
        if missing { Fate::Missing } else { Fate::Beyond }
    }
}

/// As the history writes it.
fn acks_name(acks: Acks) -> &'static str {
    match acks {
        Acks::Zero => "0",
        Acks::One => "1",
        Acks::All => "all",
    }
}
