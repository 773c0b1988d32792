//! Reads the format of Java's `.properties` files, in which Kafka's `server.properties` is written.
//!
//! Owns the syntax alone: comments, continuation lines, separators, escapes. Never judges a key or a value.

/// One `key=value` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Property {
    /// The key, unescaped and trimmed.
    pub(crate) key: String,
    /// The value, unescaped, without leading and trailing blanks.
    pub(crate) value: String,
    /// Number of the line on which the property begins; the first is 1.
    pub(crate) line: usize,
}

/// Reads a whole file. Every text is legal in this format: a line without a separator is a key with an empty value.
#[must_use]
pub(crate) fn parse(text: &str) -> Vec<Property> {
    let mut properties = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, first)) = lines.next() {
        let start = first.trim_start();
        if start.is_empty() || start.starts_with('#') || start.starts_with('!') {
            continue;
        }
        let mut logical = start.to_owned();
        while continues(&logical) {
            logical.pop();
            match lines.next() {
                Some((_, next)) => logical.push_str(next.trim_start()),
                None => break,
            }
        }
        let (key, value) = split(&logical);
        properties.push(Property { key: unescape(key), value: unescape(value), line: index + 1 });
    }
    properties
}

/// A line goes on when it ends in an odd number of backslashes.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// Splits at the first unescaped `=`, `:` or blank; blanks around the separator belong to neither side.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let separator = line.find(|character: char| {
        let ends = !escaped && matches!(character, '=' | ':' | ' ' | '\t');
        escaped = character == '\\' && !escaped;
        ends
    });
    let Some(position) = separator else { return (line, "") };
    let rest = line[position..].trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (&line[..position], value.trim())
}

fn unescape(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            result.push(character);
            continue;
        }
        match characters.next() {
            Some('t') => result.push('\t'),
            Some('n') => result.push('\n'),
            Some('r') => result.push('\r'),
            Some('u') => {
                let digits: String = characters.by_ref().take(4).collect();
                let decoded = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                result.push(decoded.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => result.push(other),
            None => {}
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        parse(text).into_iter().map(|property| (property.key, property.value)).collect()
    }

    #[test]
    fn separators_comments_and_continuations_are_javas() {
        let text = "# comment\n! other\n\nnode.id=1\nlisteners : PLAINTEXT://:9092\nlog.dirs /a,\\\n   /b\nempty\n  key\\=x = y=z \n";
        let expected = [
            ("node.id", "1"),
            ("listeners", "PLAINTEXT://:9092"),
            ("log.dirs", "/a,/b"),
            ("empty", ""),
            ("key=x", "y=z"),
        ];
        assert_eq!(pairs(text), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    #[test]
    fn escapes_are_read_and_a_broken_one_is_no_panic() {
        assert_eq!(pairs("a=\\u0041\\t\\\\"), [("a".to_owned(), "A\t\\".to_owned())]);
        assert_eq!(pairs("a=\\uzz"), [("a".to_owned(), "\u{fffd}".to_owned())]);
        assert_eq!(pairs("a=b\\"), [("a".to_owned(), "b".to_owned())]);
    }

    #[test]
    fn a_property_knows_its_line() {
        assert_eq!(parse("\n\na=1\nb=\\\n2\nc=3")[2].line, 6);
    }
}
