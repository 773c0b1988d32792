//! Which batches and records stay (Kafka's `Cleaner.cleanInto`, KIP-98, KIP-534).
//!
//! Owns the rules, as functions of a batch and what the clean knows. Writes nothing.

use std::collections::HashMap;

use model::record_batch::{Batch, BatchHeader, Record, Records, RecordsError};
use model::{Offset, ProducerEpoch, ProducerId, UnixMillis};

use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use crate::producers::marker::marker_in_log;

/// What becomes of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It stays, byte by byte.
    Keep,
    /// It stays without its records: it is the last one of its producer, whose sequence goes on behind it.
    Empty,
    /// It goes.
    Drop,
    /// It stays with those of its records that are marked, and gets a delete horizon if one is given.
    Rewrite(Vec<bool>, Option<UnixMillis>),
}

/// The last batch of a producer that may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LastBatch {
    /// Its epoch.
    pub(crate) epoch: ProducerEpoch,
    /// Last offset of its last batch of records; `None` when it has written nothing but markers in this epoch.
    pub(crate) last_data_offset: Option<Offset>,
    /// The same of what lies below the stable offset, as far as it is remembered: a truncation may take what lies above (Kafka looks at the last one alone).
    pub(crate) last_stable_data_offset: Option<Offset>,
}

/// What a clean knows when it looks at a batch.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    pub(super) map: &'a OffsetMap,
    /// Records at and above it are not in the map, and stay.
    pub(super) mapped_end: Offset,
    pub(super) producers: &'a HashMap<ProducerId, LastBatch>,
    pub(super) now: UnixMillis,
    /// When what is met for the first time now may go: now plus `delete.retention.ms`.
    pub(super) horizon: UnixMillis,
    /// Limit of what a batch inflates to.
    pub(super) limit_bytes: usize,
}

impl Rules<'_> {
    /// Decides about the next batch of the log.
    pub(super) fn judge(
        &self,
        batch: Batch<'_>,
        transactions: &mut Transactions,
    ) -> Result<Verdict, RecordsError> {
        let header = &batch.header;
        if header.is_vacant() {
            return Ok(Verdict::Drop);
        }
        let gone = if self.is_last_of_producer(header) { Verdict::Empty } else { Verdict::Drop };
        if header.is_control() {
            return Ok(self.judge_marker(batch, transactions, gone));
        }
        if header.record_count == 0 {
            return Ok(if gone == Verdict::Empty { Verdict::Keep } else { gone });
        }
        if transactions.met_records(header) {
            return Ok(gone);
        }
        if header.base_offset >= self.mapped_end {
            return Ok(Verdict::Keep);
        }
        self.judge_records(batch, gone)
    }

    fn judge_marker(
        &self,
        batch: Batch<'_>,
        transactions: &mut Transactions,
        gone: Verdict,
    ) -> Verdict {
        let header = &batch.header;
        if header.record_count == 0 {
            return if gone == Verdict::Empty { Verdict::Keep } else { gone };
        }
        let result = marker_in_log(batch).map(|marker| marker.result);
        let outlives_its_records = transactions.met_marker(header, result);
        match header.delete_horizon() {
            Some(horizon) if outlives_its_records && horizon <= self.now => gone,
            None if outlives_its_records => {
                Verdict::Rewrite(vec![true; count(header)], Some(self.horizon))
            }
            _ => Verdict::Keep,
        }
    }

    fn judge_records(&self, batch: Batch<'_>, gone: Verdict) -> Result<Verdict, RecordsError> {
        let header = &batch.header;
        let records = Records::of(batch, self.limit_bytes)?;
        let mut kept = Vec::new();
        let mut has_tombstones = false;
        for record in records.iter() {
            let record = record?;
            let stays = self.stays(header, &record);
            has_tombstones |= stays && record.value.is_none();
            kept.push(stays);
        }
        let horizon = (has_tombstones && header.delete_horizon().is_none()).then_some(self.horizon);
        Ok(if !kept.contains(&true) {
            gone
        } else if kept.contains(&false) || horizon.is_some() {
            Verdict::Rewrite(kept, horizon)
        } else {
            Verdict::Keep
        })
    }

    /// A record stays while it is the last one of its key that is known; a tombstone only until its horizon. One without a key goes.
    fn stays(&self, header: &BatchHeader, record: &Record<'_>) -> bool {
        if record.offset >= self.mapped_end {
            return true;
        }
        let Some(key) = record.key else { return false };
        let is_latest = self.map.get(key).is_none_or(|latest| record.offset >= latest);
        let is_past = header.delete_horizon().is_some_and(|horizon| horizon <= self.now);
        is_latest && (record.value.is_some() || !is_past)
    }

    fn is_last_of_producer(&self, header: &BatchHeader) -> bool {
        let Some(producer) = header.producer else { return false };
        self.producers.get(&producer.id).is_some_and(|last| match last.last_data_offset {
            Some(offset) => {
                let last_offset = header.last_offset();
                last_offset == offset || Some(last_offset) == last.last_stable_data_offset
            }
            None => header.is_control() && producer.epoch == last.epoch,
        })
    }
}

fn count(header: &BatchHeader) -> usize {
    usize::try_from(header.record_count).unwrap_or(0)
}
