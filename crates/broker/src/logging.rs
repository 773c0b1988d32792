//! Log lines on standard error: `2026-11-24T06:30:00.123Z INFO [1] broker 2 fenced: reconnect refused reason=...`.
//!
//! Owns the form of a line, the filter and the rate limit of repeated lines. Never decides what is worth a line.

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use model::{BrokerId, Clock};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

/// Environment variable with a filter such as `debug` or `info,replication=trace`.
pub(crate) const FILTER_VARIABLE: &str = "STEADFAST_LOG";

/// What is shown without a filter: the libraries' own chatter is of no use to an operator. openraft calls an orderly stop an error;
/// what ends it is reported by the control plane.
const DEFAULT_FILTER: &str = "info,openraft=off,sled=warn,h2=warn,hyper=warn,tonic=warn";

/// Sends events to standard error, each line with the broker's id. Does nothing when a subscriber is already set (tests).
pub(crate) fn init(broker: BrokerId) {
    let filter =
        EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let lines = Lines { broker, clock: Clock::start() };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .event_format(lines)
        .try_init();
}

struct Lines {
    broker: BrokerId,
    clock: Clock,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let time = UtcTime(self.clock.wall().0);
        write!(writer, "{time} {:<5} [{}] ", metadata.level().as_str(), self.broker)?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        if let Some(scope) = context.event_scope() {
            for span in scope.from_root() {
                let extensions = span.extensions();
                if let Some(fields) = extensions.get::<FormattedFields<N>>()
                    && !fields.is_empty()
                {
                    write!(writer, " {fields}")?;
                }
            }
        }
        writeln!(writer)
    }
}

/// Milliseconds since 1970, shown as RFC 3339 in UTC.
struct UtcTime(i64);

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, of_day) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000));
        let (year, month, day) = civil(days);
        let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
        let (second, milli) = (of_day / 1_000 % 60, of_day % 1_000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
    }
}

/// Converts days since 1970-01-01 into a date of the Gregorian calendar. Years are counted from March, so that the leap day is the last.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// Lets one line through per interval and counts what it held back, so that a flood of bad clients cannot fill a disk with lines.
#[derive(Debug)]
pub(crate) struct LineLimit {
    interval: Duration,
    state: Mutex<(Option<Instant>, u64)>,
}

impl LineLimit {
    /// Makes a limit of one line per `interval`.
    #[must_use]
    pub(crate) const fn new(interval: Duration) -> Self {
        Self { interval, state: Mutex::new((None, 0)) }
    }

    /// Returns the number of lines held back since the last one when a line may be written now, else `None`.
    pub(crate) fn permit(&self) -> Option<u64> {
        let now = Instant::now();
        // A panic ends the process, so the lock is never poisoned.
        let mut state = self.state.lock().ok()?;
        if state.0.is_some_and(|last| now.duration_since(last) < self.interval) {
            state.1 += 1;
            return None;
        }
        state.0 = Some(now);
        Some(std::mem::take(&mut state.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_utc() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_795_502_999_999, "2026-11-24T06:49:59.999Z"),
        ] {
            assert_eq!(UtcTime(millis).to_string(), text);
        }
    }

    #[test]
    fn a_line_limit_counts_what_it_holds_back() {
        let limit = LineLimit::new(Duration::from_secs(3_600));
        assert_eq!(limit.permit(), Some(0));
        assert_eq!(limit.permit(), None);
        let limit = LineLimit::new(Duration::ZERO);
        assert_eq!((limit.permit(), limit.permit()), (Some(0), Some(0)));
    }
}
