//! CPU time and memory of the brokers' processes, from /proc.

use std::path::Path;

use super::Failure;

/// The processes that are measured.
#[derive(Clone, Debug, Default)]
pub(super) struct Processes {
    pids: Vec<u32>,
}

/// One reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    usages: Vec<Usage>,
    /// CPU seconds of this process.
    own_cpu_seconds: f64,
}

#[derive(Clone, Copy, Debug)]
struct Usage {
    pid: u32,
    cpu_seconds: f64,
    resident_bytes: u64,
    peak_bytes: u64,
}

/// What a process used between two readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spent {
    pub(super) pid: u32,
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) peak_bytes: u64,
}

impl Processes {
    /// Takes the given ids and those in the process id file of each broker's directory in `data_dir`.
    pub(super) fn find(pids: &[u32], data_dir: Option<&Path>) -> Result<Self, Failure> {
        let mut pids = pids.to_vec();
        if let Some(directory) = data_dir {
            let failed = |source| Failure::File { path: directory.display().to_string(), source };
            let found = pids.len();
            for entry in std::fs::read_dir(directory).map_err(failed)? {
                let path = entry.map_err(failed)?.path();
                let text =
                    PID_FILES.iter().find_map(|name| std::fs::read_to_string(path.join(name)).ok());
                pids.extend(text.and_then(|text| text.trim().parse::<u32>().ok()));
            }
            if pids.len() == found {
                let directory = directory.display();
                return Err(Failure::Usage(format!(
                    "{directory} holds no broker-*/steadfast.pid: is it the --data-dir of a running cluster?"
                )));
            }
            pids.sort_unstable();
        }
        Ok(Self { pids })
    }

    /// Reads all processes that are there.
    pub(super) fn read(&self) -> Reading {
        Reading {
            usages: self.pids.iter().filter_map(|pid| usage(*pid)).collect(),
            own_cpu_seconds: usage(std::process::id()).map_or(0.0, |usage| usage.cpu_seconds),
        }
    }
}

impl Reading {
    /// Returns what each process used since an earlier reading, and this process's CPU seconds.
    pub(super) fn since(&self, earlier: &Self) -> (Vec<Spent>, f64) {
        let spent = self.usages.iter().map(|now| {
            let before = earlier.usages.iter().find(|before| before.pid == now.pid);
            Spent {
                pid: now.pid,
                cpu_seconds: now.cpu_seconds - before.map_or(0.0, |before| before.cpu_seconds),
                resident_bytes: now.resident_bytes,
                peak_bytes: now.peak_bytes,
            }
        });
        (spent.collect(), self.own_cpu_seconds - earlier.own_cpu_seconds)
    }
}

fn usage(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    Some(Usage {
        pid,
        cpu_seconds: cpu_seconds(&stat)?,
        resident_bytes: memory(&status, "VmRSS:")?,
        peak_bytes: memory(&status, "VmHWM:")?,
    })
}

/// Reads user and system time, fields 14 and 15 of /proc/PID/stat. The name in field 2 may hold anything, but ends at the last parenthesis.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let fields = &stat[stat.rfind(')')? + 1..];
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

/// Reads a line of /proc/PID/status, which counts in kibibytes.
fn memory(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Ours, and the plain name that scripts around other brokers use.
const PID_FILES: [&str; 2] = ["steadfast.pid", "pid"];

/// Linux's USER_HZ, which is 100 on every architecture that is left.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_read_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 5 6 20 0 9 0 100 1000 10";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("7 (x"), None);
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(memory(status, "VmHWM:"), Some(2 << 20));
        assert_eq!(memory(status, "VmSwap:"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let processes = Processes { pids: vec![std::process::id()] };
        let first = processes.read();
        let (spent, _) = processes.read().since(&first);
        assert!(spent[0].resident_bytes > 0 && spent[0].peak_bytes >= spent[0].resident_bytes);
    }
}
