//! The live view's picture of a run: counted here, drawn by the report.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use crate::nemesis::Running;
use crate::report::{Live, LiveState};
use crate::target::{NodeId, Target};
use crate::workload::Workload;

/// Between two pictures of the live view.
const PICTURE: Duration = Duration::from_millis(250);
/// Seconds of throughput that the live view shows.
const SHOWN_SECONDS: usize = 60;

/// What is shown while faults go by.
pub(super) struct View<'a> {
    /// Of the whole run.
    pub(super) duration: Duration,
    pub(super) target: &'a dyn Target,
    pub(super) workload: &'a Workload,
    pub(super) running: Running,
}

impl View<'_> {
    /// Draws until it is over.
    pub(super) fn show_until(&self, is_over: impl Fn() -> bool) {
        let mut live = Live::stdout();
        let begun = Instant::now();
        let mut rates = VecDeque::new();
        let mut second = (begun, 0);
        // How long no send has been acknowledged, and the longest such time.
        let (mut progress, mut longest_gap) = ((begun, 0), Duration::ZERO);
        let mut faults = Vec::new();
        while !is_over() {
            let running = self.running.names();
            for fault in running.iter().filter(|fault| !faults.contains(*fault)) {
                let at = begun.elapsed().as_secs();
                let _ = live.note(&format!("{}:{:02}  {fault}", at / 60, at % 60));
            }
            faults = running;
            let counts = self.workload.counts();
            if counts.acknowledged > progress.1 {
                progress = (Instant::now(), counts.acknowledged);
            }
            longest_gap = longest_gap.max(progress.0.elapsed());
            if second.0.elapsed() >= Duration::from_secs(1) {
                rates.push_back(counts.acknowledged - second.1);
                second = (second.0 + Duration::from_secs(1), counts.acknowledged);
                if rates.len() > SHOWN_SECONDS {
                    rates.pop_front();
                }
            }
            let state = LiveState {
                elapsed: begun.elapsed(),
                duration: self.duration,
                acknowledged: counts.acknowledged,
                failed: counts.failed,
                unknown: counts.unknown,
                polled: counts.polled,
                rates: rates.iter().copied().collect(),
                faults: faults.clone(),
                nodes: self.nodes(),
                longest_gap_ms: longest_gap.as_secs_f64() * 1000.0,
            };
            // A terminal that is gone must not end the run.
            let _ = live.draw(&state);
            thread::sleep(PICTURE);
        }
        let _ = live.clear();
    }

    fn nodes(&self) -> Vec<(NodeId, String)> {
        let state = |node| if self.target.is_running(node) { "up" } else { "down" }.to_owned();
        self.target.nodes().into_iter().map(|node| (node, state(node))).collect()
    }
}
