//! `steadfast bench`: throughput, latency, and what the brokers spend.
//!
//! The generator costs as little as it can, so that the brokers are measured: batches are encoded once, and everything runs on one
//! thread with its own event loop. Latencies count from the intended start, so that a stall of the cluster is not hidden by the requests that
//! it kept from being sent (coordinated omission).

mod load;
mod processes;
mod reader;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use client::OffsetAt;
use client::admin::{Mode, NewTopic};
use client::{Client, Topics};
use model::record_batch::Codec;
use model::{Acks, ErrorCode, TopicPartition};

use super::failure::Failure;
use super::options::Options;
use super::partitions;
use super::values::{parse_acks, parse_bytes, parse_codec, parse_duration, parse_pair};
use processes::Processes;

/// Arguments of `steadfast bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Write batches that were encoded before.
    Produce(Produce),
    /// Read a topic; batches are counted, not looked into, unless told otherwise.
    Consume(Consume),
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The topic.
    #[arg(long, default_value = "bench")]
    topic: String,
    /// How long to measure.
    #[arg(long, value_parser = parse_duration, default_value = "10s", value_name = "TIME")]
    duration: Duration,
    /// Measure so many records instead.
    #[arg(long, value_name = "COUNT")]
    records: Option<u64>,
    /// Measure CPU and memory of this process; may be given several times.
    #[arg(long = "broker-pid", value_name = "PID")]
    broker_pids: Vec<u32>,
    /// Measure the brokers of a local cluster: those with a process id file in this directory.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, clap::Args)]
struct Produce {
    #[command(flatten)]
    common: Common,
    /// Partitions of the topic, when it is created.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..))]
    partitions: i32,
    /// Replicas of the topic, when it is created [default: the cluster's].
    #[arg(long)]
    replication_factor: Option<i16>,
    /// Configuration of the topic, when it is created; may be given several times.
    #[arg(long = "config", value_parser = parse_pair, value_name = "KEY=VALUE")]
    configs: Vec<(String, String)>,
    /// Bytes of a record's value.
    #[arg(long, value_parser = parse_bytes, default_value = "1K", value_name = "SIZE")]
    record_size: usize,
    /// Bytes of a batch; a batch holds at least one record.
    #[arg(long, value_parser = parse_bytes, default_value = "64K", value_name = "SIZE")]
    batch_size: usize,
    /// What to wait for: 0, 1 or all.
    #[arg(long, value_parser = parse_acks, default_value = "all", value_name = "0|1|all")]
    acks: Acks,
    /// Codec of the batches.
    #[arg(long, value_parser = parse_codec, default_value = "none", value_name = "none|gzip|snappy|lz4|zstd")]
    compression: Codec,
    /// Requests under way per connection.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    in_flight: u16,
    /// Connections to each broker that leads a partition of the topic.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
    /// Records per second of all connections together [default: as fast as they go].
    #[arg(long, value_name = "COUNT")]
    rate: Option<f64>,
    /// How long to run before measuring.
    #[arg(long, value_parser = parse_duration, default_value = "1s", value_name = "TIME")]
    warmup: Duration,
}

#[derive(Debug, clap::Args)]
struct Consume {
    #[command(flatten)]
    common: Common,
    /// Check checksums and decode every record.
    #[arg(long)]
    decode: bool,
}

/// Runs `steadfast bench`.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let (mut output, report) = match arguments.action {
        Action::Produce(produce) => {
            if produce.acks == Acks::None
                && produce.rate.is_none()
                && produce.common.records.is_none()
            {
                let message = "acks 0 has no answers that would slow the generator down: give --rate or --records";
                return Err(Failure::Usage(message.to_owned()));
            }
            let (processes, output) =
                (produce.common.processes()?, produce.common.options.output());
            (output, on_own_thread(move || load::run(produce, processes)).await?)
        }
        Action::Consume(consume) => {
            let (processes, output) =
                (consume.common.processes()?, consume.common.options.output());
            (output, on_own_thread(move || reader::run(consume, processes)).await?)
        }
    };
    output.answer(|| report.json(), |output| report.print(output))?;
    output.flush()
}

impl Common {
    fn processes(&self) -> Result<Processes, Failure> {
        Processes::find(&self.broker_pids, self.data_dir.as_deref())
    }
}

/// Runs a future on a thread with an event loop of its own, so that no other thread has to be woken for each answer.
async fn on_own_thread<T, F>(make: impl FnOnce() -> F + Send + 'static) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>>,
{
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let started = std::thread::Builder::new().name("bench".to_owned()).spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = match runtime {
            Ok(runtime) => runtime.block_on(make()),
            Err(error) => Err(Failure::Failed(format!("cannot start an event loop: {error}"))),
        };
        // The receiver is gone only when the process ends.
        let _ = sender.send(result);
    });
    if let Err(error) = started {
        return Err(Failure::Failed(format!("cannot start a thread: {error}")));
    }
    receiver.await.unwrap_or_else(|_| Err(Failure::Failed("the generator ended early".to_owned())))
}

/// Makes the topic unless it exists, and waits until each of its partitions has a leader.
async fn prepare_topic(client: &Client, arguments: &Produce) -> Result<(), Failure> {
    let name = &arguments.common.topic;
    let topic = NewTopic {
        name: name.clone(),
        partitions: Some(arguments.partitions),
        replication_factor: arguments.replication_factor,
        configs: arguments.configs.clone(),
        ..NewTopic::default()
    };
    match client.create_topic(&topic, Mode::Apply).await {
        Ok(_) => {}
        Err(error) if error.code() == Some(ErrorCode::TopicAlreadyExists) => {}
        Err(error) => return Err(Failure::cluster(format!("cannot create topic {name}"))(error)),
    }
    wait_for_leaders(client, name).await.map(|_| ())
}

/// Waits until the leader of every partition answers for it, and returns the partitions: a broker may hear of a new topic a moment after its creator.
async fn wait_for_leaders(client: &Client, name: &String) -> Result<Vec<TopicPartition>, Failure> {
    let what = format!("topic {name} does not get ready");
    let partitions = partitions::of_topic(client, name, &what).await?;
    for (_, end) in client.list_offsets(&partitions, OffsetAt::Latest).await {
        end.map_err(Failure::cluster(what.clone()))?;
    }
    // Leaders may have changed meanwhile.
    let metadata = client.refresh_metadata(Topics::Named(std::slice::from_ref(name))).await;
    metadata.map_err(Failure::cluster(what))?;
    Ok(partitions)
}
