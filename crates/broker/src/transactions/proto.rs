//! The generated code of what brokers say to one another about transactions. Nothing here is written by hand.
#![allow(
    clippy::all,
    clippy::too_many_lines,
    clippy::allow_attributes_without_reason,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    reason = "generated from proto/steadfast/transaction/v1; which of these lints it trips is the generator's affair"
)]

tonic::include_proto!("steadfast.transaction.v1");
