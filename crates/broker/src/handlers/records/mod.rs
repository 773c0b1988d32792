//! Records: written, read, looked up and deleted in the partitions that this broker leads.

pub(crate) mod delete_records;
pub(crate) mod describe_producers;
pub(crate) mod fetch;
pub(crate) mod list_offsets;
pub(crate) mod offset_for_leader_epoch;
pub(crate) mod produce;

mod compacted;
mod leader;
mod refused;
mod verification;
