//! Reading a log at a start.

pub(crate) mod segments;
