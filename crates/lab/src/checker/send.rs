//! Sends: what is promised, where, and what an acknowledgement must not say.
//!
//! An open send lives in the table, in the entry of its value, so that unknown ones cost no memory.

use super::CheckError;
use super::entry::{Outcome, ValueEntry};
use super::findings::Kind as Anomaly;
use super::state::{Checker, MAX_JUMP, Sight, malformed};
use crate::history::{Acks, Event, Kind, OperationId};

impl Checker {
    /// A record is sent.
    pub(super) fn send_invoked(
        &mut self,
        event: &Event,
        (partition, value): (usize, u64),
        transaction: Option<OperationId>,
    ) -> Result<(), CheckError> {
        let producer = self.process(event)?;
        let transaction = self.open_transaction(event, transaction)?;
        let state = &mut self.partitions[partition];
        if value.saturating_sub(state.value_end) > MAX_JUMP {
            let (name, end) = (&state.name, state.value_end);
            let what = format!("value {value} of {name} is not dense: values end at {end} so far");
            return Err(malformed(event, what));
        }
        state.value_end = state.value_end.max(value + 1);
        let floor = state.acked;
        let old = self.value(partition, value)?;
        if old.outcome != Outcome::Never {
            return Err(malformed(
                event,
                format!("value {value} was sent by operation {} already", old.send),
            ));
        }
        let entry = ValueEntry {
            outcome: Outcome::Open,
            producer,
            send: event.op,
            transaction,
            floor,
            ..ValueEntry::default()
        };
        Ok(self.put_value((partition, value), &entry)?)
    }

    /// A send was acknowledged.
    pub(super) fn send_acked(
        &mut self,
        event: &Event,
        (partition, value): (usize, u64),
        offset: Option<i64>,
    ) -> Result<(), CheckError> {
        let mut entry = self.open_send(event, partition, value)?;
        entry.outcome = Outcome::Ok;
        let acks = self.acks(&entry);
        // acks=0 has no answer, whatever the client makes up.
        if let Some(offset) = offset.filter(|_| acks != Acks::Zero) {
            if offset < 0 {
                let name = &self.partitions[partition].name;
                self.findings.anomaly(Anomaly::SpuriousOffset, &[event.op], || {
                    format!("{name}: value {value} was acknowledged at offset {offset}")
                });
            } else {
                self.admit_offset(event, partition, offset)?;
                self.acked_at(&mut entry, (partition, value), (offset, acks))?;
            }
        }
        Ok(self.put_value((partition, value), &entry)?)
    }

    fn acked_at(
        &mut self,
        entry: &mut ValueEntry,
        (partition, value): (usize, u64),
        (offset, acks): (i64, Acks),
    ) -> Result<(), CheckError> {
        let sight = if acks == Acks::All { Sight::Acked } else { Sight::Weak };
        let fresh = self.see((partition, offset), value, (entry.send, sight))?;
        if fresh && entry.read_at.is_some_and(|other| other != offset) {
            self.duplicate(entry, (partition, value), (offset, entry.send));
        }
        entry.acked_at = Some(offset);
        if let Some(floor) = entry.floor.filter(|floor| offset <= *floor) {
            if acks == Acks::All {
                let promised = self.offset(partition, floor)?.said_by;
                let name = &self.partitions[partition].name;
                self.findings.anomaly(Anomaly::StaleAppend, &[promised, entry.send], || {
                    format!("{name}: value {value} was acknowledged at offset {offset}; before it was sent, offset {floor} was acknowledged")
                });
            } else {
                self.findings.allow(Anomaly::StaleAppend, "acks=1");
            }
        }
        if acks == Acks::All {
            let acked = &mut self.partitions[partition].acked;
            *acked = (*acked).max(Some(offset));
        }
        Ok(())
    }

    /// A send failed, or is unknown.
    pub(super) fn send_not_acked(
        &mut self,
        event: &Event,
        (partition, value): (usize, u64),
    ) -> Result<(), CheckError> {
        let mut entry = self.open_send(event, partition, value)?;
        entry.outcome = if event.kind == Kind::Fail { Outcome::Failed } else { Outcome::Unknown };
        if let Some(error) = event.error.as_deref().filter(|error| says_nothing(error)) {
            let name = &self.partitions[partition].name;
            self.findings.anomaly(Anomaly::IllegalError, &[event.op], || {
                format!("{name}: the send of value {value} was answered with {error}")
            });
        }
        Ok(self.put_value((partition, value), &entry)?)
    }

    /// Notes that a value is at one more offset.
    pub(super) fn duplicate(
        &mut self,
        entry: &mut ValueEntry,
        (partition, value): (usize, u64),
        (offset, op): (i64, OperationId),
    ) {
        entry.copies += 1;
        let settings = &self.processes[entry.producer].settings;
        if !settings.idempotent && settings.retries {
            self.findings.allow(Anomaly::Duplicate, "the client sends again");
            return;
        }
        let name = &self.partitions[partition].name;
        let other = entry.offset().unwrap_or_default();
        let first = if entry.read { entry.poll } else { entry.send };
        self.findings.anomaly(Anomaly::Duplicate, &[entry.send, first, op], || {
            format!("{name}: value {value} is at offset {other} and at offset {offset}")
        });
    }

    /// What was promised to the producer of a value.
    pub(super) fn acks(&self, entry: &ValueEntry) -> Acks {
        self.processes[entry.producer].settings.acks.unwrap_or(Acks::All)
    }

    fn open_send(
        &mut self,
        event: &Event,
        partition: usize,
        value: u64,
    ) -> Result<ValueEntry, CheckError> {
        let end = self.partitions[partition].value_end;
        let entry = if value < end { self.value(partition, value)? } else { ValueEntry::default() };
        if entry.outcome == Outcome::Open && entry.send == event.op {
            return Ok(entry);
        }
        Err(malformed(event, format!("it ends no send of value {value} that is open")))
    }
}

/// Whether an error is UNKNOWN_SERVER_ERROR: its name, not one that only begins so (`UnknownTopicOrPartition`) and not the description behind.
fn says_nothing(error: &str) -> bool {
    let name = error.split('(').next().unwrap_or_default().trim();
    let name = name.rsplit([' ', ':']).next().unwrap_or_default();
    matches!(name, "Unknown" | "UnknownServerError" | "UNKNOWN" | "UNKNOWN_SERVER_ERROR")
}
