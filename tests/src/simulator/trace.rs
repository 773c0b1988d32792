//! What a run leaves behind: a digest and figures always, every line only when asked.

use model::Timestamp;

use super::Lines;

/// Record of a run. Without lines it costs nothing to format; a failing seed is run again with them.
#[derive(Debug)]
pub(crate) struct Trace<S> {
    kept: Lines,
    pub(super) lines: Vec<String>,
    pub(super) digest: u64,
    pub(crate) statistics: S,
}

impl<S: Default> Trace<S> {
    pub(crate) fn new(kept: Lines) -> Self {
        Self { kept, lines: Vec::new(), digest: 0, statistics: S::default() }
    }

    /// Adds a number to the digest (FNV).
    pub(crate) fn mix(&mut self, number: u64) {
        self.digest = (self.digest ^ number).wrapping_mul(0x0100_0000_01b3);
    }

    /// Adds a line, if lines are wanted.
    pub(crate) fn line(&mut self, now: Timestamp, text: impl FnOnce() -> String) {
        if self.kept == Lines::On {
            self.lines.push(format!("{now} {}", text()));
        }
    }
}
