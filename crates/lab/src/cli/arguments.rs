//! What may be said on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::experiment::{Client, Loss};
use crate::history::Acks;
use crate::workload::Compression;

/// Chaos and durability experiments on any Kafka-compatible cluster.
#[derive(Debug, Parser)]
#[command(name = "steadfast-lab", version, max_term_width = 110)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Break a cluster while clients write and read, then judge what they saw
    Chaos(ChaosArguments),
    /// Count what is lost for each acks, flush and fault
    Durability(DurabilityArguments),
    /// Judge a history that was recorded before, by the lab or by another tool
    Check {
        /// The history, as JSON lines; docs/lab-history.md describes them
        history: PathBuf,
        /// Where the report goes; nothing is written without it
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Write the HTML and Markdown pages of a report.json anew
    Report {
        /// The report.json of a run
        report: PathBuf,
    },
    /// List the faults, the scenarios and the targets
    List,
}

/// Which cluster.
#[derive(Clone, Debug, Args)]
pub(super) struct TargetArguments {
    /// steadfast, kafka, compose, bootstrap, or a target file
    #[arg(long, default_value = "steadfast")]
    pub(super) target: String,
    /// A variable of the target file, such as binary=target/release/steadfast or jars=kafka/libs
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(super) variables: Vec<String>,
    /// Nodes of a cluster that the lab starts itself
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=9))]
    pub(super) nodes: u32,
    /// With --target bootstrap: where the cluster is
    #[arg(long, value_name = "HOST:PORT,...")]
    pub(super) bootstrap: Option<String>,
    /// With --target bootstrap: a file of commands that break and mend it
    #[arg(long, value_name = "FILE")]
    pub(super) commands: Option<PathBuf>,
    /// With --target compose: the compose file
    #[arg(long, default_value = "deploy/docker/compose.yaml", value_name = "FILE")]
    pub(super) compose_file: PathBuf,
    /// Size of each node's disk
    #[arg(long, default_value_t = 1024, value_name = "MEBIBYTES")]
    pub(super) disk: u32,
    /// Where the history, the nodes' logs and the report go; made anew
    #[arg(long, value_name = "DIR")]
    pub(super) out: Option<PathBuf>,
}

/// How to break it.
#[derive(Clone, Debug, Args)]
pub(super) struct ChaosArguments {
    #[command(flatten)]
    pub(super) target: TargetArguments,
    /// How long clients write
    #[arg(long, default_value = "60s", value_parser = duration)]
    pub(super) duration: Duration,
    /// The schedule of the faults follows from it; a random one is drawn and printed
    #[arg(long)]
    pub(super) seed: Option<u64>,
    /// A named scenario instead of random faults; `steadfast-lab list` names them
    #[arg(long, conflicts_with = "faults")]
    pub(super) scenario: Option<String>,
    /// Only these faults, separated by commas
    #[arg(long, value_delimiter = ',')]
    pub(super) faults: Vec<String>,
    /// Longest time that a fault lasts; each is drawn between half of it and all
    #[arg(long, default_value = "15s", value_parser = duration)]
    pub(super) fault_for: Duration,
    /// Longest time between two faults, drawn in the same way
    #[arg(long, default_value = "8s", value_parser = duration)]
    pub(super) quiet_for: Duration,
    /// How often a second fault begins while one is on, of 100 times; never in a named scenario but `everything`
    #[arg(long, value_name = "PERCENT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100))]
    pub(super) overlap: u32,
    /// Begin each fault only once all ISRs are full, however late that is: for figures that are to be compared
    #[arg(long)]
    pub(super) in_sync: bool,
    /// Do the same with another target afterwards, and report both side by side: kafka, or a target file
    #[arg(long, value_name = "TARGET")]
    pub(super) beside: Vec<String>,
    /// A variable of the targets of --beside
    #[arg(long = "set-beside", value_name = "NAME=VALUE", requires = "beside")]
    pub(super) variables_beside: Vec<String>,
    /// Partitions of the topic
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=1000))]
    pub(super) partitions: i32,
    /// Records that all producers together send in a second
    #[arg(long, default_value_t = 1000.0)]
    pub(super) rate: f64,
    /// Bytes of a record
    #[arg(long, default_value_t = 200)]
    pub(super) record_bytes: usize,
    #[arg(long, value_enum, default_value_t = Compression::None)]
    pub(super) compression: Compression,
    /// How unevenly keys choose partitions: 0 is even, 1 is Zipf's law
    #[arg(long, default_value_t = 0.0)]
    pub(super) skew: f64,
    /// Which clients run
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Client::Idempotent, Client::Plain, Client::Consumer, Client::Group])]
    pub(super) clients: Vec<Client>,
}

/// What to count.
#[derive(Clone, Debug, Args)]
pub(super) struct DurabilityArguments {
    #[command(flatten)]
    pub(super) target: TargetArguments,
    /// Rounds of each cell
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) rounds: u32,
    /// Only these acks, separated by commas
    #[arg(long, value_delimiter = ',', value_parser = acks, default_values = ["0", "1", "all"])]
    pub(super) acks: Vec<Acks>,
    /// Only these faults, separated by commas
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(super) faults: Vec<Loss>,
    /// Records that each producer sends in a second
    #[arg(long, default_value_t = 2000.0)]
    pub(super) rate: f64,
    /// How long clients write before the fault
    #[arg(long, default_value = "1s", value_parser = duration)]
    pub(super) write_for: Duration,
}

fn acks(text: &str) -> Result<Acks, String> {
    match text {
        "0" => Ok(Acks::Zero),
        "1" => Ok(Acks::One),
        "all" | "-1" => Ok(Acks::All),
        _ => Err("acks is 0, 1 or all".to_owned()),
    }
}

/// Reads `90s`, `5m`, `1h` or `250ms`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?}: write 250ms, 90s, 5m or 1h"))?;
    let unit_ms: u64 = match unit {
        "ms" => 1,
        "s" | "" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("{text:?}: write 250ms, 90s, 5m or 1h")),
    };
    number
        .checked_mul(unit_ms)
        .filter(|ms| (1..=86_400_000).contains(ms))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{text:?} is not between 1ms and 24h"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn durations_are_read_with_their_units_and_bounds() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["", "s", "0s", "25h", "1w", "-1s", "99999999999999999999s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
