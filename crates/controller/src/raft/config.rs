//! How openraft is configured: the timings of failover, and the switches without which a restart could lose entries.

use std::time::Duration;

use openraft::{Config, ConfigError, SnapshotPolicy};

/// Between two heartbeats of the leader.
pub(crate) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);
/// Longest election timeout, which is also the leader's lease.
pub(crate) const ELECTION_TIMEOUT_MAX: Duration = Duration::from_millis(300);
const ELECTION_TIMEOUT_MIN: Duration = Duration::from_millis(150);
/// Waits between attempts to reach a node; the default's growth to a second would cost every start and rejoin.
const BACKOFF: &str = "20ms 40ms 80ms 160ms ..200ms";

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Returns the checked configuration.
///
/// # Errors
/// Openraft's own check; constant, so that only a changed constant can fail it.
pub(crate) fn raft_config(cluster_name: &str) -> Result<Config, ConfigError> {
    Config {
        cluster_name: cluster_name.to_owned(),
        heartbeat_interval: millis(HEARTBEAT_INTERVAL),
        election_timeout_min: millis(ELECTION_TIMEOUT_MIN),
        election_timeout_max: millis(ELECTION_TIMEOUT_MAX),
        backoff: BACKOFF.to_owned(),
        // The log is neither snapshotted nor purged, so a node that lags is never sent a snapshot.
        snapshot_policy: SnapshotPolicy::Never,
        replication_lag_threshold: u64::MAX,
        // A leader replicates before its own flush. If it resumed its term after a power loss, one log id could name two entries.
        enable_leader_restore: Some(false),
        enable_pre_vote: Some(true),
        allow_log_reversion: Some(false),
        // Replication starts before the local disk has answered.
        broadcast_submitted_on_append: Some(true),
        ..Config::default()
    }
    .validate()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_configuration_never_resumes_a_term_and_retries_within_200_ms() {
        let config = raft_config("test").expect("the constants pass openraft's check");
        assert_eq!(config.enable_leader_restore, Some(false));
        assert_eq!(config.enable_pre_vote, Some(true));
        assert_eq!(config.allow_log_reversion, Some(false));
        assert_eq!(config.heartbeat_interval, 100);
        assert_eq!((config.election_timeout_min, config.election_timeout_max), (150, 300));
        assert_eq!(config.snapshot_policy, SnapshotPolicy::Never);
        assert!(config.enable_tick && config.enable_heartbeat && config.enable_elect);
        let waits: Vec<u128> =
            config.build_backoff().take(8).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [20, 40, 80, 160, 200, 200, 200, 200]);
    }
}
