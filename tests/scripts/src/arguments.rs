//! The words of a command: `command subject key=value word`.

use std::str::FromStr;
use std::time::Duration;

/// One line of a script, taken apart. What is asked for and is not there, or does not parse, is a mistake of the script: a panic names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments<'a> {
    /// The first word.
    pub command: &'a str,
    /// The first word behind it without a `=`.
    pub subject: Option<&'a str>,
    /// All others, a word alone with nothing as its value.
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Arguments<'a> {
    /// Takes a line apart.
    ///
    /// # Panics
    /// When the line is empty.
    #[must_use]
    pub fn parse(line: &'a str) -> Self {
        let mut words = line.split_whitespace();
        let command = words.next().expect("a command is not empty");
        let mut parsed = Self { command, subject: None, pairs: Vec::new() };
        for word in words {
            match word.split_once('=') {
                Some(pair) => parsed.pairs.push(pair),
                None if parsed.subject.is_none() => parsed.subject = Some(word),
                None => parsed.pairs.push((word, "")),
            }
        }
        parsed
    }

    /// Says whether a key, or a word behind the subject, is there.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.text(key).is_some()
    }

    /// Returns the value of a key as it stands there.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.pairs.iter().find(|pair| pair.0 == key).map(|pair| pair.1)
    }

    /// Returns the value of a key, if it is there.
    ///
    /// # Panics
    /// When it does not parse.
    #[must_use]
    pub fn get<T: FromStr>(&self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        Some(text.parse().unwrap_or_else(|_| panic!("{key}={text} does not parse")))
    }

    /// Returns the value of a key that must be there.
    ///
    /// # Panics
    /// When it is not there or does not parse.
    #[must_use]
    pub fn need<T: FromStr>(&self, key: &str) -> T {
        self.get(key).unwrap_or_else(|| panic!("{} needs {key}=", self.command))
    }

    /// Returns the subject.
    ///
    /// # Panics
    /// When there is none or it does not parse.
    #[must_use]
    pub fn subject<T: FromStr>(&self) -> T {
        let text = self.subject.unwrap_or_else(|| panic!("{} needs a subject", self.command));
        text.parse().unwrap_or_else(|_| panic!("{text} does not parse"))
    }

    /// Returns the items of a key, which commas divide; none when it is not there.
    ///
    /// # Panics
    /// When one does not parse.
    #[must_use]
    pub fn list<T: FromStr>(&self, key: &str) -> Vec<T> {
        let parse =
            |item: &str| item.parse().unwrap_or_else(|_| panic!("{item} in {key}= does not parse"));
        self.words(key).into_iter().map(parse).collect()
    }

    /// Returns the items of a key as they stand there.
    #[must_use]
    pub fn words(&self, key: &str) -> Vec<&'a str> {
        let text = self.text(key).unwrap_or_default();
        text.split(',').filter(|item| !item.is_empty()).collect()
    }

    /// Returns all keys that begin with a prefix, without it, and their values, in the order of the line.
    pub fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.pairs.iter().filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, *value)))
    }
}

/// A length of time as scripts write it, in milliseconds, seconds, minutes, hours or days: `250ms`, `5s`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
        let found = units.into_iter().find_map(|(unit, millis)| {
            let number = text.strip_suffix(unit)?.parse::<u64>().ok()?;
            Some(Duration::from_millis(number * millis))
        });
        found.map(Self).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command_a_subject_keys_and_words() {
        let arguments = Arguments::parse("register 2 epoch=7 fenced isr=1,2,3 config.a=b");
        assert_eq!((arguments.command, arguments.subject::<i32>()), ("register", 2));
        assert_eq!(arguments.get::<i32>("epoch"), Some(7));
        assert_eq!(arguments.get::<i32>("absent"), None);
        assert!(arguments.has("fenced") && !arguments.has("2"));
        assert_eq!(arguments.list::<i32>("isr"), [1, 2, 3]);
        assert_eq!(arguments.with_prefix("config.").collect::<Vec<_>>(), [("a", "b")]);
    }

    #[test]
    #[should_panic(expected = "epoch=x does not parse")]
    fn a_value_that_does_not_parse_is_named() {
        let _epoch: Option<i32> = Arguments::parse("register epoch=x").get("epoch");
    }

    #[test]
    #[should_panic(expected = "register needs epoch=")]
    fn a_key_that_is_missing_is_named() {
        let _epoch: i32 = Arguments::parse("register").need("epoch");
    }

    #[test]
    fn a_span_has_its_unit() {
        assert_eq!("250ms".parse(), Ok(Span(Duration::from_millis(250))));
        assert_eq!("2m".parse(), Ok(Span(Duration::from_secs(120))));
        assert_eq!("5".parse::<Span>(), Err(()));
    }
}
