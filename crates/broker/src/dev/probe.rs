//! Asks a broker's HTTP port how it is.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::http::Health;

/// A broker on this machine answers within this time or is taken as not there.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Largest answer that is read.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// Asks `/health/ready` of the broker whose HTTP port this is.
///
/// # Errors
/// One line that says why there is no answer.
pub(super) async fn health(port: u16) -> Result<Health, String> {
    match tokio::time::timeout(TIMEOUT, ask(port)).await {
        Ok(Ok(answer)) => parse(&answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

async fn ask(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let request = "GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer).await?;
    Ok(answer)
}

fn parse(answer: &str) -> Result<Health, String> {
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    serde_json::from_str(body).map_err(|error| format!("unexpected answer: {error}"))
}
