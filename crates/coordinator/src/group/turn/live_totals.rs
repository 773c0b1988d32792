//! What is live in the log of a shard, over all its groups.

/// What all groups of a shard hold together. Each change of a group's live records goes through here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::group) struct LiveTotals {
    /// Number of committed offsets.
    pub(in crate::group) offset_count: usize,
    /// About how many bytes the last values of all keys take in the log.
    pub(in crate::group) bytes: usize,
}

impl LiveTotals {
    /// Takes in that a live record of so many bytes was replaced by another; 0 for none.
    pub(in crate::group) fn replaced(&mut self, was_bytes: usize, is_bytes: usize) {
        self.bytes = self.bytes.saturating_sub(was_bytes).saturating_add(is_bytes);
    }
}
