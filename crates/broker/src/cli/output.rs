//! The one writer to standard output: lines and tables for a reader, JSON for a script.

use std::io::{BufWriter, Stdout, Write};

use serde_json::{Value, json};

use super::failure::Failure;

/// In which form a command answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines and tables.
    Text,
    /// JSON, one value per line.
    Json,
}

/// Standard output, buffered until [`Output::flush`].
#[derive(Debug)]
pub(super) struct Output {
    writer: BufWriter<Stdout>,
    form: Form,
}

impl Output {
    pub(super) fn new(form: Form) -> Self {
        Self { writer: BufWriter::with_capacity(64 * 1024, std::io::stdout()), form }
    }

    /// Says whether the answer is to be JSON.
    pub(super) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Writes an answer in the form that was asked for: the value as JSON, or what `text` writes.
    pub(super) fn answer(
        &mut self,
        value: impl FnOnce() -> Value,
        text: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        match self.form {
            Form::Json => self.json(&value()),
            Form::Text => text(self),
        }
    }

    /// Writes what became of one thing, such as a topic; as text `result` and its name.
    pub(super) fn outcome(&mut self, kind: &str, name: &str, result: &str) -> Result<(), Failure> {
        self.answer(
            || json!({ kind: name, "result": result }),
            |output| output.line(&format!("{result} {name}")),
        )
    }

    /// Writes bytes as they are.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.writer.write_all(bytes).map_err(Failure::output)
    }

    /// Writes a line.
    pub(super) fn line(&mut self, line: &str) -> Result<(), Failure> {
        self.bytes(line.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Writes a value as one line of JSON.
    pub(super) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(&value.to_string())
    }

    /// Writes rows under a head, columns aligned; the last column is not padded.
    pub(super) fn table(&mut self, head: &[&str], rows: &[Vec<String>]) -> Result<(), Failure> {
        let mut widths: Vec<_> = head.iter().map(|title| title.chars().count()).collect();
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let head: Vec<_> = head.iter().map(|title| (*title).to_owned()).collect();
        for row in std::iter::once(&head).chain(rows) {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                let padding = width + 2 - cell.chars().count();
                line.extend(std::iter::repeat_n(' ', padding));
            }
            self.line(line.trim_end())?;
        }
        Ok(())
    }

    /// Writes out what is buffered.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(Failure::output)
    }
}
