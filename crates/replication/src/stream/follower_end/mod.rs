//! The follower's end of the streams: to whom one is open, what is appended from it, and what goes back.

pub(crate) mod fetchers;
