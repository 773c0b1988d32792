//! What a run leaves behind: a digest always, every line only when asked.

use model::Timestamp;

use super::Statistics;

/// Record of a run. Without lines it costs nothing to format; a failing seed is run again with them.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) is_on: bool,
    pub(super) lines: Vec<String>,
    pub(super) digest: u64,
    pub(super) stats: Statistics,
}

impl Trace {
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, ..Self::default() }
    }

    /// Adds a number to the digest (FNV).
    pub(super) fn mix(&mut self, number: u64) {
        self.digest = (self.digest ^ number).wrapping_mul(0x0100_0000_01b3);
    }

    /// Adds a line, if lines are wanted.
    pub(super) fn line(&mut self, now: Timestamp, text: impl FnOnce() -> String) {
        if self.is_on {
            self.lines.push(format!("{now} {}", text()));
        }
    }
}
