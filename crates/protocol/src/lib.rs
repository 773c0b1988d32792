//! Bytes to typed requests and responses for every version, and back.
