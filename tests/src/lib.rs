//! Helpers of the cluster tests.
