//! Reads a history, line by line, in constant memory.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use super::event::Event;

/// Longest line; a poll of many records is the longest that the lab writes.
const MAX_LINE_BYTES: usize = 64 << 20;

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("cannot read {}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("line {line} of {} is no event", path.display())]
    NotAnEvent { path: PathBuf, line: u64, source: serde_json::Error },
    #[error("line {line} of {} is longer than {MAX_LINE_BYTES} bytes", path.display())]
    LineTooLong { path: PathBuf, line: u64 },
}

/// Iterates over the events of a history.
#[derive(Debug)]
pub(crate) struct HistoryReader {
    path: PathBuf,
    lines: BufReader<File>,
    line: u64,
    text: Vec<u8>,
}

impl HistoryReader {
    /// Opens a history.
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub(crate) fn open(path: &Path) -> Result<Self, ReadError> {
        let file =
            File::open(path).map_err(|source| ReadError::Io { path: path.to_owned(), source })?;
        let lines = BufReader::with_capacity(1 << 20, file);
        Ok(Self { path: path.to_owned(), lines, line: 0, text: Vec::new() })
    }

    fn read(&mut self) -> Result<Option<Event>, ReadError> {
        loop {
            self.text.clear();
            let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
            let mut limited = io::Read::take(&mut self.lines, limit);
            let count = limited
                .read_until(b'\n', &mut self.text)
                .map_err(|source| ReadError::Io { path: self.path.clone(), source })?;
            if count == 0 {
                return Ok(None);
            }
            self.line += 1;
            if count == MAX_LINE_BYTES && self.text.last() != Some(&b'\n') {
                return Err(ReadError::LineTooLong { path: self.path.clone(), line: self.line });
            }
            if self.text.trim_ascii().is_empty() {
                continue;
            }
            return serde_json::from_slice(&self.text).map(Some).map_err(|source| {
                ReadError::NotAnEvent { path: self.path.clone(), line: self.line, source }
            });
        }
    }
}

impl Iterator for HistoryReader {
    type Item = Result<Event, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
