//! What a log's transactions come to, computed from nothing but all of its batches.

use std::collections::BTreeMap;

use model::record_batch::{BatchHeader, Batches, EndTransactionMarker, TransactionResult};
use model::{Offset, ProducerId};

use crate::log::Log;
use crate::producers::marker::marker_in_log;
use crate::producers::transactions::AbortedTransaction;
use crate::reads::read_plan::{Minimum, ReadRequest};

/// One transaction that was decided.
#[derive(Clone, Copy, Debug)]
struct Decided {
    producer_id: ProducerId,
    first: Offset,
    marker: Offset,
    is_aborted: bool,
}

/// All transactions of a log.
#[derive(Debug, Default)]
pub(super) struct Naive {
    open: BTreeMap<ProducerId, Offset>,
    decided: Vec<Decided>,
    epochs: BTreeMap<ProducerId, i16>,
}

impl Naive {
    pub(super) fn of(log: &Log) -> Self {
        let mut naive = Self::default();
        let mut next = log.log_start_offset();
        loop {
            let upper_bound = log.log_end_offset();
            let minimum = Minimum::OneBatch;
            let request = ReadRequest { from: next, upper_bound, max_bytes: 1 << 20, minimum };
            let bytes = log.read(request).unwrap().execute().unwrap();
            if bytes.is_empty() {
                return naive;
            }
            for batch in Batches::whole(&bytes) {
                let batch = batch.unwrap();
                naive.take(&batch.header, marker_in_log(batch));
                next = batch.header.next_offset();
            }
        }
    }

    fn take(&mut self, header: &BatchHeader, marker: Option<EndTransactionMarker>) {
        let Some(producer) = header.producer else {
            return;
        };
        self.epochs.insert(producer.id, producer.epoch.0);
        if let Some(marker) = marker {
            if let Some(first) = self.open.remove(&producer.id) {
                self.decided.push(Decided {
                    producer_id: producer.id,
                    first,
                    marker: header.base_offset,
                    is_aborted: marker.result == TransactionResult::Abort,
                });
            }
        } else if header.is_transactional() && !header.is_control() {
            self.open.entry(producer.id).or_insert(header.base_offset);
        }
    }

    fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        let undecided = self.decided.iter().filter(|decided| decided.marker >= high_watermark);
        let firsts = undecided.map(|decided| decided.first).chain(self.open.values().copied());
        firsts.min().map_or(high_watermark, |first| first.min(high_watermark))
    }

    fn aborted(&self, from: Offset, end: Offset) -> Vec<(ProducerId, Offset, Offset)> {
        let overlaps = |decided: &&Decided| {
            decided.is_aborted && decided.marker >= from && decided.first < end
        };
        let aborted = self.decided.iter().filter(overlaps);
        aborted.map(|decided| (decided.producer_id, decided.first, decided.marker)).collect()
    }

    /// Checks that the log says the same: about each producer, about what is stable below each high watermark from one on, and about what is aborted in each read.
    pub(super) fn check(&self, log: &Log, lowest_high_watermark: i64, context: &str) {
        let active = log.active_producers();
        let open = active.iter().filter_map(|one| Some((one.id, one.transaction_start_offset?)));
        assert_eq!(open.collect::<BTreeMap<_, _>>(), self.open, "{context}: open");
        let epochs = active.iter().map(|one| (one.id, one.epoch.0));
        assert_eq!(epochs.collect::<BTreeMap<_, _>>(), self.epochs, "{context}: epochs");
        let (start, end) = (log.log_start_offset().0, log.log_end_offset().0);
        for high_watermark in (lowest_high_watermark.max(start)..=end).map(Offset) {
            let stable = self.last_stable_offset(high_watermark).max(Offset(start));
            let said = log.last_stable_offset(high_watermark);
            assert_eq!(said, stable, "{context}: high watermark {high_watermark}");
        }
        for from in start..end {
            let lookup = log.aborted_lookup(Offset(from));
            for read_end in from + 1..=lookup.bound.0 {
                let found = lookup.execute(Offset(read_end)).unwrap();
                let found: Vec<_> = found.iter().map(shown).collect();
                let expected = self.aborted(Offset(from), Offset(read_end));
                assert_eq!(found, expected, "{context}: aborted from {from} to {read_end}");
            }
        }
    }
}

fn shown(aborted: &AbortedTransaction) -> (ProducerId, Offset, Offset) {
    (aborted.producer_id, aborted.first_offset, aborted.last_offset)
}
