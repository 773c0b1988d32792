//! A line on standard error that shows how far a long command is; only when a terminal is there to see it.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// The line.
#[derive(Debug)]
pub(super) struct Progress {
    is_shown: bool,
    started: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    pub(super) fn new() -> Self {
        let is_shown = std::io::stderr().is_terminal();
        Self { is_shown, started: Instant::now(), drawn: None }
    }

    /// Returns the time since the start.
    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Draws the line again, at most four times a second.
    pub(super) fn show(&mut self, text: impl FnOnce() -> String) {
        let is_due = self.drawn.is_none_or(|drawn| drawn.elapsed() >= Duration::from_millis(250));
        if self.is_shown && is_due {
            self.drawn = Some(Instant::now());
            draw(&format!("\r\x1b[K{}", text()));
        }
    }

    /// Takes the line away.
    pub(super) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            draw("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

fn draw(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // Nothing depends on it being seen.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
