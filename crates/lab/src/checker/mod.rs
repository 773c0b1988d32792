//! The judge of histories: reads the events once, in order, and says which anomalies they show. docs/lab-history.md gives each rule.
//!
//! Knows nothing of brokers and talks to none. What is known of a value, an offset or a transaction stands in a [`table`] on disk: dense
//! numbers make access local, so a history takes linear time. An open or unknown operation costs no memory of its own, since its state is
//! there too.
//!
//! Bound of the memory: 32 MiB of pages (and 8 bytes of directory per 64 KiB on disk), and a few hundred bytes per process and partition,
//! group and partition, operation in flight, and read-through. One thing grows with the history: an edge of 16 bytes and its place in a set
//! for each pair of transactions of which one read the other's records, which the search for circles needs whole.
//!
//! Soundness: an event stands in the history before another if it happened before it; of an invocation and a completion only that is used.

mod cycle;
mod delivery;
mod entry;
mod final_pass;
mod findings;
mod group;
mod poll;
mod replica;
mod send;
mod state;
mod table;
mod transaction;
mod watermark;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::Path;

use crate::history::{HistoryReader, OperationId, ReadError};
use crate::report::Verdict;

pub(crate) use state::Checker;

/// A longer line is cut in an example: a poll of many records.
const MAX_EXAMPLE_BYTES: usize = 4096;

/// Why a history cannot be judged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("the checker cannot use its scratch file; is there room where it lies?")]
    Scratch(#[from] io::Error),
    #[error("the history cannot be read")]
    History(#[from] ReadError),
    #[error(
        "operation {op} of {process} makes no sense: {what}; docs/lab-history.md has the rules"
    )]
    Malformed { op: OperationId, process: String, what: String },
}

/// Judges a history; `scratch` is a folder for a temporary file.
///
/// # Errors
/// When the history cannot be read or breaks the rules of its format, or when `scratch` cannot be used.
pub(crate) fn check_history(path: &Path, scratch: &Path) -> Result<Verdict, CheckError> {
    let mut checker = Checker::new(scratch)?;
    for event in HistoryReader::open(path)? {
        checker.observe(&event?)?;
    }
    let mut verdict = checker.finish()?;
    quote(&mut verdict, path)?;
    Ok(verdict)
}

/// Puts the lines of the history in the place of the operations' numbers.
fn quote(verdict: &mut Verdict, path: &Path) -> Result<(), CheckError> {
    let examples = || verdict.anomalies.iter().flat_map(|anomaly| &anomaly.examples);
    let wanted = examples().flat_map(|example| &example.operations);
    let mut lines: HashMap<OperationId, Vec<String>> =
        wanted.filter_map(|text| findings::referred(text)).map(|op| (op, Vec::new())).collect();
    if lines.is_empty() {
        return Ok(());
    }
    for event in HistoryReader::open(path)? {
        let event = event?;
        if let Some(found) = lines.get_mut(&event.op) {
            found.push(line(&event));
        }
    }
    let examples = verdict.anomalies.iter_mut().flat_map(|anomaly| &mut anomaly.examples);
    for example in examples {
        let operations = std::mem::take(&mut example.operations);
        let ops = operations.iter().filter_map(|text| findings::referred(text));
        example.operations = ops.flat_map(|op| lines[&op].iter().cloned()).collect();
    }
    Ok(())
}

fn line(event: &crate::history::Event) -> String {
    let mut line = serde_json::to_string(event).unwrap_or_else(|_| findings::reference(event.op));
    if line.len() > MAX_EXAMPLE_BYTES {
        let length = line.len();
        let end = line.floor_char_boundary(MAX_EXAMPLE_BYTES);
        line.truncate(end);
        line.push_str(&format!("... ({length} bytes)"));
    }
    line
}
