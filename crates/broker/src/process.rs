//! What a process owes the system it runs in: its limits, its signals, its duties as process 1, and a short end when it panics.
//!
//! Invariant: a panic ends the process after one line, as a kill would, so no lock is ever poisoned. The one exception is a panic inside
//! `guarded`, which runs pure decoding of what a client sent.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

use rustix::process::{Resource, Rlimit, WaitOptions, getpid, getrlimit, setrlimit, wait};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// A panic that [`guarded`] caught; it was already logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("decoding panicked")]
pub(crate) struct Panicked;

/// Keeps the kernel from backing the allocator's arenas with huge pages: a broker that touches a little in many places would hold two
/// megabytes for each (90 MiB instead of 30 when idle, measured). To be called before anything is allocated.
pub fn disable_huge_pages() {
    // A kernel without the call has no such pages, either.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Installs the hook that turns a panic into one line and the end of the process.
pub(crate) fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let line = describe(info);
        if GUARDED.get() {
            tracing::error!("request refused: {line}");
            return;
        }
        tracing::error!("stopping at once: {line}");
        std::process::abort();
    }));
}

fn describe(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    let place = info.location().map_or_else(String::new, |at| format!(" at {at}"));
    format!("panic{place}: {message}")
}

/// Runs a pure function over a client's bytes; a panic in it is caught and returned.
///
/// # Errors
/// [`Panicked`] when the function panicked.
pub(crate) fn guarded<T>(function: impl FnOnce() -> T) -> Result<T, Panicked> {
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(function));
    GUARDED.set(false);
    result.map_err(|_| Panicked)
}

/// Raises the limit on open files to the hard limit and returns what holds now.
#[must_use]
pub(crate) fn raise_open_files_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if setrlimit(Resource::Nofile, raised).is_err() {
            tracing::warn!("the limit on open files stays at {:?}", limit.current);
        }
    }
    // No limit at all is reported as none.
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Cancels `stop` at the first SIGTERM or SIGINT and ends the process at the second SIGINT.
///
/// # Errors
/// When the handlers cannot be installed.
pub(crate) async fn wait_for_stop_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = stop.cancelled() => return Ok(()),
    };
    tracing::info!("{name}: stopping");
    stop.cancel();
    interrupt.recv().await;
    tracing::warn!("second SIGINT: stopping at once");
    std::process::exit(130);
}

/// As process 1 of a container, collects the children of processes that died before them; otherwise returns at once.
///
/// # Errors
/// When the handler of SIGCHLD cannot be installed.
pub(crate) async fn reap_orphans(stop: CancellationToken) -> std::io::Result<()> {
    if getpid().as_raw_nonzero().get() != 1 {
        return Ok(());
    }
    let mut child = signal(SignalKind::child())?;
    loop {
        tokio::select! {
            _ = child.recv() => while matches!(wait(WaitOptions::NOHANG), Ok(Some(_))) {},
            () = stop.cancelled() => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_while_decoding_is_caught() {
        assert_eq!(guarded(|| 7), Ok(7));
        let empty: &[u8] = &[];
        assert_eq!(guarded(|| empty[std::hint::black_box(3)]), Err(Panicked));
        assert_eq!(guarded(|| 8), Ok(8));
    }
}
