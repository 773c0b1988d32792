//! Polls: what a consumer was given, and whether it was next.

use super::CheckError;
use super::entry::{Gap, Jump, Outcome};
use super::findings::Kind as Anomaly;
use super::state::{Checker, Position, Sight, malformed};
use crate::history::{Event, OperationId, Partition, Read};

/// Who polls what.
#[derive(Clone, Copy, Debug)]
struct Reader {
    process: usize,
    partition: usize,
    read_committed: bool,
    transaction: Option<u64>,
    /// Of a final reader.
    bit: Option<u32>,
    /// Of a member of a group.
    group: Option<u32>,
}

impl Checker {
    /// A poll returned records.
    pub(super) fn polled(
        &mut self,
        event: &Event,
        reads: &[Read],
        transaction: Option<OperationId>,
    ) -> Result<(), CheckError> {
        let process = self.process(event)?;
        let transaction = self.open_transaction(event, transaction)?;
        let read_committed = self.processes[process].settings.read_committed;
        let group = self.group_bit(process);
        for read in reads {
            let partition = self.partition(&read.partition);
            let bit = self.final_bit(process, partition);
            let reader = Reader { process, partition, read_committed, transaction, bit, group };
            let mut position = self.processes[process].positions.get(&partition).copied();
            for (offset, value) in &read.records {
                self.admit_offset(event, partition, *offset)?;
                self.advance(&reader, position, (*offset, event.op))?;
                position = Some(Position { next: offset + 1, op: event.op });
                self.read_record(event, &reader, (*offset, *value))?;
            }
            if let Some(position) = position {
                self.processes[process].positions.insert(partition, position);
                self.group_polled(process, partition, position.next);
            }
        }
        Ok(())
    }

    /// Checks that a record is the next one; a jump is judged once everything is known.
    fn advance(
        &mut self,
        reader: &Reader,
        position: Option<Position>,
        (offset, op): (i64, OperationId),
    ) -> Result<(), CheckError> {
        let Some(Position { next, op: before }) = position else { return Ok(()) };
        if offset < next {
            let name = &self.partitions[reader.partition].name;
            self.findings.anomaly(Anomaly::NonmonotonicPoll, &[before, op], || {
                format!(
                    "{name}: offset {offset} was polled when offset {next} or a later one was next"
                )
            });
        }
        if offset > next && next >= 0 {
            let Reader { process, partition, .. } = *reader;
            let jump = Jump::Poll;
            self.push_gap(&Gap { process, partition, from: next, to: offset, op, before, jump })?;
        }
        Ok(())
    }

    fn read_record(
        &mut self,
        event: &Event,
        reader: &Reader,
        (offset, value): (i64, u64),
    ) -> Result<(), CheckError> {
        let partition = reader.partition;
        let known = value < self.partitions[partition].value_end;
        let old = if known { self.value(partition, value)? } else { Default::default() };
        if old.outcome == Outcome::Never {
            let name = &self.partitions[partition].name;
            self.findings.anomaly(Anomaly::PhantomRead, &[event.op], || {
                format!("{name} offset {offset}: value {value} was polled; nobody sent it")
            });
            return Ok(());
        }
        let mut entry = old;
        let fresh = self.see((partition, offset), value, (event.op, Sight::Read))?;
        self.deliver(reader.group, (partition, offset), value)?;
        if fresh && old.offset().is_some_and(|other| other != offset) {
            self.duplicate(&mut entry, (partition, value), (offset, event.op));
        }
        entry.read_at = old.read_at.or(Some(offset));
        if !old.read || reader.read_committed && !old.read_committed {
            entry.poll = event.op;
        }
        entry.read = true;
        entry.read_committed |= reader.read_committed;
        entry.found_by |= reader.bit.map_or(0, |bit| 1 << bit);
        if entry != old {
            self.put_value((partition, value), &entry)?;
        }
        match old.transaction {
            Some(writer) => {
                let what = (offset, value, old.send);
                self.read_of_transaction(event, writer, reader, what)
            }
            None => Ok(()),
        }
    }

    /// Notes what the read of a transaction's record says about both transactions.
    fn read_of_transaction(
        &mut self,
        event: &Event,
        writer: u64,
        reader: &Reader,
        (offset, value, send): (i64, u64, OperationId),
    ) -> Result<(), CheckError> {
        if reader.read_committed {
            let mut entry = self.transaction(writer)?;
            if !entry.seen {
                entry.seen = true;
                self.put_transaction(writer, &entry)?;
            }
        }
        match reader.transaction {
            Some(own) if own == writer && reader.read_committed => {
                let name = &self.partitions[reader.partition].name;
                self.findings.anomaly(Anomaly::PrecommittedRead, &[send, event.op], || {
                    format!("{name} offset {offset}: a transaction polled value {value}, which it had sent")
                });
            }
            Some(own) if own == writer => {
                self.findings.allow(Anomaly::PrecommittedRead, "read_uncommitted");
            }
            Some(own) if reader.read_committed => {
                self.flows.insert((writer, own));
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    /// A consumer goes on from somewhere else, by its own will.
    pub(super) fn assigned(
        &mut self,
        event: &Event,
        positions: &[(Partition, i64)],
    ) -> Result<(), CheckError> {
        let process = self.process(event)?;
        for (partition, next) in positions {
            let partition = self.partition(partition);
            self.place(process, partition, (*next, event.op));
            self.group_rewound(process, partition, *next);
        }
        Ok(())
    }

    /// Puts a consumer at a position; a negative one (the beginning, the end) is not known.
    pub(super) fn place(
        &mut self,
        process: usize,
        partition: usize,
        (next, op): (i64, OperationId),
    ) {
        let positions = &mut self.processes[process].positions;
        if next < 0 {
            positions.remove(&partition);
        } else {
            positions.insert(partition, Position { next, op });
        }
    }

    /// The number of the transaction that an operation names; it must be in flight.
    pub(super) fn open_transaction(
        &self,
        event: &Event,
        transaction: Option<OperationId>,
    ) -> Result<Option<u64>, CheckError> {
        let Some(op) = transaction else { return Ok(None) };
        let open = self.open_transactions.get(&op).map(|open| Some(open.number));
        open.ok_or_else(|| malformed(event, format!("transaction {op} is not open")))
    }
}
