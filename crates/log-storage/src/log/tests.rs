//! Behaviour of one log on a real directory and on the simulated disk.

mod clean_crashes;
mod clean_model;
mod cleaning;
mod compaction;
mod crashes;
mod fixture;
mod kafka;
mod model_test;
mod naive;
mod operations;
mod retirement;
mod transaction_crashes;
mod transaction_model;
mod transactions;
