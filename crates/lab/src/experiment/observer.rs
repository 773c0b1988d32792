//! Looks all the time whether the cluster is in sync, and writes down when that changes: how long it takes to recover from a fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use crate::history::{Action, Recorder};
use crate::nemesis::Cluster;

/// Between two looks; each asks the cluster.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Ends an observer when it is dropped, so that a panic of others does not leave it behind.
pub(super) struct Until<'a>(pub(super) &'a AtomicBool);

impl Drop for Until<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Observes until it is over.
pub(super) fn observe(cluster: &dyn Cluster, recorder: &Recorder, is_over: &AtomicBool) {
    let process = Arc::from("observer");
    let mut last = None;
    while !is_over.load(Ordering::Relaxed) {
        let full = cluster.in_sync();
        if last != Some(full) {
            recorder.mark(&process, Action::InSync { full });
            last = Some(full);
        }
        sleep(LOOK_AGAIN);
    }
}
