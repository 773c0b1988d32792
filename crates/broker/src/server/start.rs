//! The start of a broker, step by step.
//!
//! Owns the order alone; each step belongs to the crate that does it. A step that waits says for what.

use std::net::TcpListener as StdListener;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use controller::Controller;
use log_storage::{FatalHandler, FileSystem, Flusher, FlusherOptions, OsFileSystem};
use model::{BrokerEpoch, Clock, TopicIdPartition};
use replication::{Registration, Replicas, ReplicasOptions, ReplicationMetrics};
use socket2::Socket;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::data_directory::DataDirectory;
use super::image_applier::ImageApplier;
use super::image_updates;
use super::options;
use super::replica_requests;
use super::status::ServerStatus;
use crate::config::BrokerConfig;
use crate::connection::Limits;
use crate::context::Context;
use crate::coordinators::{CoordinatorParts, CoordinatorSettings, Coordinators};
use crate::dispatch;
use crate::listener::{self, Shared};
use crate::metrics::Metrics;
use crate::topics::AutoTopics;

/// A broker that serves, with what its stop needs.
pub(super) struct Running {
    pub(super) controller: Controller,
    pub(super) replicas: Arc<Replicas>,
    pub(super) flusher: Flusher,
    pub(super) directory: DataDirectory,
    pub(super) broker_epoch: BrokerEpoch,
    pub(super) coordinators: Arc<Coordinators>,
    /// Cancelled to stop accepting and to answer what is in flight.
    pub(super) drain: CancellationToken,
    /// Cancelled to answer producers that wait for replicas, too.
    pub(super) no_more_acks: CancellationToken,
    pub(super) connections: TaskTracker,
    /// Cancelled to stop replication, the image applier and what carries the requests of replicas.
    pub(super) background_stop: CancellationToken,
    pub(super) background: TaskTracker,
}

/// Starts everything, in order.
pub(super) async fn start(
    config: BrokerConfig,
    metrics: Arc<Metrics>,
    status: Arc<ServerStatus>,
) -> anyhow::Result<Running> {
    let config = Arc::new(config);
    let clock = Clock::start();
    let fs: Arc<dyn FileSystem> = Arc::new(OsFileSystem);
    // Ports first: a port that is taken is said at once, and nothing is written.
    let ports = Ports::take(&config).await?;

    status.wait_for(format!("the data directory {}", config.data_dir.display()));
    let (directory, last_run) = DataDirectory::take(Arc::clone(&fs), &config.data_dir)?;
    status.wait_for("the control plane");
    let options = options::controller_config(&config, ports.control, Arc::clone(&fs), clock)
        .context("the control listener has no address")?;
    let controller = blocking(move || Ok(Controller::start(options)?)).await?;
    status.set_controller(controller.clone());

    status.wait_for("the recovery of its logs");
    let Storage { flusher, replicas, lost } = open_logs(&config, &controller, fs, clock).await?;
    metrics.register(|registry| replicas.register_metrics(registry));

    status.wait_for("its registration with the controller");
    let proof = options::registration_proof(&config, last_run, lost);
    let broker_epoch = controller.register(proof).await?.broker_epoch;
    let directory =
        blocking(move || Ok(directory.store_broker_epoch(broker_epoch).map(|()| directory)?))
            .await?;

    status.wait_for("its replicas");
    let (background, background_stop) = (TaskTracker::new(), CancellationToken::new());
    let coordinators = Coordinators::start(CoordinatorParts {
        controller: &controller,
        replicas: &replicas,
        settings: CoordinatorSettings::read(&config.settings),
        broker_epoch,
        metrics: &metrics,
        background: background.clone(),
        stop: background_stop.clone(),
    });
    let readers = ImageReaders { replicas: &replicas, coordinators: &coordinators };
    follow_image(&controller, readers, broker_epoch, &background, &background_stop).await?;
    let stop = background_stop.clone();
    serve_replication(&replicas, &coordinators, ports.replication, &background, &stop);
    background.spawn(replica_requests::run(Arc::clone(&replicas), controller.clone(), stop));
    replicas.settled().await;

    status.wait_for("being unfenced");
    controller.set_ready(broker_epoch);
    wait_until_unfenced(&controller, broker_epoch).await?;
    let no_more_acks = CancellationToken::new();
    let context = Arc::new(Context {
        auto_topics: AutoTopics::new(&controller, &replicas, config.voters.len(), &coordinators),
        coordinators: Arc::clone(&coordinators),
        producer_ids: Arc::clone(coordinators.producer_ids()),
        answer_bytes: Arc::new(byte_budget(config.queued_max_request_bytes)),
        config: Arc::clone(&config),
        controller: controller.clone(),
        replicas: Arc::clone(&replicas),
        metrics: Arc::clone(&metrics),
        no_more_acks: no_more_acks.clone(),
    });
    let (connections, drain) = listen(&config, ports.kafka, context)?;
    Ok(Running {
        controller,
        replicas,
        flusher,
        directory,
        broker_epoch,
        coordinators,
        drain,
        no_more_acks,
        connections,
        background_stop,
        background,
    })
}

/// The ports of a broker but that for HTTP, taken before anything is written.
struct Ports {
    /// Taken, but not listened on before the broker serves.
    kafka: Vec<Socket>,
    control: StdListener,
    replication: TcpListener,
}

impl Ports {
    async fn take(config: &BrokerConfig) -> anyhow::Result<Self> {
        let mut kafka = Vec::with_capacity(config.listeners.len());
        for one in &config.listeners {
            kafka.push(listener::reserve(&one.bind).await?);
        }
        let control = listener::bind(&config.control_listener, config.listen_backlog).await?;
        let control = control.into_std().context("cannot use the control listener")?;
        let replication =
            listener::bind(&config.replication_listener, config.listen_backlog).await?;
        Ok(Self { kafka, control, replication })
    }
}

/// The opened logs and the threads that write them.
struct Storage {
    flusher: Flusher,
    replicas: Arc<Replicas>,
    /// What the registration must say about the disk.
    lost: Vec<TopicIdPartition>,
}

async fn open_logs(
    config: &BrokerConfig,
    controller: &Controller,
    fs: Arc<dyn FileSystem>,
    clock: Clock,
) -> anyhow::Result<Storage> {
    let fatal = fatal_handler();
    let metrics = ReplicationMetrics::default();
    let flusher = Flusher::start(FlusherOptions {
        observer: Arc::new(metrics.clone()),
        ..FlusherOptions::new(config.data_dir.clone(), fatal.clone())
    })
    .context("cannot start the storage threads")?;
    let options = ReplicasOptions {
        broker_id: config.node_id,
        directory_id: controller.directory_id(),
        data_dir: config.data_dir.clone(),
        recovery_threads: config.settings.size("num.recovery.threads.per.data.dir"),
        fs,
        flusher: flusher.clone(),
        fatal,
        clock,
        config: options::replication_config(&config.settings),
        metrics,
    };
    let (replicas, proof) =
        blocking(move || Replicas::open(options).map_err(anyhow::Error::from)).await?;
    Ok(Storage { flusher, replicas, lost: proof.lost.into_iter().collect() })
}

/// Who is told of each image, in this order.
struct ImageReaders<'a> {
    replicas: &'a Arc<Replicas>,
    coordinators: &'a Arc<Coordinators>,
}

/// Hands replicas and coordinators the image that has this registration, and then every change of it, in log order.
async fn follow_image(
    controller: &Controller,
    readers: ImageReaders<'_>,
    broker_epoch: BrokerEpoch,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let own = controller.broker_id();
    let mut changes = controller.changes();
    let first = changes.next().await.ok_or_else(|| anyhow!("the control plane has stopped"))?;
    let cluster_id = first.image.cluster_id().cloned();
    let cluster_id = cluster_id.ok_or_else(|| anyhow!("the cluster has no id"))?;
    let registration = Registration { cluster_id, broker_epoch };
    let ImageReaders { replicas, coordinators } = readers;
    replicas.start(registration, image_updates::whole(&first.image, own), tasks, stop.clone());
    coordinators.start_with(&first.image);
    let applier = ImageApplier {
        own,
        replicas: Arc::clone(replicas),
        coordinators: Arc::clone(coordinators),
        image: first.image,
    };
    tasks.spawn(applier.run(changes, stop.clone()));
    Ok(())
}

/// Serves followers, and what else brokers say to one another, on the replication port until `stop` is cancelled.
fn serve_replication(
    replicas: &Arc<Replicas>,
    coordinators: &Coordinators,
    listener: TcpListener,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let (replicas, others) = (Arc::clone(replicas), coordinators.service(tasks, stop));
    let stop = stop.clone();
    tasks.spawn(async move {
        if let Err(error) = replicas.serve(listener, others, stop).await {
            tracing::error!(
                "the replication listener ended, no broker can follow this one: restart it: {error}"
            );
        }
    });
}

/// Makes a budget of one permit per byte.
fn byte_budget(bytes: usize) -> Semaphore {
    Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))
}

/// Opens the Kafka listeners.
fn listen(
    config: &BrokerConfig,
    sockets: Vec<Socket>,
    context: Arc<Context>,
) -> anyhow::Result<(TaskTracker, CancellationToken)> {
    let tasks = TaskTracker::new();
    let drain = CancellationToken::new();
    let shared = Shared {
        limits: Limits {
            max_request_bytes: config.max_request_bytes,
            max_idle: config.max_idle,
            request_bytes: Arc::new(byte_budget(config.queued_max_request_bytes)),
        },
        connections: Arc::new(Semaphore::new(config.max_connections)),
        metrics: Arc::new(context.metrics.connections.clone()),
        handler: dispatch::handler(context),
        tasks: tasks.clone(),
        drain: drain.clone(),
    };
    for (socket, one) in sockets.into_iter().zip(&config.listeners) {
        let socket = listener::listen(socket, &one.bind, config.listen_backlog)?;
        tracing::info!(
            "listener {} serves on {}, advertised as {}",
            one.name,
            one.bind,
            one.advertised
        );
        tasks.spawn(listener::run(socket, Arc::new(one.clone()), shared.clone()));
    }
    Ok((tasks, drain))
}

/// The first failed write or fsync ends the process, after one line: the kernel calls the lost pages clean, so nothing may go on.
fn fatal_handler() -> FatalHandler {
    FatalHandler::new(|error| {
        tracing::error!(
            "stopping at once, the disk failed, the next start reads what it holds: {error}: {}",
            error.source
        );
        std::process::exit(1);
    })
}

async fn wait_until_unfenced(
    controller: &Controller,
    broker_epoch: BrokerEpoch,
) -> anyhow::Result<()> {
    let own = controller.broker_id();
    let mut changes = controller.changes();
    loop {
        let change =
            changes.next().await.ok_or_else(|| anyhow!("the control plane has stopped"))?;
        if change.image.is_unfenced(own) && change.image.is_current(own, broker_epoch) {
            return Ok(());
        }
    }
}

/// Runs blocking work of the start off the data threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("a step of the start did not end")?
}
