//! Asks for the log start offset and the high watermark of each partition, about once a second: neither may ever go backwards.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::client::{self, QUESTION_PATIENCE, Quiet};
use super::consumer::reader_settings;
use super::plan::Isolation;
use super::{Shared, WorkloadError, numbers, outcome, spawn};
use crate::history::{Action, Kind, Partition, Role};

const NAME: &str = "watermarks";
const INTERVAL: Duration = Duration::from_secs(1);
const NAP: Duration = Duration::from_millis(50);

pub(super) fn start(shared: Arc<Shared>) -> Result<JoinHandle<()>, WorkloadError> {
    let config =
        client::reading(&shared.bootstrap, NAME, "lab-watermarks", Isolation::ReadUncommitted);
    let asker: BaseConsumer<Quiet> = config
        .create_with_context(Quiet)
        .map_err(|source| WorkloadError::Client { client: NAME.to_owned(), source })?;
    spawn(NAME, move || run(&shared, &asker))
}

fn run(shared: &Shared, asker: &BaseConsumer<Quiet>) {
    let process = Arc::from(NAME);
    let settings = reader_settings(Role::Consumer, Isolation::ReadUncommitted, None);
    shared.recorder.mark(&process, Action::Start { settings });
    let topics = shared.topics.iter();
    let partitions: Vec<Partition> =
        topics.flat_map(|topic| numbers::partitions(&topic.name, topic.partitions)).collect();
    while shared.running() {
        let begun = Instant::now();
        for partition in &partitions {
            if shared.running() {
                ask(shared, asker, &process, partition);
            }
        }
        while shared.running() && begun.elapsed() < INTERVAL {
            std::thread::sleep(NAP);
        }
    }
    shared.recorder.mark(&process, Action::Stop);
}

fn ask(shared: &Shared, asker: &BaseConsumer<Quiet>, process: &Arc<str>, partition: &Partition) {
    let action = |low, high| Action::Watermarks { partition: partition.clone(), low, high };
    let op = shared.recorder.invoke(process, action(-1, -1));
    let answer = asker.fetch_watermarks(&partition.topic, partition.number, QUESTION_PATIENCE);
    match answer {
        Ok((low, high)) => {
            shared.recorder.complete(op, process, (Kind::Ok, None), action(low, high));
        }
        Err(error) => {
            let outcome = (Kind::Fail, Some(outcome::name(&error)));
            shared.recorder.complete(op, process, outcome, action(-1, -1));
        }
    }
}
