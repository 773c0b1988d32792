//! The generated code of the replication stream. Nothing here is written by hand.
#![allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated from proto/steadfast/replication/v1; which of these lints it trips is the generator's affair"
)]

tonic::include_proto!("steadfast.replication.v1");
