//! Figures of a run, from its history alone: rates and availability per partition, gaps, latencies, faults.
//!
//! One pass; of the operations only the open sends are kept, so memory is bounded by what is in flight, by the number of partitions and of
//! faults. Series of long runs are merged into wider buckets; gaps and availability stay exact.

mod faults;
mod heat;
mod series;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::history::{Acks, Action, Event, Kind, OperationId, Partition, Role, Settings};
use crate::report::{FaultSpan, Percentiles, Traffic};

use faults::{Faults, Source};
use heat::Heat;
use series::{PartitionStatistics, Span};

const NANOS_PER_MS: u64 = 1_000_000;
/// Slower ones count as this slow.
const SLOWEST_MICROS: u64 = 3_600_000_000;

/// Collects the figures while a history is read.
#[derive(Debug)]
pub(crate) struct Statistics {
    bucket: u64,
    processes: HashMap<Arc<str>, Client>,
    numbers: HashMap<Partition, usize>,
    partitions: Vec<PartitionStatistics>,
    open: HashMap<OperationId, OpenSend>,
    faults: Faults,
    heat: Heat,
    latency: Histogram<u64>,
    counts: Counts,
    end: u64,
}

/// What of a process' settings the figures depend on.
#[derive(Clone, Copy, Debug)]
struct Client {
    acks: Acks,
    role: Role,
}

#[derive(Clone, Copy, Debug)]
struct OpenSend {
    partition: usize,
    intended: u64,
    acks: Acks,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    sent: u64,
    acknowledged: u64,
    failed: u64,
    unknown: u64,
    polled: u64,
}

impl Statistics {
    /// Nothing seen yet; `bucket_ms` is the width of the series' buckets and of those that availability is counted in.
    pub(crate) fn new(bucket_ms: u32) -> Self {
        Self {
            bucket: u64::from(bucket_ms.max(1)) * NANOS_PER_MS,
            processes: HashMap::new(),
            numbers: HashMap::new(),
            partitions: Vec::new(),
            open: HashMap::new(),
            faults: Faults::default(),
            heat: Heat::new(),
            latency: Histogram::new_with_max(SLOWEST_MICROS, 3)
                .expect("an hour in microseconds with three digits is a valid histogram"),
            counts: Counts::default(),
            end: 0,
        }
    }

    /// Takes in the next event of the history.
    pub(crate) fn observe(&mut self, event: &Event) {
        self.end = self.end.max(event.time);
        match &event.action {
            Action::Start { settings } => self.start(event, settings),
            Action::Stop => {
                self.processes.remove(&event.process);
            }
            Action::Send { partition, intended, .. } => match event.kind {
                Kind::Invoke => self.invoke(event, partition, intended.unwrap_or(event.time)),
                Kind::Ok | Kind::Fail | Kind::Info => self.complete(event),
            },
            Action::Poll { reads, .. } if event.kind == Kind::Ok => {
                // The final read is the checker's evidence, not traffic.
                let client = self.processes.get(&event.process);
                if client.is_none_or(|client| client.role != Role::FinalReader) {
                    let records: usize = reads.iter().map(|read| read.records.len()).sum();
                    self.counts.polled += u64::try_from(records).unwrap_or(u64::MAX);
                }
            }
            Action::Fault { name, detail, nodes } => {
                let oldest = self.partitions.iter().map(PartitionStatistics::waits_since).min();
                let span = FaultSpan {
                    name: name.clone(),
                    detail: detail.clone(),
                    nodes: nodes.clone(),
                    ..FaultSpan::default()
                };
                self.faults.observe(event, span, oldest.unwrap_or(event.time));
            }
            Action::InSync { full } => self.faults.in_sync(event.time, *full),
            Action::Poll { .. }
            | Action::Assign { .. }
            | Action::Rebalance { .. }
            | Action::Commit { .. }
            | Action::Committed { .. }
            | Action::Transaction { .. }
            | Action::Watermarks { .. }
            | Action::GroupEnd { .. }
            | Action::Replica { .. }
            | Action::ReadThrough { .. } => {}
        }
    }

    /// What was seen: the traffic, and the faults with the worst gap of each, in the order in which they began.
    pub(crate) fn finish(mut self) -> (Traffic, Vec<FaultSpan>) {
        self.counts.unknown += u64::try_from(self.open.len()).unwrap_or(u64::MAX);
        for (number, partition) in self.partitions.iter_mut().enumerate() {
            for (acks, span) in partition.end() {
                self.faults.gap(Source { partition: number, acks }, span);
            }
        }
        let partitions = &self.partitions;
        let seen = std::mem::take(&mut self.faults);
        let faults = seen.finish(self.end, |number| partitions[number].has_acks_all());
        (self.traffic(), faults)
    }

    fn start(&mut self, event: &Event, settings: &Settings) {
        let acks = settings.acks.unwrap_or(Acks::All);
        self.processes.insert(event.process.clone(), Client { acks, role: settings.role });
    }

    fn invoke(&mut self, event: &Event, partition: &Partition, intended: u64) {
        let acks = self.processes.get(&event.process).map_or(Acks::All, |client| client.acks);
        let number = match self.numbers.get(partition) {
            Some(number) => *number,
            None => {
                let number = self.partitions.len();
                self.numbers.insert(partition.clone(), number);
                self.partitions.push(PartitionStatistics::new(partition, self.bucket));
                number
            }
        };
        self.partitions[number].intended(acks, intended);
        self.open.insert(event.op, OpenSend { partition: number, intended, acks });
        self.counts.sent += 1;
    }

    fn complete(&mut self, event: &Event) {
        let Some(send) = self.open.remove(&event.op) else { return };
        match event.kind {
            Kind::Fail => self.counts.failed += 1,
            Kind::Info => self.counts.unknown += 1,
            Kind::Ok | Kind::Invoke => {
                self.counts.acknowledged += 1;
                for (acks, span) in
                    self.partitions[send.partition].acknowledged(send.acks, event.time)
                {
                    self.faults.gap(Source { partition: send.partition, acks }, span);
                }
                // With acks=0 nothing comes back that a latency could end with.
                if send.acks != Acks::Zero {
                    let nanos = event.time.saturating_sub(send.intended);
                    self.latency.saturating_record((nanos / 1000).max(1));
                    self.heat.add(send.intended, nanos);
                }
            }
        }
    }

    fn traffic(mut self) -> Traffic {
        let width =
            self.partitions.iter().map(PartitionStatistics::width).max().unwrap_or(self.bucket);
        let mut partitions: Vec<_> =
            self.partitions.iter_mut().map(|partition| partition.series(width)).collect();
        let longest = partitions.iter().map(|series| series.acknowledged.len()).max().unwrap_or(0);
        for series in &mut partitions {
            series.acknowledged.resize(longest, 0);
            series.intended.resize(longest, 0);
        }
        let mut order: Vec<_> = self.numbers.into_iter().collect();
        order.sort();
        let partitions =
            order.into_iter().map(|(_, number)| std::mem::take(&mut partitions[number])).collect();
        let Counts { sent, acknowledged, failed, unknown, polled } = self.counts;
        Traffic {
            bucket_ms: u32::try_from(width / NANOS_PER_MS).unwrap_or(u32::MAX),
            sent,
            acknowledged,
            failed,
            unknown,
            polled,
            latency: percentiles(&self.latency),
            partitions,
            heat_map: self.heat.finish(),
        }
    }
}

/// Percentiles in milliseconds; all 0 when nothing was recorded.
fn percentiles(latency: &Histogram<u64>) -> Percentiles {
    let at = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1000.0;
    Percentiles {
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: latency.max() as f64 / 1000.0,
    }
}

/// Whether a span of time without acknowledgements counts those of acks=all alone, or all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    AcksAll,
    Any,
}

/// Milliseconds of a span.
fn milliseconds(span: Span) -> f64 {
    span.length() as f64 / NANOS_PER_MS as f64
}
