//! Truncation generations: the lives of a log's tail.
//!
//! Owns the count. What was begun in an older generation (a flush, a read, a checkpoint) speaks of bytes that may be gone, and is void.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the truncations of one opened log, from 0. What began in an older generation (a flush, a read) is void in a newer one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TruncationGeneration(pub u64);

/// A log's present generation; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct PresentGeneration(Arc<AtomicU64>);

/// The generation that something was begun in, beside the log's present one.
#[derive(Clone, Debug)]
pub(crate) struct BegunIn {
    generation: TruncationGeneration,
    present: PresentGeneration,
}

impl PresentGeneration {
    pub(crate) fn get(&self) -> TruncationGeneration {
        TruncationGeneration(self.0.load(Ordering::SeqCst))
    }

    /// Begins the next one: whatever was begun before is void.
    pub(crate) fn advance(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Marks something that begins now.
    pub(crate) fn begin(&self) -> BegunIn {
        BegunIn { generation: self.get(), present: self.clone() }
    }
}

impl BegunIn {
    pub(crate) fn generation(&self) -> TruncationGeneration {
        self.generation
    }

    /// Says whether no truncation was begun since, nor the log retired.
    pub(crate) fn is_current(&self) -> bool {
        self.present.get() == self.generation
    }
}
