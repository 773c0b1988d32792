//! Writes a history while a run goes on.
//!
//! Clients call [`Recorder::record`] from their threads; one thread writes the lines. The queue is bounded: clients wait for the disk rather
//! than fill the memory.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use super::event::{Action, Event, Kind, OperationId};

/// Events that wait for the writer.
const MAX_WAITING: usize = 65_536;
const BUFFER_BYTES: usize = 1 << 20;

/// The run's time: nanoseconds since it began. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    begun: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { begun: Instant::now() }
    }

    /// Nanoseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Where processes record what they do. Cheap to clone; the history is complete once [`Recorder::finish`] has returned.
#[derive(Clone, Debug)]
pub(crate) struct Recorder {
    clock: Clock,
    next_operation: Arc<AtomicU64>,
    events: SyncSender<Message>,
    writer: Arc<Mutex<Option<JoinHandle<io::Result<()>>>>>,
}

#[derive(Debug)]
enum Message {
    Event(Box<Event>),
    End,
}

impl Recorder {
    /// Begins a history in a new file.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub(crate) fn create(path: &Path, clock: Clock) -> io::Result<Self> {
        let file = File::create_new(path)?;
        let (events, queue) = sync_channel(MAX_WAITING);
        let writer = std::thread::Builder::new()
            .name("history".to_owned())
            .spawn(move || write(file, &queue))?;
        Ok(Self {
            clock,
            next_operation: Arc::default(),
            events,
            writer: Arc::new(Mutex::new(Some(writer))),
        })
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// Begins an operation, and returns its id.
    pub(crate) fn invoke(&self, process: &Arc<str>, action: Action) -> OperationId {
        let op = self.next_operation.fetch_add(1, Ordering::Relaxed);
        self.record(op, process, (Kind::Invoke, None), action);
        op
    }

    /// Records a mark: something that is no operation and has no completion.
    pub(crate) fn mark(&self, process: &Arc<str>, action: Action) {
        let op = self.next_operation.fetch_add(1, Ordering::Relaxed);
        self.record(op, process, (Kind::Ok, None), action);
    }

    /// Ends an operation.
    pub(crate) fn complete(
        &self,
        op: OperationId,
        process: &Arc<str>,
        outcome: (Kind, Option<String>),
        action: Action,
    ) {
        self.record(op, process, outcome, action);
    }

    fn record(
        &self,
        op: OperationId,
        process: &Arc<str>,
        (kind, error): (Kind, Option<String>),
        action: Action,
    ) {
        let time = self.clock.now();
        let process = Arc::clone(process);
        let event = Box::new(Event { time, op, process, kind, action, error });
        // The writer is gone only when the disk failed; `finish` says so.
        let _ = self.events.send(Message::Event(event));
    }

    /// Ends the history; whatever is recorded afterwards is dropped.
    ///
    /// # Errors
    /// The first error of a write.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let _ = self.events.send(Message::End);
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match writer.map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the history's writer panicked")),
            None => Ok(()),
        }
    }
}

fn write(file: File, queue: &Receiver<Message>) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
    while let Ok(Message::Event(event)) = queue.recv() {
        serde_json::to_writer(&mut file, &event)?;
        file.write_all(b"\n")?;
    }
    file.flush()
}
