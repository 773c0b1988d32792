//! What happened in a run, as JSON lines: the one thing that the checker and the statistics read, and that others can check with tools of
//! their own. docs/lab-history.md describes the format.

mod event;
mod reader;
mod writer;

pub(crate) use event::{
    Acks, Action, Event, Kind, OperationId, Partition, Read, Role, Settings, TransactionEnd,
};
pub(crate) use reader::{HistoryReader, ReadError};
pub(crate) use writer::{Clock, Recorder};
