//! Cluster metadata by consensus.
