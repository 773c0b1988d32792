//! Reads and lookups by time: planned from memory under the owner's lock, executed off it.

pub(crate) mod read_plan;
pub(crate) mod timestamp_lookup;
