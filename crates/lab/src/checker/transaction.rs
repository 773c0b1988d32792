//! Transactions: how they ended, and what that says of their records.

use super::CheckError;
use super::cycle;
use super::entry::{Outcome, TransactionEntry};
use super::findings::Kind as Anomaly;
use super::state::{Checker, OpenTransaction, malformed};
use crate::history::{Event, Kind, Partition, TransactionEnd};

/// Transactions of a circle that an example shows.
const MAX_CIRCLE: usize = 8;

impl Checker {
    /// A transaction begins.
    pub(super) fn transaction_invoked(&mut self, event: &Event) -> Result<(), CheckError> {
        let process = self.process(event)?;
        let number = self.transaction_count;
        self.transaction_count += 1;
        let entry = TransactionEntry { outcome: Outcome::Open, op: event.op, ..Default::default() };
        self.put_transaction(number, &entry)?;
        self.open_transactions.insert(event.op, OpenTransaction { number, process });
        Ok(())
    }

    /// A transaction ended.
    pub(super) fn transaction_completed(
        &mut self,
        event: &Event,
        end: TransactionEnd,
        (group, offsets): (&str, &[(Partition, i64)]),
    ) -> Result<(), CheckError> {
        let Some(OpenTransaction { number, .. }) = self.open_transactions.remove(&event.op) else {
            return Err(malformed(event, "it ends no transaction that is open".to_owned()));
        };
        let (outcome, kind) = match (event.kind, end) {
            (Kind::Ok, TransactionEnd::Commit) => (Outcome::Ok, Kind::Ok),
            (Kind::Ok, TransactionEnd::Abort) | (Kind::Fail, _) => (Outcome::Failed, Kind::Fail),
            (Kind::Info | Kind::Invoke, _) => (Outcome::Unknown, Kind::Info),
        };
        let mut entry = self.transaction(number)?;
        entry.outcome = outcome;
        self.put_transaction(number, &entry)?;
        self.committed_with_transaction(event, kind, (group, offsets));
        Ok(())
    }

    /// Looks for torn transactions and for circles.
    pub(super) fn judge_transactions(&mut self) -> Result<(), CheckError> {
        for number in 0..self.transaction_count {
            let entry = self.transaction(number)?;
            if let (Some(found), Some(missing)) = (entry.found, entry.missing) {
                let op = entry.op;
                self.findings.anomaly(Anomaly::TornTransaction, &[op, found, missing], || {
                    format!("transaction {op}: the record of operation {found} is in the final read, that of {missing} is not")
                });
            }
        }
        let mut edges = Vec::with_capacity(self.flows.len());
        for (writer, reader) in std::mem::take(&mut self.flows) {
            if self.transaction(writer)?.committed() && self.transaction(reader)?.committed() {
                edges.push((writer, reader));
            }
        }
        for circle in cycle::circles(edges) {
            let mut ops = Vec::new();
            for number in circle.iter().take(MAX_CIRCLE) {
                ops.push(self.transaction(*number)?.op);
            }
            self.findings.anomaly(Anomaly::CircularFlow, &ops, || {
                format!("{} committed transactions read in a circle what the others wrote, {ops:?} among them", circle.len())
            });
        }
        Ok(())
    }
}
