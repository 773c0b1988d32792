//! One clean of one log, on a thread of its own: learn where the last record of each key is, then write group by group what stays.
//!
//! Owns the order of both passes, and when a clean is given up: a truncation or the log's retirement voids it, and so does a stop. What it has swapped in by then
//! stays, which is right at any point. Holds the log's turn only to touch names.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;

use model::record_batch::{Batch, Records, RecordsError};
use model::{Offset, ProducerId, UnixMillis};

use super::filter::rewrite;
use super::group::{GroupLimits, GroupWriter, Place, SourceSegment, discard, group_size};
use super::offset_map::{OffsetMap, Put};
use super::retention::{LastBatch, Rules, Verdict};
use super::swap::Replacement;
use super::transactions::Transactions;
use super::walk::Walk;
use crate::checkpoint_files::PartitionCheckpoint;
use crate::error::{FatalError, ReadError};
use crate::file_system::in_file;
use crate::jobs::checkpoint::Running;
use crate::producers::marker::marker_in_log;
use crate::reads::aborted_lookup::AbortedLookup;

/// A clean that was begun. Dropped at any moment, it leaves a log that is right.
#[derive(Debug)]
pub struct Clean {
    input: CleanInput,
    map: OffsetMap,
    /// Records at and above it are not in the map.
    mapped_end: Offset,
    /// As far as the second pass has come.
    transactions: Transactions,
    next_source: usize,
    /// The first segment of the group that was written last.
    group_start: usize,
    stats: CleanStats,
}

/// What a clean works on.
#[derive(Debug)]
pub(crate) struct CleanInput {
    pub(crate) place: Place,
    /// What is below its recovery point may be cleaned.
    pub(crate) checkpoint: PartitionCheckpoint,
    /// Keeps the log from closing files and from beginning a second clean.
    pub(crate) running: Running,
    /// The closed segments that may be cleaned, oldest first.
    pub(crate) sources: Vec<SourceSegment>,
    /// Below it the log was cleaned before.
    pub(crate) first_dirty: Offset,
    pub(crate) limits: GroupLimits,
    /// The last batch of each producer that may go on.
    pub(crate) producers: HashMap<ProducerId, LastBatch>,
    /// Finds the aborted transactions with records or markers in the sources.
    pub(crate) aborted: AbortedLookup,
    /// Where the sources end.
    pub(crate) end: Offset,
    pub(crate) now: UnixMillis,
    /// When a tombstone that is met for the first time now may go.
    pub(crate) horizon: UnixMillis,
    /// Limit of the map's size.
    pub(crate) map_bytes: usize,
}

/// What a clean read, wrote and left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CleanStats {
    /// Bytes read; what was read twice counts twice.
    pub bytes_read: u64,
    /// Bytes of the new segments.
    pub bytes_written: u64,
    /// Segments that were replaced.
    pub segments_replaced: u64,
    /// Bytes that went.
    pub bytes_removed: u64,
}

/// Whether a clean goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// It does.
    GoOn,
    /// It is given up.
    Stop,
}

/// Why a clean ended early. The log is as it should be in any case.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// The log was truncated or retired, or its owner wants to stop.
    #[error("the clean was given up")]
    Abandoned,
    /// The disk is full.
    #[error("there is no room for a cleaned segment")]
    NoRoom(#[source] io::Error),
    /// Bytes of the log cannot be read, or are damaged.
    #[error("the log is damaged at offset {offset}: {reason}")]
    Unreadable {
        /// First offset that is not intact.
        offset: Offset,
        /// What was found.
        reason: String,
    },
    /// Records cannot be read, or not written again, though their batch is as it was appended.
    #[error("the batch at offset {offset} cannot be cleaned: {reason}")]
    Uncleanable {
        /// The batch.
        offset: Offset,
        /// What was found.
        reason: String,
    },
    /// The keys of the first dirty batch alone do not fit into the map.
    #[error("log.cleaner.dedupe.buffer.size has no room for the keys of the batch at offset {0}")]
    MapTooSmall(Offset),
    /// The storage failed for good.
    #[error(transparent)]
    Fatal(#[from] FatalError),
}

/// A clean that is through, to be handed to [`Log::complete_clean`](crate::Log::complete_clean).
#[derive(Debug)]
pub struct CleanDone {
    pub(crate) place: Place,
    pub(crate) running: Running,
    pub(crate) cleaned_until: Offset,
    /// What it did.
    pub stats: CleanStats,
}

impl Clean {
    pub(crate) fn new(input: CleanInput) -> Self {
        Self {
            map: OffsetMap::new(0, 0),
            mapped_end: input.first_dirty,
            transactions: Transactions::default(),
            next_source: 0,
            group_start: 0,
            stats: CleanStats::default(),
            input,
        }
    }

    /// Reads the dirty part and notes where the last record of each key is, for as many keys as there is memory. `pace` is told of the bytes that were read.
    ///
    /// # Errors
    /// [`CleanError`]; nothing has changed then.
    pub(crate) fn map(&mut self, pace: &mut dyn FnMut(u64) -> Pace) -> Result<(), CleanError> {
        let first_dirty = self.input.first_dirty;
        // A start must not replay producers from a snapshot inside what is cleaned: a marker that it needs may have gone.
        self.input.checkpoint.persist()?;
        let dirty: Vec<SourceSegment> = self
            .input
            .sources
            .iter()
            .filter(|source| source.next_offset > first_dirty)
            .cloned()
            .collect();
        let offsets: i64 = dirty
            .iter()
            .map(|source| source.next_offset - source.view.base_offset.max(first_dirty))
            .sum();
        self.map = OffsetMap::new(u64::try_from(offsets).unwrap_or(0), self.input.map_bytes);
        let aborted = self.input.aborted.execute(self.input.end);
        let aborted = aborted.map_err(|error| lookup_failed(first_dirty, &error))?;
        self.transactions = Transactions::new(&aborted);
        let mut transactions = self.transactions.clone();
        for source in &dirty {
            if self.map_segment(source, &mut transactions, pace)?.is_break() {
                break;
            }
        }
        if self.mapped_end > first_dirty {
            Ok(())
        } else {
            Err(CleanError::MapTooSmall(first_dirty))
        }
    }

    /// Notes the keys of one segment; breaks where there is no room for more.
    fn map_segment(
        &mut self,
        source: &SourceSegment,
        transactions: &mut Transactions,
        pace: &mut dyn FnMut(u64) -> Pace,
    ) -> Result<ControlFlow<()>, CleanError> {
        let mut walk = Walk::over(&source.view)?;
        while let Some(batch) = walk.next()? {
            let header = batch.header;
            let bytes = in_file(header.size_bytes);
            self.stats.bytes_read += bytes;
            go_on(&self.input.place, bytes, pace)?;
            let counts = if header.is_control() {
                let result = marker_in_log(batch).map(|marker| marker.result);
                transactions.met_marker(&header, result);
                false
            } else {
                header.record_count > 0 && !transactions.met_records(&header)
            };
            if header.next_offset() <= self.input.first_dirty {
                continue;
            }
            if counts && self.map_batch(batch)? == Put::Full {
                return Ok(ControlFlow::Break(()));
            }
            self.mapped_end = header.next_offset();
        }
        Ok(ControlFlow::Continue(()))
    }

    fn map_batch(&mut self, batch: Batch<'_>) -> Result<Put, CleanError> {
        let base_offset = batch.header.base_offset;
        let explain = |error: RecordsError| uncleanable(base_offset, &error);
        let records = Records::of(batch, MAX_RECORDS_BYTES).map_err(explain)?;
        for record in records.iter() {
            let record = record.map_err(explain)?;
            // The log may start inside a batch.
            if let Some(key) = record.key
                && record.offset >= self.input.first_dirty
                && self.map.put(key, record.offset) == Put::Full
            {
                return Ok(Put::Full);
            }
        }
        Ok(Put::Noted)
    }

    /// Writes the next group of segments that changes; `None` when all are through. What it returns is to be swapped in before this is called again.
    ///
    /// # Errors
    /// [`CleanError`]. The groups before stay swapped in.
    pub(crate) fn next_group(
        &mut self,
        pace: &mut dyn FnMut(u64) -> Pace,
    ) -> Result<Option<Replacement>, CleanError> {
        loop {
            let mapped_end = self.mapped_end;
            let rest = &self.input.sources[self.next_source..];
            let count = rest.partition_point(|source| source.view.base_offset < mapped_end);
            let count = group_size(&rest[..count], &self.input.limits);
            if count == 0 {
                return Ok(None);
            }
            let group = rest[..count].to_vec();
            self.group_start = self.next_source;
            self.next_source += count;
            let base_offset = group[0].view.base_offset;
            match self.write_group(&group, pace) {
                Ok(Some(replacement)) => return Ok(Some(replacement)),
                Ok(None) => discard(&self.input.place, base_offset)?,
                Err(CleanError::Fatal(error)) => return Err(error.into()),
                Err(error) => {
                    discard(&self.input.place, base_offset)?;
                    return Err(error);
                }
            }
        }
    }

    /// `None` when the segment is as it should be already.
    fn write_group(
        &mut self,
        group: &[SourceSegment],
        pace: &mut dyn FnMut(u64) -> Pace,
    ) -> Result<Option<Replacement>, CleanError> {
        let Self { input, map, mapped_end, transactions, stats, .. } = self;
        let rules = Rules {
            map,
            mapped_end: *mapped_end,
            producers: &input.producers,
            now: input.now,
            horizon: input.horizon,
            limit_bytes: MAX_RECORDS_BYTES,
        };
        let newest = group.iter().map(|source| source.newest).max().unwrap_or(input.now);
        let base_offset = group[0].view.base_offset;
        let mut writer = GroupWriter::create(&input.place, input.limits, base_offset, newest)?;
        let mut is_changed = group.len() > 1;
        for source in group {
            let mut walk = Walk::over(&source.view)?;
            while let Some(batch) = walk.next()? {
                let bytes = in_file(batch.header.size_bytes);
                stats.bytes_read += bytes;
                go_on(&input.place, bytes, pace)?;
                let verdict = rules
                    .judge(batch, transactions)
                    .map_err(|error| uncleanable(batch.header.base_offset, &error))?;
                // A batch that was vacant before is written again as it was, alone.
                is_changed |= verdict != Verdict::Keep && !batch.header.is_vacant();
                carry_out(&mut writer, batch, &verdict)?;
            }
        }
        if !is_changed {
            return Ok(None);
        }
        let segment = writer.finish()?;
        stats.bytes_written += segment.size_bytes;
        stats.segments_replaced += in_file(group.len());
        let before: u64 = group.iter().map(|source| source.view.size_bytes).sum();
        stats.bytes_removed += before.saturating_sub(segment.size_bytes);
        go_on(&input.place, segment.size_bytes, pace)?;
        Ok(Some(Replacement {
            place: input.place.clone(),
            sources: group.iter().map(|source| source.view.base_offset).collect(),
            segment,
        }))
    }

    /// Removes what was written last and not swapped in.
    pub(crate) fn discard(&self) -> Result<(), FatalError> {
        match self.input.sources.get(self.group_start) {
            Some(first) => discard(&self.input.place, first.view.base_offset),
            None => Ok(()),
        }
    }

    /// Says whether the log was truncated or retired since the clean began.
    pub(crate) fn is_overtaken(&self) -> bool {
        !self.input.place.turn.is_current()
    }

    /// Ends a clean that is through.
    #[must_use]
    pub(crate) fn done(self) -> CleanDone {
        CleanDone {
            place: self.input.place,
            running: self.input.running,
            cleaned_until: self.mapped_end,
            stats: self.stats,
        }
    }
}

fn carry_out(
    writer: &mut GroupWriter<'_>,
    batch: Batch<'_>,
    verdict: &Verdict,
) -> Result<(), CleanError> {
    match verdict {
        Verdict::Keep => writer.keep(batch.bytes),
        Verdict::Empty => writer.empty(batch),
        Verdict::Drop => writer.drop_batch(&batch.header),
        Verdict::Rewrite(kept, horizon) => {
            let bytes = rewrite(batch, kept, *horizon, MAX_RECORDS_BYTES)
                .map_err(|error| uncleanable(batch.header.base_offset, &error))?;
            writer.keep(&bytes)
        }
    }
}

fn go_on(place: &Place, bytes: u64, pace: &mut dyn FnMut(u64) -> Pace) -> Result<(), CleanError> {
    if place.turn.is_current() && pace(bytes) == Pace::GoOn {
        Ok(())
    } else {
        Err(CleanError::Abandoned)
    }
}

fn lookup_failed(offset: Offset, error: &ReadError) -> CleanError {
    match error {
        ReadError::Changed | ReadError::OffsetOutOfRange { .. } => CleanError::Abandoned,
        ReadError::Corrupt { .. } | ReadError::Io { .. } => {
            CleanError::Unreadable { offset, reason: error.to_string() }
        }
    }
}

fn uncleanable(offset: Offset, error: &(dyn std::error::Error + 'static)) -> CleanError {
    let reason = match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    CleanError::Uncleanable { offset, reason }
}

/// Limit of a decompressed batch: a hundred times what a batch may have by default.
const MAX_RECORDS_BYTES: usize = 100 * 1024 * 1024;
