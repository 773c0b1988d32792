//! Administration: topics, configurations and leaders, changed by commands to the controller.
//!
//! Any broker takes any of these requests; the command is what travels to the active controller.

pub(crate) mod alter_configs;
pub(crate) mod create_partitions;
pub(crate) mod create_topics;
pub(crate) mod delete_topics;
pub(crate) mod describe_configs;
pub(crate) mod elect_leaders;
pub(crate) mod incremental_alter_configs;

mod configs;
mod proposal;
mod twice;
