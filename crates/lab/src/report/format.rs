//! How numbers, times and foreign text are written, the same in every report.

/// `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `2 records`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", count(number))
}

/// A duration in three digits or so: `0.42 ms`, `87 ms`, `1.42 s`, `12.3 s`, `2 min 5 s`.
pub(super) fn milliseconds(value: f64) -> String {
    match value {
        0.0 => "0 ms".to_owned(),
        v if v < 9.995 => format!("{v:.2} ms"),
        v if v < 99.95 => format!("{v:.1} ms"),
        v if v < 999.5 => format!("{v:.0} ms"),
        v if v < 9_995.0 => format!("{:.2} s", v / 1000.0),
        v if v < 119_950.0 => format!("{:.1} s", v / 1000.0),
        v => {
            let seconds = (v / 1000.0).round();
            let minutes = (seconds / 60.0).floor();
            format!("{minutes:.0} min {:.0} s", seconds - minutes * 60.0)
        }
    }
}

/// A time of the run: `0:07`, `12:30`, `1:02:03`.
pub(super) fn clock(seconds: f64) -> String {
    let whole = seconds.max(0.0).floor();
    let hours = (whole / 3600.0).floor();
    let minutes = ((whole - hours * 3600.0) / 60.0).floor();
    let rest = whole - hours * 3600.0 - minutes * 60.0;
    if hours > 0.0 {
        format!("{hours:.0}:{minutes:02.0}:{rest:02.0}")
    } else {
        format!("{minutes:.0}:{rest:02.0}")
    }
}

/// A share as percent, never rounded up to 100 nor down to 0.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        v if v >= 100.0 => "100 %".to_owned(),
        v if v > 99.9 => format!("{:.3} %", v.min(99.999)),
        v if v >= 10.0 => format!("{v:.1} %"),
        v if v >= 0.01 => format!("{v:.2} %"),
        v if v > 0.0 => "< 0.01 %".to_owned(),
        _ => "0 %".to_owned(),
    }
}

/// `1, 2`.
pub(super) fn nodes(nodes: &[u32]) -> String {
    nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

/// Foreign text inside HTML, also inside an attribute in quotes.
pub(super) fn escape_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Foreign text inside a line or a table cell of Markdown.
pub(super) fn escape_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '<' | '>' | '#' => {
                escaped.push('\\');
                escaped.push(character);
            }
            '\n' | '\r' => escaped.push(' '),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Foreign text on one line of a terminal: control characters cannot move its cursor.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}
