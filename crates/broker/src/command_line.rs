//! The command line: `server`, `dev`, `docs`, and the client commands of `cli`.
//!
//! Owns parsing and exit codes: 0 done, 1 failed, 2 wrong usage. An error is one line that says what, where and what to do.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use model::BrokerId;

use crate::config::{self, BrokerConfig, Settings};
#[cfg(feature = "mutations")]
use crate::mutation;
use crate::{cli, dev, logging, process};

/// Steadfast: a broker cluster that speaks the Kafka protocol and loses nothing it has acknowledged.
#[derive(Debug, Parser)]
#[command(name = "steadfast", version = crate::VERSION, disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one broker.
    Server(ServerArguments),
    /// Run a cluster on this machine, one process per broker, until Ctrl-C.
    Dev(DevArguments),
    #[command(flatten)]
    Client(cli::Command),
    /// Print a reference page that is generated from the code.
    #[command(hide = true)]
    Docs {
        /// Which page.
        page: Page,
    },
}

#[derive(Debug, Args)]
struct ServerArguments {
    /// Configuration in the format of Kafka's server.properties.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Set a configuration key; stronger than file and environment.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// End when the process that started this one ends.
    #[arg(long, hide = true)]
    exit_with_parent: bool,
}

#[derive(Debug, Args)]
struct DevArguments {
    /// Number of brokers [default: 3, or as the directory holds].
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=i64::from(dev::MAX_BROKERS)))]
    brokers: Option<u16>,
    /// Directory of the cluster; one that holds a cluster is started again as it is.
    #[arg(long, default_value = "steadfast-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Kafka port of the first broker; replication is 100, HTTP 200 and control 300 above it [default: 9092, or as the directory holds].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    kafka_port: Option<u16>,
    /// Set a configuration key of every broker.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Page {
    /// Every configuration key.
    Configuration,
    /// The Kafka APIs that are served.
    Apis,
}

/// Parses the arguments and does what they say.
#[must_use]
pub fn run() -> ExitCode {
    match CommandLine::parse().command {
        Command::Server(arguments) => server(&arguments),
        Command::Dev(arguments) => development_cluster(arguments),
        Command::Client(command) => client(command),
        Command::Docs { page } => docs(page),
    }
}

fn client(command: cli::Command) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::run(command)),
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn server(arguments: &ServerArguments) -> ExitCode {
    if arguments.exit_with_parent {
        let signal = Some(rustix::process::Signal::TERM);
        if let Err(error) = rustix::process::set_parent_process_death_signal(signal) {
            complain(&format!("cannot follow the parent process: {error}"));
        }
    }
    let settings =
        Settings::load(arguments.config.as_deref(), std::env::vars(), &arguments.overrides);
    let config = match settings
        .map_err(anyhow::Error::from)
        .and_then(|settings| BrokerConfig::from_settings(settings).map_err(anyhow::Error::from))
    {
        Ok(config) => config,
        Err(error) => return usage(&error),
    };
    #[cfg(feature = "mutations")]
    let mutation = match mutation::activate_from_environment() {
        Ok(mutation) => mutation,
        Err(error) => return usage(&error.into()),
    };
    logging::init(config.node_id);
    #[cfg(feature = "mutations")]
    if let Some(mutation) = mutation {
        tracing::warn!("this broker is broken on purpose and will lose data: mutation {mutation}");
    }
    process::install_panic_hook();
    finish(crate::server::run(config, arguments.config.as_deref()))
}

fn development_cluster(arguments: DevArguments) -> ExitCode {
    // The parent of all has no id of its own; its lines carry 0.
    logging::init(BrokerId(0));
    let options = dev::Options {
        brokers: arguments.brokers,
        data_dir: arguments.data_dir,
        kafka_port: arguments.kafka_port,
        overrides: arguments.overrides,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(dev::run(options)));
    match result {
        Err(error) if dev::is_wrong_usage(&error) => usage(&error),
        other => finish(other),
    }
}

#[expect(clippy::print_stdout, reason = "the page is this command's output")]
fn docs(page: Page) -> ExitCode {
    let text = match page {
        Page::Configuration => config::render(),
        Page::Apis => protocol::api::reference_page(),
    };
    print!("{text}");
    ExitCode::SUCCESS
}

fn finish(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn usage(error: &anyhow::Error) -> ExitCode {
    complain(&format!("{error:#}"));
    ExitCode::from(2)
}

fn complain(line: &str) {
    eprintln!("steadfast: {line}");
}
