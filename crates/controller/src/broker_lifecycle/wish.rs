//! What this run of the broker wants of the active controller. Set by the handle, told by the session.

use model::BrokerEpoch;

/// The wish; nothing before this run has registered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    /// The epoch of this run's registration.
    pub(crate) broker_epoch: Option<BrokerEpoch>,
    /// Whether it wants to be unfenced under that epoch.
    pub(crate) is_ready: bool,
}
