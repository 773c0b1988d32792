//! The code generated from `proto/steadfast/{raft,controller}/v1`; nothing is written by hand here.

macro_rules! generated {
    ($(#[$meta:meta])* $name:ident, $package:literal) => {
        $(#[$meta])*
        #[allow(
            dead_code,
            missing_docs,
            missing_debug_implementations,
            unreachable_pub,
            unused_qualifications,
            clippy::all,
            clippy::allow_attributes_without_reason,
            clippy::cast_lossless,
            clippy::cast_possible_truncation,
            clippy::large_futures,
            clippy::or_fun_call,
            clippy::too_many_lines,
            clippy::use_self,
            reason = "generated code"
        )]
        pub(crate) mod $name {
            tonic::include_proto!($package);
        }
    };
}

generated! {
    /// Consensus between controllers, and the form of Raft's log on disk.
    raft, "steadfast.raft.v1"
}
generated! {
    /// Brokers and the active controller; commands, outcomes and records of the metadata.
    controller, "steadfast.controller.v1"
}
