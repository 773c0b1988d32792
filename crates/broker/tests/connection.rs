//! A listener and its connections, against handlers made for the test: order, back-pressure, and what clients send that is no request.

#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use broker::config::listeners::{HostPort, Listener};
use broker::connection::{
    Accepted, Closed, FrameError, Handler, Limits, MAX_IN_FLIGHT, Outcome, Pipelining, Request,
};
use broker::listener::{self, Shared};
use broker::metrics::ConnectionMetrics;
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A listener on a free port.
struct Served {
    address: SocketAddr,
    metrics: Arc<ConnectionMetrics>,
    tasks: TaskTracker,
    drain: CancellationToken,
}

async fn serve_with(handler: Arc<Handler>, change: impl FnOnce(&mut Shared)) -> Served {
    let local = HostPort { host: "127.0.0.1".to_owned(), port: 0 };
    let socket = listener::bind(&local, 16).await.unwrap();
    let address = socket.local_addr().unwrap();
    let metrics = Arc::new(ConnectionMetrics::default());
    let (tasks, drain) = (TaskTracker::new(), CancellationToken::new());
    let mut shared = Shared {
        limits: Limits {
            max_request_bytes: 1 << 20,
            max_idle: Duration::from_secs(60),
            request_bytes: Arc::new(Semaphore::new(1 << 20)),
        },
        connections: Arc::new(Semaphore::new(16)),
        handler,
        metrics: Arc::clone(&metrics),
        tasks: tasks.clone(),
        drain: drain.clone(),
    };
    change(&mut shared);
    let one = Listener { name: "PLAINTEXT".to_owned(), bind: local.clone(), advertised: local };
    tasks.spawn(listener::run(socket, Arc::new(one), shared));
    Served { address, metrics, tasks, drain }
}

async fn serve(handler: Arc<Handler>) -> Served {
    serve_with(handler, |_| {}).await
}

fn frame(body: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

fn answer(body: &[u8]) -> Outcome {
    Outcome::Respond(vec![Bytes::from(frame(body))])
}

/// Answers each request with its own bytes.
fn echo() -> Arc<Handler> {
    Arc::new(|request: Request| {
        let outcome = answer(&request.frame);
        let answer = Box::pin(std::future::ready(outcome));
        Ok(Accepted { answer, pipelining: Pipelining::Open })
    })
}

async fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let length = within(stream.read_u32()).await.unwrap();
    let mut body = vec![0; usize::try_from(length).unwrap()];
    within(stream.read_exact(&mut body)).await.unwrap();
    body
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("in time")
}

/// Reads until the broker closes the connection.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    // A reset is as good as an end: the broker may close with bytes of ours unread.
    let _ = within(stream.read_to_end(&mut rest)).await;
    rest.is_empty()
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_requests_whatever_is_ready_first() {
    let late = Arc::new(Notify::new());
    let for_handler = Arc::clone(&late);
    let served = serve(Arc::new(move |request: Request| {
        let late = Arc::clone(&for_handler);
        let answer = Box::pin(async move {
            if &request.frame[..] == b"late" {
                late.notified().await;
            }
            answer(&request.frame)
        });
        Ok(Accepted { answer, pipelining: Pipelining::Open })
    }))
    .await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    let sent = [frame(b"first"), frame(b"late"), frame(b"third")].concat();
    client.write_all(&sent).await.unwrap();
    assert_eq!(read_frame(&mut client).await, b"first");
    late.notify_one();
    assert_eq!(read_frame(&mut client).await, b"late");
    assert_eq!(read_frame(&mut client).await, b"third");
}

#[tokio::test]
async fn a_barrier_holds_back_what_comes_behind_it() {
    let started = Arc::new(AtomicUsize::new(0));
    let release = Arc::new(Notify::new());
    let (count, gate) = (Arc::clone(&started), Arc::clone(&release));
    let served = serve(Arc::new(move |request: Request| {
        count.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&gate);
        let answer = Box::pin(async move {
            gate.notified().await;
            answer(&request.frame)
        });
        Ok(Accepted { answer, pipelining: Pipelining::Barrier })
    }))
    .await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(&[frame(b"a"), frame(b"b")].concat()).await.unwrap();
    release.notify_one();
    assert_eq!(read_frame(&mut client).await, b"a");
    // The second starts only now; its own permit lets it through.
    release.notify_one();
    assert_eq!(read_frame(&mut client).await, b"b");
    assert_eq!(started.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn no_more_requests_are_taken_than_may_be_in_flight() {
    let started = Arc::new(AtomicUsize::new(0));
    let release = Arc::new(Semaphore::new(0));
    let (count, gate) = (Arc::clone(&started), Arc::clone(&release));
    let full = Arc::new(Notify::new());
    let reached = Arc::clone(&full);
    let served = serve(Arc::new(move |request: Request| {
        if count.fetch_add(1, Ordering::SeqCst) + 1 == MAX_IN_FLIGHT {
            reached.notify_one();
        }
        let gate = Arc::clone(&gate);
        let answer = Box::pin(async move {
            let _permit = gate.acquire().await;
            answer(&request.frame)
        });
        Ok(Accepted { answer, pipelining: Pipelining::Open })
    }))
    .await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    let requests = MAX_IN_FLIGHT + 50;
    client.write_all(&frame(b"x").repeat(requests)).await.unwrap();
    within(full.notified()).await;
    assert_eq!(started.load(Ordering::SeqCst), MAX_IN_FLIGHT);
    release.add_permits(requests);
    for _ in 0..requests {
        assert_eq!(read_frame(&mut client).await, b"x");
    }
    assert_eq!(started.load(Ordering::SeqCst), requests);
}

#[tokio::test]
async fn frames_are_read_however_they_arrive() {
    let served = serve(echo()).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.set_nodelay(true).unwrap();
    let large = vec![7_u8; 300_000];
    let sent = [frame(b""), frame(b"small"), frame(&large), frame(b"end")].concat();
    let (mut reading, mut writing) = client.split();
    let writes = async {
        for piece in sent.chunks(4_099) {
            writing.write_all(piece).await.unwrap();
        }
    };
    let reads = async {
        let mut received = vec![0; sent.len()];
        reading.read_exact(&mut received).await.unwrap();
        received
    };
    let ((), received) = within(async { tokio::join!(writes, reads) }).await;
    assert_eq!(received, sent);
}

#[tokio::test]
async fn bytes_that_are_no_request_close_the_connection_and_the_broker_lives() {
    let served = serve(echo()).await;
    let bad: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff, 1, 2, 3],
        &[0xff, 0xff, 0xff, 0xff],
        &[0x80, 0, 0, 0],
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\n\r\n",
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc],
    ];
    for round in 0..50 {
        for bytes in bad {
            let mut client = TcpStream::connect(served.address).await.unwrap();
            client.write_all(bytes).await.unwrap();
            assert!(is_closed(&mut client).await, "round {round}: {bytes:?}");
        }
    }
    assert_eq!(served.metrics.faulty.get(), 300);
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(&frame(b"alive")).await.unwrap();
    assert_eq!(read_frame(&mut client).await, b"alive");
}

#[tokio::test]
async fn a_refused_request_closes_the_connection() {
    let served = serve(Arc::new(|_: Request| Err("no such API".to_owned()))).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(&frame(b"x")).await.unwrap();
    assert!(is_closed(&mut client).await);
}

#[tokio::test]
async fn a_request_without_an_answer_leaves_no_gap() {
    let served = serve(Arc::new(|request: Request| {
        let outcome =
            if &request.frame[..] == b"quiet" { Outcome::Nothing } else { answer(&request.frame) };
        let answer = Box::pin(std::future::ready(outcome));
        Ok(Accepted { answer, pipelining: Pipelining::Open })
    }))
    .await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(&[frame(b"quiet"), frame(b"loud")].concat()).await.unwrap();
    assert_eq!(read_frame(&mut client).await, b"loud");
}

#[tokio::test]
async fn large_frames_wait_for_their_share_of_the_memory() {
    let release = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&release);
    let handler: Arc<Handler> = Arc::new(move |request: Request| {
        let gate = Arc::clone(&gate);
        let answer = Box::pin(async move {
            let _permit = gate.acquire().await;
            answer(&request.frame[..4])
        });
        Ok(Accepted { answer, pipelining: Pipelining::Open })
    });
    let budget = Arc::new(Semaphore::new(250_000));
    let shared = Arc::clone(&budget);
    let served = serve_with(handler, |all| all.limits.request_bytes = shared).await;
    let mut first = TcpStream::connect(served.address).await.unwrap();
    let mut second = TcpStream::connect(served.address).await.unwrap();
    first.write_all(&frame(&[1; 200_000])).await.unwrap();
    // The first frame has its share once it is in flight.
    within(async {
        while budget.available_permits() > 50_000 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (mut reading, mut writing) = second.split();
    let body = frame(&[2; 200_000]);
    let write = writing.write_all(&body);
    let read = async {
        // Both are answered, one after the other: the second is read when the first gave its share back.
        release.add_permits(2);
        assert_eq!(read_frame(&mut first).await, [1; 4]);
        let mut answered = [0; 8];
        reading.read_exact(&mut answered).await.unwrap();
        answered
    };
    let (written, answered) = within(async { tokio::join!(write, read) }).await;
    written.unwrap();
    assert_eq!(answered, [0, 0, 0, 4, 2, 2, 2, 2]);
    assert_eq!(budget.available_permits(), 250_000);
}

#[tokio::test]
async fn a_silent_client_is_let_go() {
    let served = serve_with(echo(), |all| all.limits.max_idle = Duration::from_millis(200)).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    assert!(is_closed(&mut client).await);
}

#[tokio::test]
async fn a_stop_answers_what_is_in_flight_and_ends() {
    let release = Arc::new(Notify::new());
    let gate = Arc::clone(&release);
    let taken = Arc::new(Notify::new());
    let reached = Arc::clone(&taken);
    let served = serve(Arc::new(move |request: Request| {
        reached.notify_one();
        let gate = Arc::clone(&gate);
        let answer = Box::pin(async move {
            gate.notified().await;
            answer(&request.frame)
        });
        Ok(Accepted { answer, pipelining: Pipelining::Open })
    }))
    .await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(&frame(b"in flight")).await.unwrap();
    within(taken.notified()).await;
    served.drain.cancel();
    release.notify_one();
    assert_eq!(read_frame(&mut client).await, b"in flight");
    assert!(is_closed(&mut client).await);
    served.tasks.close();
    within(served.tasks.wait()).await;
}

#[test]
fn why_a_connection_ended_is_told_once() {
    let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
    for closed in [Closed::from(broken), Closed::from(FrameError::Http)] {
        let told = closed.to_string();
        let mut source = std::error::Error::source(&closed);
        while let Some(below) = source {
            assert!(!told.contains(&below.to_string()), "{told}: {below}");
            source = below.source();
        }
    }
}
