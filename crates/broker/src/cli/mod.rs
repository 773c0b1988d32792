//! The client commands: topics, configuration, records, groups, the cluster, benchmarks, all over the Kafka protocol.
//!
//! They work against any Kafka-compatible cluster and know nothing of the server in this crate. What a command is asked for goes to standard
//! output, as text or with `--json`; progress and errors go to standard error. Exit codes: 0 done, 1 failed, 2 wrong usage.

mod base64;
mod bench;
mod cluster;
mod config;
mod consume;
mod date_time;
mod failure;
mod group;
mod health;
mod options;
mod output;
mod partitions;
mod produce;
mod progress;
mod topic;
mod transaction;
mod values;

use std::process::ExitCode;

use failure::Failure;

/// A client command; the binary's command line takes these in beside its own.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List, create, describe, change and delete topics.
    Topic(topic::Arguments),
    /// Show and change configuration of topics and brokers.
    Config(config::Arguments),
    /// Write records from a file or standard input.
    Produce(Box<produce::Arguments>),
    /// Read records to standard output.
    Consume(Box<consume::Arguments>),
    /// List, describe and delete consumer groups; move what they have committed.
    Group(group::Arguments),
    /// List and describe transactions; find those that hang, and end them.
    Transaction(transaction::Arguments),
    /// Show brokers and who leads what; elect leaders.
    Cluster(cluster::Arguments),
    /// Say whether the cluster serves: exit code 0 when every partition is led and fully replicated.
    Health(health::Arguments),
    /// Measure throughput and latency.
    Bench(Box<bench::Arguments>),
}

/// Runs a command and returns the process's exit code. An error is printed as one line.
pub(crate) async fn run(command: Command) -> ExitCode {
    let result = match command {
        Command::Topic(arguments) => topic::run(arguments).await,
        Command::Config(arguments) => config::run(arguments).await,
        Command::Produce(arguments) => produce::run(*arguments).await,
        Command::Consume(arguments) => consume::run(*arguments).await,
        Command::Group(arguments) => group::run(arguments).await,
        Command::Transaction(arguments) => transaction::run(arguments).await,
        Command::Cluster(arguments) => cluster::run(arguments).await,
        Command::Health(arguments) => health::run(arguments).await,
        Command::Bench(arguments) => bench::run(*arguments).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::BrokenPipe) {
                eprintln!("steadfast: {failure}");
            }
            ExitCode::from(failure.exit_code())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Subcommand as _;

    #[test]
    fn every_command_and_option_says_what_it_is_and_every_answer_can_be_json() {
        let all = super::Command::augment_subcommands(clap::Command::new("steadfast"));
        all.clone().debug_assert();
        let mut open = vec![all];
        let mut leaves = 0;
        while let Some(command) = open.pop() {
            open.extend(command.get_subcommands().cloned());
            if command.has_subcommands() {
                continue;
            }
            leaves += 1;
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} does not say what it does");
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{name}: {} has no help", argument.get_id());
            }
            for option in ["json", "bootstrap-servers", "timeout"] {
                let has_it = |argument: &clap::Arg| argument.get_long() == Some(option);
                assert!(command.get_arguments().any(has_it), "{name} has no --{option}");
            }
        }
        assert!(leaves > 15, "only {leaves} commands were found");
    }
}
