//! What every broker does towards the active controller, wherever that is: it forms or joins a cluster, keeps a session, proposes, and watches
//! its own image.

pub(crate) mod broker_id_claim;
mod controller_loss;
pub(crate) mod formation;
pub(crate) mod proposal_queue;
pub(crate) mod self_watch;
pub(crate) mod session;
pub(crate) mod wish;
