//! The report in a terminal: a live view while the run goes on, and the table that it ends with.

mod live;
mod summary;

pub(crate) use live::{Live, LiveState};
pub(crate) use summary::{of_comparison as summary_of_comparison, summary};
