//! The data directory.

pub(crate) mod partition_directory;
