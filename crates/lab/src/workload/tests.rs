//! Whole workloads against librdkafka's mock cluster.
