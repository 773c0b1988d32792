//! How a replica that cannot trust its data gives itself up, so that a restart knows it too (design rule 3a.7): first the mark on the disk, then the request.

use super::PartitionHandle;
use super::effects::Loss;
use crate::partition::LossReason;
use crate::requests::ReplicaRequest;
use crate::storage::partition_directory::{self as directory, LostMark};

impl PartitionHandle {
    /// Puts a lost mark beside the partition, durably, and then asks to be taken out of the ISR (design rule 3a.7).
    pub(super) fn declare_lost(&self, loss: Loss) {
        let Some(me) = self.me.upgrade() else { return };
        let Loss { reason, leader_epoch, broker_epoch } = loss;
        self.host.storage.run_job(move || {
            let partition = me.id;
            let lost =
                ReplicaRequest::ReplicaLost { partition, reason, leader_epoch, broker_epoch };
            // Without the mark on the disk a restart would not know of the loss.
            if me.write_lost_mark(reason).is_some() {
                me.host.requests.push(lost);
            }
        });
    }

    /// Writes the mark unless it is there. Blocks. `None` when that failed, which ends the process.
    fn write_lost_mark(&self, reason: LossReason) -> Option<()> {
        let damaged_from = match reason {
            LossReason::Corruption { offset } => Some(offset),
            LossReason::DivergenceBelowHighWatermark { .. } => None,
        };
        let path = {
            let state = self.lock();
            if state.is_removed {
                return None;
            }
            if state.mark == LostMark::Present {
                return Some(());
            }
            state.log.directory().to_owned()
        };
        let fs = self.host.storage.fs.as_ref();
        match directory::write_lost_mark(fs, &path, damaged_from) {
            Ok(()) => {
                self.lock().mark = LostMark::Present;
                Some(())
            }
            // The directory was deleted meanwhile, and with it what was lost.
            Err(_) if self.lock().is_removed => None,
            Err(error) => {
                self.host.storage.failed("marking", &path, error);
                None
            }
        }
    }

    /// Takes the mark away if there is one: what was lost has been cut, or the image counts the replica in sync again. Blocks.
    pub(super) fn remove_lost_mark(&self) {
        let (before, path) = {
            let mut state = self.lock();
            let before = std::mem::replace(&mut state.mark, LostMark::Absent);
            (before, state.log.directory().to_owned())
        };
        if before == LostMark::Present {
            self.host.storage.remove_lost_mark(&path);
        }
    }
}
