//! The three things that librdkafka knows and the crate `rdkafka` does not tell: whether a record may be in the log, the names of errors,
//! and who the controller is.

#![expect(unsafe_code, reason = "librdkafka's C interface; each call says why it is sound")]

use std::collections::HashMap;
use std::ffi::CStr;
use std::sync::OnceLock;
use std::time::Duration;

use rdkafka::bindings;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;

/// Whether a record that was sent may be in the log (`rd_kafka_msg_status_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Persistence {
    /// It never reached a broker, or each broker that it reached refused it.
    Not,
    /// It reached a broker that did not answer, or answered that it may be.
    Possibly,
    Persisted,
}

/// What librdkafka knows about a record that a delivery report hands over.
pub(super) fn persistence(message: &BorrowedMessage<'_>) -> Persistence {
    use bindings::rd_kafka_msg_status_t as Status;
    // SAFETY: the message lives for as long as the reference, and the call only reads it.
    match unsafe { bindings::rd_kafka_message_status(message.ptr()) } {
        Status::RD_KAFKA_MSG_STATUS_NOT_PERSISTED => Persistence::Not,
        Status::RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED => Persistence::Possibly,
        Status::RD_KAFKA_MSG_STATUS_PERSISTED => Persistence::Persisted,
    }
}

/// librdkafka's name of an error, such as `_MSG_TIMED_OUT` or `NOT_ENOUGH_REPLICAS`.
pub(super) fn error_name(code: RDKafkaErrorCode) -> String {
    static NAMES: OnceLock<HashMap<i32, String>> = OnceLock::new();
    let names = NAMES.get_or_init(all_names);
    names.get(&(code as i32)).cloned().unwrap_or_else(|| format!("{code:?}"))
}

fn all_names() -> HashMap<i32, String> {
    let mut first = std::ptr::null();
    let mut count = 0;
    // SAFETY: the call sets both to a static table of librdkafka and its length.
    let table = unsafe {
        bindings::rd_kafka_get_err_descs(&raw mut first, &raw mut count);
        std::slice::from_raw_parts(first, count)
    };
    let named = table.iter().filter(|description| !description.name.is_null());
    named
        .map(|description| {
            // SAFETY: a name that is not null is a static C string.
            let name = unsafe { CStr::from_ptr(description.name) };
            (description.code as i32, name.to_string_lossy().into_owned())
        })
        .collect()
}

/// The broker id of the controller, as the last metadata told; `None` when none was heard of in time.
pub(super) fn controller<C: ClientContext>(client: &Client<C>, patience: Duration) -> Option<u32> {
    let milliseconds = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer is that of a client that lives for the whole call.
    let id = unsafe { bindings::rd_kafka_controllerid(client.native_ptr(), milliseconds) };
    u32::try_from(id).ok()
}
