//! One partition over time: counts per bucket, availability, gaps.

use crate::history::{Acks, Partition};
use crate::report::PartitionSeries;

use super::{Counted, milliseconds};

/// Buckets that a series has at most; then each two become one.
const MAX_BUCKETS: u64 = 3000;
/// Buckets of availability that are told apart, 77 days of 100 ms; a guard against times that are no times.
const MAX_BITS: u64 = 1 << 26;

/// A span of time, nanoseconds since the run began: from included, to excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: u64,
    pub(super) to: u64,
}

impl Span {
    pub(super) fn length(self) -> u64 {
        self.to.saturating_sub(self.from)
    }
}

/// What is known of one partition.
#[derive(Debug)]
pub(super) struct PartitionStatistics {
    name: String,
    bucket: u64,
    acknowledged: Merged,
    intended: Merged,
    acknowledged_bits: Bits,
    intended_bits: Bits,
    acks_all: Gaps,
    any: Gaps,
}

impl PartitionStatistics {
    pub(super) fn new(partition: &Partition, bucket: u64) -> Self {
        Self {
            name: partition.to_string(),
            bucket,
            acknowledged: Merged::new(bucket),
            intended: Merged::new(bucket),
            acknowledged_bits: Bits::default(),
            intended_bits: Bits::default(),
            acks_all: Gaps::default(),
            any: Gaps::default(),
        }
    }

    /// A send should have begun at this time.
    pub(super) fn intended(&mut self, acks: Acks, time: u64) {
        self.intended.add(time);
        self.intended_bits.set(time / self.bucket);
        self.any.intended(time);
        if acks == Acks::All {
            self.acks_all.intended(time);
        }
    }

    /// A send was acknowledged: the gaps that this ends.
    pub(super) fn acknowledged(
        &mut self,
        acks: Acks,
        time: u64,
    ) -> impl Iterator<Item = (Counted, Span)> {
        self.acknowledged.add(time);
        self.acknowledged_bits.set(time / self.bucket);
        let all = if acks == Acks::All { self.acks_all.acknowledged(time) } else { None };
        let any = self.any.acknowledged(time);
        both(all, any)
    }

    /// No more events: the gaps that last to the end.
    pub(super) fn end(&mut self) -> impl Iterator<Item = (Counted, Span)> {
        both(self.acks_all.end(), self.any.end())
    }

    /// Whether sends of acks=all went here; only they count for gaps then.
    pub(super) fn has_acks_all(&self) -> bool {
        self.acks_all.begun
    }

    /// Since when the oldest gap that is not over has lasted.
    pub(super) fn waits_since(&self) -> u64 {
        if self.acks_all.begun { self.acks_all.since.min(self.any.since) } else { self.any.since }
    }

    /// Width of the buckets, after merging.
    pub(super) fn width(&self) -> u64 {
        self.acknowledged.width.max(self.intended.width)
    }

    /// The series, in buckets of this width.
    pub(super) fn series(&mut self, width: u64) -> PartitionSeries {
        let gaps = if self.has_acks_all() { &self.acks_all } else { &self.any };
        let longest_gap_ms = milliseconds(Span { from: 0, to: gaps.longest });
        let availability = self.intended_bits.share_also_in(&self.acknowledged_bits);
        let mut acknowledged = self.acknowledged.widened(width);
        let mut intended = self.intended.widened(width);
        let length = acknowledged.len().max(intended.len());
        acknowledged.resize(length, 0);
        intended.resize(length, 0);
        PartitionSeries {
            partition: self.name.clone(),
            acknowledged,
            intended,
            availability,
            longest_gap_ms,
        }
    }
}

fn both(all: Option<Span>, any: Option<Span>) -> impl Iterator<Item = (Counted, Span)> {
    let all = all.map(|span| (Counted::AcksAll, span));
    let any = any.map(|span| (Counted::Any, span));
    all.into_iter().chain(any)
}

/// Counts per bucket; the buckets become wider when there would be too many.
#[derive(Debug)]
struct Merged {
    width: u64,
    counts: Vec<u32>,
}

impl Merged {
    fn new(width: u64) -> Self {
        Self { width, counts: Vec::new() }
    }

    fn add(&mut self, time: u64) {
        while time / self.width >= MAX_BUCKETS {
            self.merge();
        }
        // Below MAX_BUCKETS, so it fits.
        let bucket = usize::try_from(time / self.width).unwrap_or(usize::MAX);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
    }

    fn merge(&mut self) {
        self.width *= 2;
        let pairs = self.counts.chunks(2);
        self.counts =
            pairs.map(|pair| pair.iter().fold(0, |a: u32, b| a.saturating_add(*b))).collect();
    }

    fn widened(&mut self, width: u64) -> Vec<u32> {
        while self.width < width {
            self.merge();
        }
        std::mem::take(&mut self.counts)
    }
}

/// A set of bucket numbers.
#[derive(Debug, Default)]
struct Bits {
    words: Vec<u64>,
}

impl Bits {
    fn set(&mut self, bit: u64) {
        let bit = bit.min(MAX_BITS - 1);
        let word = usize::try_from(bit / 64).unwrap_or(usize::MAX);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (bit % 64);
    }

    /// Which share of these is in the other set too; 1 when there are none.
    fn share_also_in(&self, other: &Self) -> f64 {
        let total: u32 = self.words.iter().map(|word| word.count_ones()).sum();
        let pairs = self.words.iter().zip(&other.words);
        let shared: u32 = pairs.map(|(one, two)| (one & two).count_ones()).sum();
        if total == 0 { 1.0 } else { f64::from(shared) / f64::from(total) }
    }
}

/// The times without acknowledgements, from the first intended send on. A gap ends with an acknowledgement, or with the last intended send.
#[derive(Debug, Default)]
struct Gaps {
    begun: bool,
    since: u64,
    last_intended: u64,
    longest: u64,
}

impl Gaps {
    fn intended(&mut self, time: u64) {
        if !self.begun {
            self.begun = true;
            self.since = time;
        }
        self.last_intended = self.last_intended.max(time);
    }

    fn acknowledged(&mut self, time: u64) -> Option<Span> {
        // Threads record their events nearly in order only.
        if !self.begun || time <= self.since {
            return None;
        }
        let span = Span { from: self.since, to: time };
        self.since = time;
        self.longest = self.longest.max(span.length());
        Some(span)
    }

    fn end(&mut self) -> Option<Span> {
        self.acknowledged(self.last_intended)
    }
}
