//! What a report says of the machine it was made on.

use std::fs::read_to_string;
use std::thread::available_parallelism;

/// Cores, memory and kernel, such as `2 cores, 23.4 GiB, Linux 6.18.44`.
pub(crate) fn describe() -> String {
    let cores = available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes: f64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or_default();
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = kibibytes / f64::from(1 << 20);
    format!("{cores} cores, {memory:.1} GiB, Linux {}", kernel.trim())
}
