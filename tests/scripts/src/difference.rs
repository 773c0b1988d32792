//! Shows where two texts part.

/// Lines of agreement that are shown before the first that differs.
const LINES_BEFORE: usize = 3;

/// Returns the lines that differ, `-` what is expected and `+` what is there, with a few before them.
pub(crate) fn difference(expected: &str, actual: &str) -> String {
    let (expected, actual): (Vec<_>, Vec<_>) =
        (expected.lines().collect(), actual.lines().collect());
    let same = expected.iter().zip(&actual).take_while(|(left, right)| left == right).count();
    let tail = expected[same..]
        .iter()
        .rev()
        .zip(actual[same..].iter().rev())
        .take_while(|(left, right)| left == right)
        .count();
    let mut text = String::new();
    for line in &expected[same.saturating_sub(LINES_BEFORE)..same] {
        text += &format!("    {line}\n");
    }
    for line in &expected[same..expected.len() - tail] {
        text += &format!("  - {line}\n");
    }
    for line in &actual[same..actual.len() - tail] {
        text += &format!("  + {line}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_the_lines_that_differ_and_what_stands_before_them() {
        assert_eq!(difference("a\nb\nc\n", "a\nx\nc\n"), "    a\n  - b\n  + x\n");
    }

    #[test]
    fn lines_at_the_end_that_are_missing_or_too_many_are_shown() {
        assert_eq!(difference("a\nb\n", "a\n"), "    a\n  - b\n");
        assert_eq!(difference("a\n", "a\nb\nb\n"), "    a\n  + b\n  + b\n");
    }
}
