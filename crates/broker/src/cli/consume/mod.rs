//! `steadfast consume`: records to standard output.

use std::collections::BTreeMap;
use std::time::Duration;

use client::OffsetAt;
use client::consumer::{
    ConsumedRecord, Consumer, ConsumerConfig, IsolationLevel, OffsetReset, Start,
};
use client::group_consumer::Assignor;
use client::{Client, Error};
use model::record_batch::TimestampType;
use model::{ErrorCode, Offset, TopicPartition, UnixMillis};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, timeout_at};

use super::base64::to_base64;
use super::failure::Failure;
use super::options::Options;
use super::output::Output;
use super::partitions;
use super::progress::Progress;
use super::values::parse_duration;

mod format;
mod member;

use format::Template;

/// Arguments of `steadfast consume`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The topic.
    topic: String,
    /// Where to begin: earliest, latest, an offset, -N for the last N of each partition, or @MS for a time in milliseconds since 1970
    /// [default: latest; earliest with --until-end]. With --group: earliest or latest, where the group has committed nothing.
    #[arg(long, value_parser = parse_from, allow_hyphen_values = true, value_name = "PLACE")]
    from: Option<Place>,
    /// Read this partition only; may be given several times.
    #[arg(long = "partition", short = 'p', value_parser = clap::value_parser!(i32).range(0..), conflicts_with = "group")]
    partitions: Vec<i32>,
    /// Read as a member of this consumer group: go on where it stopped, and commit what was printed.
    #[arg(long, short = 'g', value_name = "GROUP")]
    group: Option<String>,
    /// With --group: the name of a static member, whose partitions wait for it over a restart.
    #[arg(long, requires = "group", value_name = "NAME")]
    group_instance_id: Option<String>,
    /// With --group: how partitions are shared out: range, roundrobin or cooperative-sticky [default: range].
    #[arg(long, requires = "group", value_parser = parse_assignor, value_name = "STRATEGY")]
    assignor: Option<Assignor>,
    /// With --group: silence after which the group goes on without this member [default: 45s].
    #[arg(long, requires = "group", value_parser = parse_duration, value_name = "TIME")]
    session_timeout: Option<Duration>,
    /// End after so many records.
    #[arg(long, short = 'n', alias = "max-records", alias = "max-messages")]
    count: Option<u64>,
    /// End at what was the end of the topic when the command began.
    #[arg(long, short = 'e')]
    until_end: bool,
    /// End when nothing has come for this long.
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    idle: Option<Duration>,
    /// What to see of transactions: read_committed leaves out what is aborted, and stops before the first that is open.
    #[arg(long, value_parser = parse_isolation_level, default_value = "read_uncommitted", value_name = "LEVEL")]
    isolation_level: IsolationLevel,
    /// Print the key in front of the value.
    #[arg(long, short = 'k')]
    print_key: bool,
    /// What stands between key and value.
    #[arg(long, short = 'K', default_value = "\t", value_name = "TEXT")]
    key_separator: String,
    /// How to print a record: %t topic, %p partition, %o offset, %T timestamp, %k key, %v value, %h headers, %% percent, \n \t \0.
    #[arg(long, short = 'f', conflicts_with_all = ["json", "print_key"], value_name = "TEMPLATE")]
    format: Option<String>,
    #[command(flatten)]
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    At(OffsetAt),
    Offset(i64),
    Last(i64),
}

fn parse_from(text: &str) -> Result<Place, String> {
    let invalid = || format!("'{text}' is no place: give earliest, latest, OFFSET, -N or @MS");
    let number = |digits: &str| digits.parse::<i64>().ok().filter(|number| *number >= 0);
    match text {
        "earliest" | "beginning" => Ok(Place::At(OffsetAt::Earliest)),
        "latest" | "end" => Ok(Place::At(OffsetAt::Latest)),
        _ => match (text.strip_prefix('-'), text.strip_prefix('@')) {
            (Some(count), _) => number(count).map(Place::Last).ok_or_else(invalid),
            (_, Some(time)) => number(time)
                .map(|time| Place::At(OffsetAt::Time(UnixMillis(time))))
                .ok_or_else(invalid),
            _ => number(text).map(Place::Offset).ok_or_else(invalid),
        },
    }
}

fn parse_isolation_level(text: &str) -> Result<IsolationLevel, String> {
    match text.to_ascii_lowercase().as_str() {
        "read_uncommitted" => Ok(IsolationLevel::ReadUncommitted),
        "read_committed" => Ok(IsolationLevel::ReadCommitted),
        _ => Err(format!("'{text}' is neither read_uncommitted nor read_committed")),
    }
}

fn parse_assignor(text: &str) -> Result<Assignor, String> {
    let names = Assignor::ALL.map(Assignor::name).join(", ");
    Assignor::from_name(text).ok_or_else(|| format!("'{text}' is no strategy: give one of {names}"))
}

/// Runs `steadfast consume`.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let template = Template::of(&arguments)?;
    let client = arguments.options.client()?;
    let what = format!("cannot read topic {}", arguments.topic);
    let mut printer = Printer {
        arguments: &arguments,
        template,
        ends: BTreeMap::new(),
        output: arguments.options.output(),
        printed: 0,
    };
    if let Some(group) = &arguments.group {
        let reset = member::reset(&arguments)?;
        let partitions = wanted_partitions(&client, &arguments).await?;
        printer.find_ends(&client, &partitions).await?;
        return member::run(client, group, reset, printer).await;
    }
    let partitions = wanted_partitions(&client, &arguments).await?;
    printer.find_ends(&client, &partitions).await?;
    let mut consumer = Consumer::new(
        client.clone(),
        ConsumerConfig {
            offset_reset: OffsetReset::Earliest,
            isolation_level: arguments.isolation_level,
            ..ConsumerConfig::default()
        },
    );
    let starts = starts(&client, &arguments, &partitions).await?;
    for (partition, start) in partitions.into_iter().zip(starts) {
        consumer.assign(partition, start).await.map_err(Failure::cluster(what.clone()))?;
    }
    Reading { consumer, printer }.run(&what).await
}

async fn wanted_partitions(
    client: &Client,
    arguments: &Arguments,
) -> Result<Vec<TopicPartition>, Failure> {
    let topic = &arguments.topic;
    let what = format!("cannot read topic {topic}");
    let mut known = partitions::of_topic(client, topic, &what).await?;
    let wanted = &arguments.partitions;
    if let Some(unknown) =
        wanted.iter().find(|wanted| known.iter().all(|at| at.partition != **wanted))
    {
        let source = Error::Broker {
            subject: format!("partition {unknown}"),
            code: ErrorCode::UnknownTopicOrPartition,
            message: Some(format!("number of partitions: {}", known.len())),
        };
        return Err(Failure::Cluster { what, source });
    }
    known.retain(|at| wanted.is_empty() || wanted.contains(&at.partition));
    Ok(known)
}

/// Returns where to begin in each partition.
async fn starts(
    client: &Client,
    arguments: &Arguments,
    partitions: &[TopicPartition],
) -> Result<Vec<Start>, Failure> {
    let default = if arguments.until_end { OffsetAt::Earliest } else { OffsetAt::Latest };
    let place = arguments.from.unwrap_or(Place::At(default));
    if let Place::At(at) = place {
        return Ok(vec![Start::At(at); partitions.len()]);
    }
    let firsts = partitions::offsets(client, partitions, OffsetAt::Earliest).await?;
    let ends = partitions::offsets(client, partitions, arguments.isolation_level.end()).await?;
    let starts = partitions.iter().map(|at| {
        let of = |offsets: &BTreeMap<_, Offset>| offsets.get(at).map_or(0, |offset| offset.0);
        let (first, end) = (of(&firsts), of(&ends));
        let offset = match place {
            Place::Last(count) => end.saturating_sub(count),
            Place::Offset(offset) => offset,
            Place::At(_) => end,
        };
        let start = offset.min(end).max(first);
        if start != offset && matches!(place, Place::Offset(_)) {
            eprintln!("steadfast: {at}: the log does not hold offset {offset}, taking {start}");
        }
        Start::Offset(Offset(start))
    });
    Ok(starts.collect())
}

/// What prints records and knows when it is enough.
struct Printer<'a> {
    arguments: &'a Arguments,
    template: Template,
    /// Where to end, with --until-end.
    ends: BTreeMap<TopicPartition, Offset>,
    output: Output,
    printed: u64,
}

impl Printer<'_> {
    /// With --until-end, asks for what is the end now.
    async fn find_ends(
        &mut self,
        client: &Client,
        partitions: &[TopicPartition],
    ) -> Result<(), Failure> {
        if !self.arguments.until_end {
            return Ok(());
        }
        let end = self.arguments.isolation_level.end();
        self.ends = partitions::offsets(client, partitions, end).await?;
        Ok(())
    }

    fn is_enough(&self) -> bool {
        self.arguments.count.is_some_and(|count| self.printed >= count)
    }

    /// Prints a record unless it is behind the end; says whether it is done with.
    fn print(&mut self, record: &ConsumedRecord) -> Result<bool, Failure> {
        let is_behind_end =
            self.ends.get(&*record.partition).is_some_and(|end| record.offset >= *end);
        if is_behind_end || self.is_enough() {
            return Ok(false);
        }
        self.printed += 1;
        if self.output.is_json() {
            self.output.json(&json_of(record))?;
        } else {
            let bytes = self.template.render(record);
            self.output.bytes(&bytes)?;
        }
        Ok(true)
    }
}

struct Reading<'a> {
    consumer: Consumer,
    printer: Printer<'a>,
}

impl Reading<'_> {
    async fn run(&mut self, what: &str) -> Result<(), Failure> {
        let mut progress = Progress::new();
        let mut last_record_at = Instant::now();
        while !self.is_finished() {
            let poll = self.consumer.poll();
            let records = match self.printer.arguments.idle {
                None => poll.await,
                Some(idle) => match timeout_at(last_record_at + idle, poll).await {
                    Ok(records) => records,
                    Err(_) => break,
                },
            };
            let records = records.map_err(Failure::cluster(what))?;
            if !records.is_empty() {
                last_record_at = Instant::now();
            }
            for record in &records {
                self.printer.print(record)?;
            }
            self.printer.output.flush()?;
            if self.printer.ends.is_empty() {
                continue;
            }
            let printed = self.printer.printed;
            progress.show(|| format!("{printed} records"));
        }
        progress.clear();
        self.printer.output.flush()
    }

    fn is_finished(&self) -> bool {
        let is_at_end = self.printer.arguments.until_end
            && self.printer.ends.iter().all(|(partition, end)| {
                self.consumer.position(partition).is_some_and(|position| position >= *end)
            });
        is_at_end || self.printer.is_enough()
    }
}

fn json_of(record: &ConsumedRecord) -> Value {
    let mut object = Map::new();
    object.insert("topic".to_owned(), record.partition.topic.clone().into());
    object.insert("partition".to_owned(), record.partition.partition.into());
    object.insert("offset".to_owned(), record.offset.0.into());
    object.insert("timestamp".to_owned(), record.timestamp.0.into());
    let timestamp_type = match record.timestamp_type {
        TimestampType::CreateTime => "create",
        TimestampType::LogAppendTime => "append",
    };
    object.insert("timestamp_type".to_owned(), timestamp_type.into());
    for (name, bytes) in [("key", &record.key), ("value", &record.value)] {
        match bytes.as_deref().map(|bytes| (bytes, std::str::from_utf8(bytes))) {
            None => object.insert(name.to_owned(), Value::Null),
            Some((_, Ok(text))) => object.insert(name.to_owned(), text.into()),
            Some((bytes, Err(_))) => {
                object.insert(format!("{name}_base64"), to_base64(bytes).into())
            }
        };
    }
    let headers: Map<_, _> = record
        .headers
        .iter()
        .map(|(key, value)| {
            let value = value.as_deref().map(String::from_utf8_lossy);
            (String::from_utf8_lossy(key).into_owned(), json!(value))
        })
        .collect();
    object.insert("headers".to_owned(), headers.into());
    Value::Object(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_word_an_offset_a_count_from_the_end_or_a_time() {
        let table = [
            ("earliest", Place::At(OffsetAt::Earliest)),
            ("end", Place::At(OffsetAt::Latest)),
            ("42", Place::Offset(42)),
            ("-3", Place::Last(3)),
            ("@1700000000000", Place::At(OffsetAt::Time(UnixMillis(1_700_000_000_000)))),
        ];
        for (text, expected) in table {
            assert_eq!(parse_from(text), Ok(expected), "{text}");
        }
        for text in ["", "x", "--3", "@", "@-5", "1.5"] {
            assert!(parse_from(text).is_err(), "{text}");
        }
    }
}
