//! The live view: a few lines that are redrawn in place, or one line every few seconds where the output is no terminal.
//!
//! It never fails a run: that a line cannot be written is the caller's to ignore.

use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

use super::super::format::{clock, count, milliseconds, one_line};

/// Between two lines where nothing can be redrawn.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
const DEFAULT_WIDTH: usize = 80;
const BAR_WIDTH: usize = 24;
const SPARKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The run as it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct LiveState {
    pub(crate) elapsed: Duration,
    pub(crate) duration: Duration,
    pub(crate) acknowledged: u64,
    pub(crate) failed: u64,
    pub(crate) unknown: u64,
    pub(crate) polled: u64,
    /// Acknowledged in each second so far, the latest last; what is older than the screen is wide need not be kept.
    pub(crate) rates: Vec<u64>,
    /// The faults that last, as they should be shown.
    pub(crate) faults: Vec<String>,
    /// Each node with what is known of it, such as `leader` or `down`.
    pub(crate) nodes: Vec<(u32, String)>,
    pub(crate) longest_gap_ms: f64,
}

/// How the output can be drawn on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Screen {
    /// Lines are redrawn in place.
    Terminal { width: usize },
    /// Lines can only be added.
    Plain,
}

/// Draws states.
#[derive(Debug)]
pub(crate) struct Live<W> {
    out: W,
    screen: Screen,
    /// Lines of the last drawing that stand above the cursor.
    drawn: usize,
    next_plain: Duration,
}

impl Live<io::Stdout> {
    /// On the standard output.
    pub(crate) fn stdout() -> Self {
        Self::new(io::stdout(), screen())
    }
}

impl<W: Write> Live<W> {
    fn new(out: W, screen: Screen) -> Self {
        Self { out, screen, drawn: 0, next_plain: Duration::ZERO }
    }

    /// Draws a state in the place of the one before.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(crate) fn draw(&mut self, state: &LiveState) -> io::Result<()> {
        match self.screen {
            Screen::Terminal { width } => {
                self.rewind()?;
                // A line as wide as the screen would wrap in some terminals.
                let lines = lines(state, width.saturating_sub(1));
                for line in &lines {
                    writeln!(self.out, "\x1b[2K{line}")?;
                }
                self.drawn = lines.len();
            }
            Screen::Plain if state.elapsed < self.next_plain => return Ok(()),
            Screen::Plain => {
                self.next_plain = state.elapsed + PLAIN_EVERY;
                writeln!(self.out, "{}", plain_line(state))?;
            }
        }
        self.out.flush()
    }

    /// Writes a line that stays, above the view: it is drawn anew with the next state.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(crate) fn note(&mut self, line: &str) -> io::Result<()> {
        self.clear()?;
        writeln!(self.out, "{}", one_line(line))?;
        self.out.flush()
    }

    /// Takes the view away, so that the summary can stand in its place.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        if self.drawn > 0 {
            self.rewind()?;
            write!(self.out, "\x1b[J")?;
            self.drawn = 0;
        }
        self.out.flush()
    }

    fn rewind(&mut self) -> io::Result<()> {
        match self.drawn {
            0 => Ok(()),
            drawn => write!(self.out, "\x1b[{drawn}A\r"),
        }
    }
}

fn screen() -> Screen {
    let stdout = io::stdout();
    if !stdout.is_terminal() || std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return Screen::Plain;
    }
    let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| size.ws_col);
    let width = if columns == 0 { DEFAULT_WIDTH } else { usize::from(columns) };
    Screen::Terminal { width }
}

fn lines(state: &LiveState, width: usize) -> Vec<String> {
    let share = state.elapsed.as_secs_f64() / state.duration.as_secs_f64().max(0.001);
    let times = format!("{} of {}", elapsed(state), clock(state.duration.as_secs_f64()));
    let room = BAR_WIDTH.min(width.saturating_sub(times.len() + 3));
    let faults = match state.faults.as_slice() {
        [] => "no fault".to_owned(),
        faults => format!("fault: {}", faults.join(", ")),
    };
    let label = format!("  {}/s", count(state.rates.last().copied().unwrap_or(0)));
    let nodes: Vec<_> = state.nodes.iter().map(|(node, what)| format!("{node} {what}")).collect();
    let all = [
        format!("{}  {times}  {faults}", bar(share, room)),
        format!("{}{label}", sparkline(&state.rates, width.saturating_sub(label.len()))),
        tallies(state),
        format!("nodes: {}", nodes.join("   ")),
    ];
    all.iter().map(|line| one_line(line).chars().take(width).collect()).collect()
}

fn plain_line(state: &LiveState) -> String {
    let rate = state.rates.last().copied().unwrap_or(0);
    let mut line = format!("{}  {}, {}/s now", elapsed(state), tallies(state), count(rate));
    if !state.faults.is_empty() {
        line += &format!("; fault: {}", state.faults.join(", "));
    }
    one_line(&line)
}

fn elapsed(state: &LiveState) -> String {
    clock(state.elapsed.as_secs_f64())
}

fn tallies(state: &LiveState) -> String {
    format!(
        "{} acknowledged, {} failed, {} unknown, {} polled, longest gap {}",
        count(state.acknowledged),
        count(state.failed),
        count(state.unknown),
        count(state.polled),
        milliseconds(state.longest_gap_ms)
    )
}

fn bar(share: f64, width: usize) -> String {
    let full = (1..=width).filter(|step| *step as f64 <= share * width as f64 + 0.5).count();
    "█".repeat(full) + &"░".repeat(width - full)
}

/// The latest rates that have room, the highest of them as the full height.
fn sparkline(rates: &[u64], width: usize) -> String {
    let rates = &rates[rates.len().saturating_sub(width)..];
    let most = rates.iter().copied().max().unwrap_or(0).max(1);
    let spark = |rate: &u64| match rate {
        0 => ' ',
        rate => {
            let level = rate.saturating_mul(8).div_ceil(most).clamp(1, 8) - 1;
            SPARKS[usize::try_from(level).unwrap_or(7)]
        }
    };
    rates.iter().map(spark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> LiveState {
        LiveState {
            elapsed: Duration::from_secs(30),
            duration: Duration::from_secs(60),
            acknowledged: 123_456,
            failed: 12,
            unknown: 3,
            polled: 120_000,
            rates: vec![0, 500, 1000, 4000],
            faults: vec!["kill leader (node\x1b[2J 2)".to_owned()],
            nodes: vec![(1, "leader".to_owned()), (2, "down".to_owned())],
            longest_gap_ms: 1234.0,
        }
    }

    fn drawn(screen: Screen, states: &[LiveState]) -> String {
        let mut live = Live::new(Vec::new(), screen);
        for state in states {
            live.draw(state).unwrap();
        }
        String::from_utf8(live.out).unwrap()
    }

    #[test]
    fn a_terminal_gets_the_lines_redrawn_in_place_and_none_is_wider_than_it() {
        let text = drawn(Screen::Terminal { width: 60 }, &[state(), state()]);
        assert_eq!(text.matches("\x1b[4A\r").count(), 1, "{text:?}");
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 8);
        assert_eq!(lines[0], "\x1b[2K████████████░░░░░░░░░░░░  0:30 of 1:00  fault: kill leader ");
        assert_eq!(lines[1], "\x1b[2K ▁▂█  4,000/s");
        let mut texts = lines.iter().map(|line| line.rsplit("\x1b[2K").next().unwrap());
        assert!(texts.all(|text| text.chars().count() < 60), "{text:?}");
    }

    #[test]
    fn what_a_fault_is_called_cannot_steer_the_terminal() {
        let text = drawn(Screen::Terminal { width: 200 }, &[state()]);
        assert!(text.contains("node [2J 2"), "{text:?}");
    }

    #[test]
    fn a_file_gets_one_line_every_five_seconds() {
        let at = |seconds| LiveState { elapsed: Duration::from_secs(seconds), ..state() };
        let text = drawn(Screen::Plain, &[at(0), at(1), at(4), at(5), at(9), at(10)]);
        let times: Vec<_> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(times, ["0:00", "0:05", "0:10"]);
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn a_note_stays_above_the_view() {
        let mut live = Live::new(Vec::new(), Screen::Terminal { width: 80 });
        live.draw(&state()).unwrap();
        live.note("kill leader: node 2").unwrap();
        live.draw(&state()).unwrap();
        let text = String::from_utf8(live.out).unwrap();
        assert!(text.contains("\x1b[4A\r\x1b[Jkill leader: node 2\n\x1b[2K█"), "{text:?}");
    }
}
