//! One running broker: the order in which it starts and the order in which it stops.
//!
//! Start: take the data directory, control plane, open every log, register with the proof of what the disk holds, apply the image, ask to
//! be unfenced, listen. Stop, each step with a deadline: leaderships move, accepting stops, requests drain, fetchers stop, logs flush, the
//! clean mark is left, Raft's leadership moves, end. Nothing leads, follows, serves or deletes before the image shows this registration.

mod data_directory;
mod image_applier;
mod image_updates;
mod options;
mod pid_file;
mod replica_requests;
mod start;
mod status;
mod stop;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use pid_file::PID_FILE;

use crate::config::BrokerConfig;
use crate::metrics::Metrics;
use crate::{http, listener, process};
use pid_file::PidFile;
use start::Running;
use status::ServerStatus;

/// Open files that a broker needs beside its connections: logs, the control plane, other brokers.
const RESERVED_FILES: u64 = 1_024;

/// Runs one broker until it is told to stop, or fails.
///
/// # Errors
/// When it cannot start, or a part of it failed for good.
pub(crate) fn run(mut config: BrokerConfig, config_file: Option<&Path>) -> anyhow::Result<()> {
    let files = process::raise_open_files_limit();
    let for_connections =
        usize::try_from(files.saturating_sub(RESERVED_FILES)).unwrap_or(usize::MAX);
    config.max_connections = config.max_connections.min(for_connections.max(64));
    warn_about(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.network_threads)
        .max_blocking_threads(16)
        .thread_name("data")
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(run_broker(config, config_file));
    runtime.shutdown_background();
    result
}

async fn run_broker(config: BrokerConfig, config_file: Option<&Path>) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let tasks = TaskTracker::new();
    let metrics = Arc::new(Metrics::new());
    let status = ServerStatus::new(&config, Arc::clone(&metrics));
    watch_signals(&tasks, &stop);
    // The HTTP port ends last of all, so that it can be asked what a stop waits for.
    let end = CancellationToken::new();
    let http_listener = listener::bind(&config.http_listener, config.listen_backlog).await?;
    // After the first port: a second process of this configuration ends there, and must not take the file of the one that runs.
    let _pid_file = PidFile::write(&config, config_file);
    let shown: Arc<dyn http::Status> = Arc::clone(&status) as Arc<dyn http::Status>;
    tasks.spawn(http::run(http_listener, shown, tasks.clone(), end.clone()));
    tasks.spawn(Arc::clone(&status).tell(stop.clone()));
    tracing::info!("Steadfast {} starts", crate::VERSION);
    let started = tokio::select! {
        started = start::start(config, metrics, Arc::clone(&status)) => Some(started),
        () = stop.cancelled() => None,
    };
    let result = match started {
        Some(Ok(running)) => serve(running, &status, &stop).await,
        Some(Err(error)) => Err(error),
        // Told to stop while it started: nothing was promised yet, so the next start is as after a crash.
        None => Ok(()),
    };
    stop.cancel();
    end.cancel();
    result
}

/// Serves until the stop signal or a failure, and stops in order.
async fn serve(
    running: Running,
    status: &ServerStatus,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    status.serve();
    let failure = tokio::select! {
        () = stop.cancelled() => None,
        reason = running.controller.failed() => Some(reason),
    };
    status.stop();
    match failure {
        None => stop::stop(running).await,
        // The control plane is gone or has another's place: there is nobody to hand over to, and nothing may be promised any more.
        Some(reason) => Err(anyhow::anyhow!("{reason}")),
    }
}

fn watch_signals(tasks: &TaskTracker, stop: &CancellationToken) {
    let (for_signals, for_orphans) = (stop.clone(), stop.clone());
    tasks.spawn(async move {
        if let Err(error) = process::wait_for_stop_signal(for_signals).await {
            tracing::error!("signals are not handled: {error}");
        }
    });
    tasks.spawn(async move {
        if let Err(error) = process::reap_orphans(for_orphans).await {
            tracing::error!("orphaned processes are not collected: {error}");
        }
    });
}

fn warn_about(config: &BrokerConfig) {
    for key in config.settings.unserved() {
        tracing::warn!("configuration {key} is not served and has no effect");
    }
}
