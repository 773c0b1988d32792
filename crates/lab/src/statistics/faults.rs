//! The faults of a run, and the worst gap of each.

use std::collections::{BTreeMap, HashMap};

use crate::history::{Event, Kind, OperationId};
use crate::report::FaultSpan;

use super::series::Span;
use super::{Counted, NANOS_PER_MS, milliseconds};

const NANOS_PER_SECOND: f64 = 1e9;
/// A gap that begins this long after a fault is still its consequence: a leader that was healed, say, and left again.
const AFTERMATH_NANOS: u64 = 5_000_000_000;

/// Whose gap it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source {
    pub(super) partition: usize,
    pub(super) acks: Counted,
}

/// All faults so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    all: Vec<Fault>,
    open: HashMap<OperationId, usize>,
    /// Those that a gap may still belong to.
    recent: Vec<usize>,
    /// Whether all ISRs were full when somebody last looked.
    in_sync: Option<bool>,
    /// Those that are over and after which not all ISRs have been full yet.
    unrecovered: Vec<usize>,
}

#[derive(Debug)]
struct Fault {
    span: FaultSpan,
    from: u64,
    /// None while it lasts.
    to: Option<u64>,
    /// It was invoked and then failed: it did not happen.
    failed: bool,
    worst: Option<Span>,
    /// From its end until all ISRs were full, in nanoseconds.
    recovered: Option<u64>,
    /// The worst gap of all sends, by partition: counts where no sends of acks=all go, which is known at the end only.
    worst_any: BTreeMap<usize, Span>,
}

impl Faults {
    /// An event of a fault. `oldest` is the begin of the oldest gap that has not ended; faults that were over long before it are settled.
    pub(super) fn observe(&mut self, event: &Event, span: FaultSpan, oldest: u64) {
        if event.kind != Kind::Invoke
            && let Some(number) = self.open.remove(&event.op)
        {
            let fault = &mut self.all[number];
            fault.to = Some(event.time);
            fault.failed = event.kind == Kind::Fail;
            if self.in_sync == Some(false) {
                self.unrecovered.push(number);
            }
            if fault.span.detail.is_empty() {
                fault.span.detail = span.detail;
            }
            return;
        }
        let all = &self.all;
        self.recent
            .retain(|number| all[*number].to.is_none_or(|to| to + AFTERMATH_NANOS >= oldest));
        let number = self.all.len();
        let to = if event.kind == Kind::Invoke {
            self.open.insert(event.op, number);
            None
        } else {
            // No invocation: a fault of one moment.
            Some(event.time)
        };
        self.recent.push(number);
        let failed = event.kind == Kind::Fail;
        let (worst, worst_any, recovered) = (None, BTreeMap::new(), None);
        self.all.push(Fault { span, from: event.time, to, failed, worst, worst_any, recovered });
    }

    /// Whether all ISRs are full has changed.
    pub(super) fn in_sync(&mut self, time: u64, full: bool) {
        self.in_sync = Some(full);
        if full {
            for number in self.unrecovered.drain(..) {
                let fault = &mut self.all[number];
                fault.recovered = fault.to.map(|to| time.saturating_sub(to));
            }
        }
    }

    /// A gap ended.
    pub(super) fn gap(&mut self, source: Source, gap: Span) {
        for number in &self.recent {
            let fault = &mut self.all[*number];
            let last = fault.to.map_or(u64::MAX, |to| to.saturating_add(AFTERMATH_NANOS));
            if gap.to < fault.from || gap.from > last {
                continue;
            }
            match source.acks {
                Counted::AcksAll => {
                    if fault.worst.is_none_or(|worst| worst.length() < gap.length()) {
                        fault.worst = Some(gap);
                    }
                }
                Counted::Any => {
                    let worst = fault.worst_any.entry(source.partition).or_insert(gap);
                    if worst.length() < gap.length() {
                        *worst = gap;
                    }
                }
            }
        }
    }

    /// The faults that happened; those that last end with the run. `has_acks_all` tells of a partition whether only acks=all counts there.
    pub(super) fn finish(self, end: u64, has_acks_all: impl Fn(usize) -> bool) -> Vec<FaultSpan> {
        let happened = self.all.into_iter().filter(|fault| !fault.failed);
        happened
            .map(|fault| {
                let others = fault.worst_any.iter().filter(|(number, _)| !has_acks_all(**number));
                let gaps = others.map(|(_, gap)| *gap).chain(fault.worst);
                let worst = gaps.max_by_key(|gap| gap.length());
                FaultSpan {
                    from_s: fault.from as f64 / NANOS_PER_SECOND,
                    to_s: fault.to.unwrap_or(end).max(fault.from) as f64 / NANOS_PER_SECOND,
                    worst_gap_ms: worst.map(milliseconds),
                    recovered_ms: fault.recovered.map(|nanos| nanos as f64 / NANOS_PER_MS as f64),
                    ..fault.span
                }
            })
            .collect()
    }
}
