//! Reads and lookups by time: planned from memory under the owner's lock, executed off it.
//!
//! Owns the preads of an open log. A plan carries what it needs and never looks at the log again, but for one question at its end: whether a truncation was begun
//! meanwhile. Then what was read is void.

pub(crate) mod aborted_lookup;
pub(crate) mod continued;
pub(crate) mod read_plan;
pub(crate) mod timestamp_lookup;

use model::Offset;

use crate::error::ReadError;
use crate::generation::BegunIn;
use crate::segment::scan::ScanError;
use crate::segment::view::SegmentView;

/// Turns what a scan met into what a reader is told: bytes that are gone or strange mean nothing when the log has changed meanwhile.
fn explain(begun: &BegunIn, error: ScanError, view: &SegmentView, offset: Offset) -> ReadError {
    if !begun.is_current() {
        return ReadError::Changed;
    }
    match error {
        ScanError::Io(source) => ReadError::Io { path: view.file.path().to_owned(), source },
        // The file of a removed segment has no name any more; the log start offset says so when the plan is made again.
        ScanError::Missing { position: 0 } => ReadError::Changed,
        ScanError::Missing { .. } | ScanError::Malformed { .. } => ReadError::Corrupt {
            offset,
            reason: format!("{}: {error}", view.file.path().display()),
        },
    }
}
