//! Watermarks: what ListOffsets answers never goes back in real time.

use super::CheckError;
use super::findings::Kind as Anomaly;
use super::state::Checker;
use crate::history::{Event, OperationId, Partition};

/// The highest answers so far, each with the operation that had it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Highest {
    low: Option<(i64, OperationId)>,
    high: Option<(i64, OperationId)>,
}

/// A question in flight, with the highest answers before it.
#[derive(Debug)]
pub(super) struct OpenQuestion {
    pub(super) process: usize,
    floor: Highest,
}

impl Checker {
    /// Somebody asks for the watermarks.
    pub(super) fn watermarks_asked(
        &mut self,
        event: &Event,
        partition: &Partition,
    ) -> Result<(), CheckError> {
        let process = self.process(event)?;
        let floor = *self.highest(process, partition);
        self.open_questions.insert(event.op, OpenQuestion { process, floor });
        Ok(())
    }

    /// The watermarks were answered.
    pub(super) fn watermarks_answered(
        &mut self,
        event: &Event,
        partition: &Partition,
        (low, high): (i64, i64),
    ) -> Result<(), CheckError> {
        let process = self.process(event)?;
        let floor = self.open_questions.remove(&event.op).map(|open| open.floor);
        let floor = floor.unwrap_or_default();
        let checks = [("log start offset", low, floor.low), ("high watermark", high, floor.high)];
        for (what, now, before) in checks {
            if let Some((before, op)) = before.filter(|(before, _)| now < *before) {
                self.findings.anomaly(Anomaly::WatermarkRegress, &[op, event.op], || {
                    format!("{partition}: the {what} was {before}, later {now}")
                });
            }
        }
        let highest = self.highest(process, partition);
        for (mark, now) in [(&mut highest.low, low), (&mut highest.high, high)] {
            if mark.is_none_or(|(before, _)| before < now) {
                *mark = Some((now, event.op));
            }
        }
        Ok(())
    }

    /// The last stable offset, which read_committed asks for, is another than the high watermark.
    fn highest(&mut self, process: usize, partition: &Partition) -> &mut Highest {
        let isolation = usize::from(self.processes[process].settings.read_committed);
        let partition = self.partition(partition);
        &mut self.partitions[partition].watermarks[isolation]
    }
}
