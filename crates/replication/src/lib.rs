//! Keeps replicas consistent.
