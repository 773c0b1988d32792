//! The HTTP port: `/metrics`, `/health/live`, `/health/ready`, and a page that says where things are.
//!
//! Owns routing alone. It reads shared state and never changes any; it is served from the start, so that a broker that waits can say so.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::logging::LineLimit;

/// Connections to the HTTP port at once.
const MAX_CONNECTIONS: usize = 64;

/// How long a client may take to send its request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

const METRICS: &str = "/metrics";

/// What the port shows. The server implements it: it knows this port, and this port not the server.
pub(crate) trait Status: Send + Sync {
    /// Renders the metrics page. May take a while.
    fn metrics(&self) -> String;

    /// Says in one JSON object whether this broker serves, and on what it waits when it does not.
    fn health(&self) -> Health;
}

/// A broker's health.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Health {
    /// Whether clients are served: registered, unfenced in this broker's own image, listeners open.
    pub(crate) ready: bool,
    /// This broker's id.
    pub(crate) broker_id: i32,
    /// The cluster's id, once known.
    pub(crate) cluster_id: Option<String>,
    /// The active controller, once known.
    pub(crate) controller_id: Option<i32>,
    /// Unfenced brokers in this broker's image.
    pub(crate) live_brokers: Vec<i32>,
    /// What a start or a stop waits for; empty when it waits for nothing.
    pub(crate) waiting_for: String,
}

/// Serves the port until `stop` is cancelled.
pub(crate) async fn run(
    listener: TcpListener,
    status: Arc<dyn Status>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    static FAILED: LineLimit = LineLimit::new(Duration::from_secs(10));
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of files or memory: the next try would fail, too, and must not spin.
                if let Some(held_back) = FAILED.permit() {
                    tracing::warn!(held_back, "cannot accept an HTTP connection: {error}");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // Above the bound a connection is closed at once: a scraper tries again.
        let Ok(permit) = Arc::clone(&connections).try_acquire_owned() else { continue };
        let (status, stop) = (Arc::clone(&status), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = serve(stream, status) => {}
                () = stop.cancelled() => {}
            }
            drop(permit);
        });
    }
}

async fn serve(stream: TcpStream, status: Arc<dyn Status>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let status = Arc::clone(&status);
        async move {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            if path != METRICS {
                return Ok::<_, Infallible>(answer(&method, &path, &*status));
            }
            // On a thread of its own: a page that sums over many offsets must not hold clients' requests up.
            let answered = tokio::task::spawn_blocking(move || answer(&method, &path, &*status));
            let failed = |_| page(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", String::new());
            Ok(answered.await.unwrap_or_else(failed))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!("HTTP connection ended: {error}");
    }
}

fn answer(method: &Method, path: &str, status: &dyn Status) -> Response<Full<Bytes>> {
    const JSON: &str = "application/json";
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    if !matches!(*method, Method::GET | Method::HEAD) {
        return page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "GET or HEAD\n".to_owned());
    }
    match path {
        METRICS => page(StatusCode::OK, OPEN_METRICS, status.metrics()),
        "/health/live" => page(StatusCode::OK, JSON, "{\"live\":true}\n".to_owned()),
        "/health/ready" => {
            let health = status.health();
            let code = if health.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            let mut body = serde_json::to_string(&health).unwrap_or_default();
            body.push('\n');
            page(code, JSON, body)
        }
        "/" => page(StatusCode::OK, "text/html; charset=utf-8", front_page(&status.health())),
        _ => page(StatusCode::NOT_FOUND, "text/plain", "not found\n".to_owned()),
    }
}

fn front_page(health: &Health) -> String {
    let live: Vec<String> = health.live_brokers.iter().map(i32::to_string).collect();
    let unknown = "not known yet".to_owned();
    format!(
        "<!doctype html><html lang=\"en\"><title>Steadfast broker {id}</title>\
         <h1>Steadfast broker {id}</h1><dl><dt>ready</dt><dd>{ready}</dd>\
         <dt>cluster</dt><dd>{cluster}</dd><dt>active controller</dt><dd>{controller}</dd>\
         <dt>live brokers</dt><dd>{live}</dd></dl>\
         <p><a href=\"/metrics\">metrics</a> <a href=\"/health/ready\">readiness</a> \
         <a href=\"/health/live\">liveness</a></p></html>\n",
        id = health.broker_id,
        ready = if health.ready { "yes" } else { "no" },
        cluster = health.cluster_id.as_ref().unwrap_or(&unknown),
        controller = health.controller_id.map_or_else(|| unknown.clone(), |id| id.to_string()),
        live = live.join(", "),
    )
}

fn page(code: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
