//! `steadfast produce`: records from a file or standard input.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::AutoCreation;
use client::producer::{Delivered, Delivery, Idempotence, ProducerConfig, ProducerRecord};
use model::record_batch::{Codec, Header};
use model::{Acks, UnixMillis};
use serde_json::{Value, json};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, BufReader};

use super::failure::Failure;
use super::options::Options;
use super::output::Output;
use super::progress::Progress;
use super::values::{parse_acks, parse_bytes, parse_codec, parse_duration, parse_pair};

mod record;
mod writer;

use record::Line;
use writer::Writer;

/// Arguments of `steadfast produce`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// The file to read [default: standard input].
    file: Option<PathBuf>,
    /// What the input holds.
    #[arg(long, value_enum, default_value_t = Format::Lines)]
    format: Format,
    /// Split each line into key and value at the first of these.
    #[arg(long, short = 'K', value_name = "TEXT")]
    key_separator: Option<String>,
    /// The key of every record.
    #[arg(long, short = 'k', conflicts_with = "key_separator")]
    key: Option<String>,
    /// Write an empty value as null, which deletes its key on a compacted topic.
    #[arg(long, short = 'Z')]
    empty_as_null: bool,
    /// A header of every record; may be given several times.
    #[arg(long = "header", short = 'H', value_parser = parse_pair, value_name = "KEY=VALUE")]
    headers: Vec<(String, String)>,
    /// The partition [default: by the key, or in turn].
    #[arg(long, short = 'p', value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// Write each JSON record to the partition that it names.
    #[arg(long, conflicts_with = "partition")]
    keep_partitions: bool,
    /// The timestamp of every record, in milliseconds since 1970 [default: now].
    #[arg(long, value_name = "MS")]
    timestamp: Option<i64>,
    /// What to wait for: 0 nothing, 1 the leader, all the in-sync replicas.
    #[arg(long, value_parser = parse_acks, default_value = "all", value_name = "0|1|all")]
    acks: Acks,
    /// Codec of the batches.
    #[arg(long, value_parser = parse_codec, default_value = "none", value_name = "none|gzip|snappy|lz4|zstd")]
    compression: Codec,
    /// Level of the codec.
    #[arg(long, allow_negative_numbers = true)]
    compression_level: Option<i32>,
    /// Bytes at which a batch is sent.
    #[arg(long, value_parser = parse_bytes, default_value = "64K", value_name = "SIZE")]
    batch_size: usize,
    /// How long a batch waits for more records.
    #[arg(long, value_parser = parse_duration, default_value = "0ms", value_name = "TIME")]
    linger: Duration,
    /// Do without sequence numbers: a retry may then write twice.
    #[arg(long)]
    no_idempotence: bool,
    /// Write in transactions under this transactional id: whoever had it before is fenced.
    #[arg(long, conflicts_with_all = ["no_idempotence", "acks"], value_name = "ID")]
    transactional_id: Option<String>,
    /// With --transactional-id: records of a transaction [default: the whole input is one].
    #[arg(long, requires = "transactional_id", value_parser = clap::value_parser!(u64).range(1..), value_name = "COUNT")]
    transaction_records: Option<u64>,
    /// With --transactional-id: time after which the cluster aborts an open transaction.
    #[arg(long, requires = "transactional_id", value_parser = parse_duration, default_value = "60s", value_name = "TIME")]
    transaction_timeout: Duration,
    /// Print partition and offset of every record that was written.
    #[arg(long)]
    print_offsets: bool,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One record per line.
    Lines,
    /// One JSON object per line, as `consume --json` prints them.
    Json,
    /// The whole input is one record.
    Whole,
}

/// Runs `steadfast produce`.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    if arguments.print_offsets && arguments.acks == Acks::None {
        let message =
            "--print-offsets needs acks 1 or all: with acks 0 no broker says where a record went";
        return Err(Failure::Usage(message.to_owned()));
    }
    let source = Source::open(arguments.file.as_deref()).await?;
    let mut session = Session::new(&arguments).await?;
    match session.write_all(source).await {
        Ok(()) => session.finish().await,
        Err(failure) => {
            session.writer.give_up().await;
            Err(failure)
        }
    }
}

/// The input and its name in messages.
struct Source {
    name: String,
    reader: Box<dyn AsyncBufRead + Unpin>,
}

impl Source {
    async fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            let reader = BufReader::with_capacity(READ_BYTES, tokio::io::stdin());
            return Ok(Self { name: "standard input".to_owned(), reader: Box::new(reader) });
        };
        let name = path.display().to_string();
        match tokio::fs::File::open(path).await {
            Ok(file) => {
                let reader = Box::new(BufReader::with_capacity(READ_BYTES, file));
                Ok(Self { name, reader })
            }
            Err(source) => Err(Failure::File { path: name, source }),
        }
    }

    fn failed(&self, source: std::io::Error) -> Failure {
        Failure::File { path: self.name.clone(), source }
    }

    /// Reads a line without its end into `line`; false at the end of the input.
    async fn line(&mut self, line: &mut Vec<u8>) -> Result<bool, Failure> {
        line.clear();
        let limit = u64::try_from(LONGEST_LINE_BYTES).expect("a constant that fits");
        let mut limited = (&mut self.reader).take(limit);
        let read = limited.read_until(b'\n', line).await;
        if read.map_err(|source| self.failed(source))? == 0 {
            return Ok(false);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() >= LONGEST_LINE_BYTES {
            let message = format!("{}: a line exceeds {LONGEST_LINE_BYTES} bytes", self.name);
            return Err(Failure::Failed(message));
        }
        Ok(true)
    }
}

/// One run: the producer, and what is known of its records.
struct Session<'a> {
    arguments: &'a Arguments,
    writer: Writer,
    output: Output,
    progress: Progress,
    /// Records whose fate is not known, in the order of the input.
    open: VecDeque<Delivery>,
    sent: u64,
    written: u64,
    bytes: u64,
}

impl<'a> Session<'a> {
    async fn new(arguments: &'a Arguments) -> Result<Self, Failure> {
        let mut config = ProducerConfig::with_acks(arguments.acks);
        if arguments.no_idempotence {
            config.idempotence = Idempotence::Disabled;
        }
        config.linger = arguments.linger;
        config.batch_bytes = arguments.batch_size;
        config.max_request_bytes = config.max_request_bytes.max(arguments.batch_size);
        config.codec = arguments.compression;
        config.level = arguments.compression_level;
        config.delivery_timeout = arguments.options.timeout();
        // As Kafka's producers do: the first record makes the topic, where the cluster allows it.
        let client = arguments.options.client_with(AutoCreation::Allowed)?;
        Ok(Self {
            arguments,
            writer: Writer::start(client, config, arguments).await?,
            output: arguments.options.output(),
            progress: Progress::new(),
            open: VecDeque::new(),
            sent: 0,
            written: 0,
            bytes: 0,
        })
    }

    async fn write_all(&mut self, mut source: Source) -> Result<(), Failure> {
        let mut line = Vec::new();
        if self.arguments.format == Format::Whole {
            let limit = u64::try_from(LONGEST_LINE_BYTES).expect("a constant that fits");
            let read = (&mut source.reader).take(limit).read_to_end(&mut line).await;
            read.map_err(|error| source.failed(error))?;
            return self.send(&Line::of_text(&line, self.arguments)).await;
        }
        let mut number = 0_u64;
        while source.line(&mut line).await? {
            number += 1;
            if self.arguments.format == Format::Lines {
                self.send(&Line::of_text(&line, self.arguments)).await?;
                continue;
            }
            let parsed = Line::of_json(&line).map_err(|reason| {
                Failure::Failed(format!("{}, line {number}: {reason}", source.name))
            })?;
            self.send(&parsed).await?;
        }
        Ok(())
    }

    async fn send(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        let arguments = self.arguments;
        let headers: Vec<_> =
            line.headers
                .iter()
                .map(|(key, value)| Header { key: key.as_bytes(), value: value.as_deref() })
                .chain(arguments.headers.iter().map(|(key, value)| Header {
                    key: key.as_bytes(),
                    value: Some(value.as_bytes()),
                }))
                .collect();
        let record = ProducerRecord {
            topic: &arguments.topic,
            partition: if arguments.keep_partitions { line.partition } else { arguments.partition },
            timestamp: arguments.timestamp.or(line.timestamp).map(UnixMillis),
            key: arguments.key.as_deref().map(str::as_bytes).or(line.key.as_deref()),
            value: line.value.as_deref(),
            headers: &headers,
        };
        let what = format!("cannot write to topic {}", arguments.topic);
        let delivery = self.writer.send(&record).await.map_err(Failure::cluster(what))?;
        self.sent += 1;
        let length = record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        self.bytes += u64::try_from(length).unwrap_or_default();
        self.open.push_back(delivery);
        while let Some(outcome) = self.open.front().and_then(Delivery::now) {
            self.open.pop_front();
            self.decided(outcome)?;
        }
        let (sent, written, elapsed) = (self.sent, self.written, self.progress.elapsed());
        self.progress
            .show(|| format!("{sent} read, {written} written, {:.1} s", elapsed.as_secs_f64()));
        Ok(())
    }

    fn decided(&mut self, outcome: Result<Delivered, client::Error>) -> Result<(), Failure> {
        let written = self.written;
        let delivered = outcome.map_err(|source| Failure::Cluster {
            what: format!(
                "record {} of the input is not certainly written, {written} before it are",
                written + 1
            ),
            source,
        })?;
        self.written += 1;
        if !self.arguments.print_offsets {
            return Ok(());
        }
        let partition = delivered.partition.partition;
        let offset = delivered.offset.map(|offset| offset.0);
        if self.output.is_json() {
            return self.output.json(&json!({ "partition": partition, "offset": offset }));
        }
        let offset = offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
        self.output.line(&format!("{partition} {offset}"))
    }

    /// Waits for all outcomes and says what was done.
    async fn finish(mut self) -> Result<(), Failure> {
        let ended = self.writer.finish().await;
        while let Some(delivery) = self.open.pop_front() {
            let outcome = delivery.outcome().await;
            self.decided(outcome)?;
        }
        ended.map_err(Failure::cluster("the transaction is not certainly committed"))?;
        self.progress.clear();
        let seconds = self.progress.elapsed().as_secs_f64();
        if self.output.is_json() {
            let summary: Value = json!({
                "topic": self.arguments.topic,
                "records": self.written,
                "bytes": self.bytes,
                "seconds": seconds,
            });
            self.output.json(&summary)?;
        } else {
            let acknowledged = match self.arguments.acks {
                Acks::None => "sent, unacknowledged",
                Acks::Leader => "written by the leader",
                Acks::All if self.arguments.transactional_id.is_some() => "committed",
                Acks::All => "written by all in-sync replicas",
            };
            let noun = if self.written == 1 { "record" } else { "records" };
            eprintln!("{} {noun} {acknowledged} in {seconds:.2} s", self.written);
        }
        self.output.flush()
    }
}

/// Bytes that are read at once.
const READ_BYTES: usize = 256 * 1024;

/// Longest line, and largest record, that is read.
const LONGEST_LINE_BYTES: usize = 64 << 20;
