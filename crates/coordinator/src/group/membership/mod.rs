//! Who is a member, and in which generation: the requests and timers that change it (Kafka's rules for classic groups).
//!
//! One file for each request, and one for each thing that several of them lead to: [`rebalance`] owns how a generation begins and ends, [`session`] when a silent member
//! goes, [`static_members`] how one that comes back takes its old place, [`answers`] what a member is told of its generation. Each handler is given the group and its turn, and decides by the group's phase.
//!
//! Never knows committed offsets.

mod answers;
pub(in crate::group) mod heartbeat;
pub(in crate::group) mod join;
pub(in crate::group) mod leave;
pub(in crate::group) mod rebalance;
pub(in crate::group) mod session;
mod static_members;
pub(in crate::group) mod sync;
