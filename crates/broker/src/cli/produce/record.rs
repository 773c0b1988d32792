//! One record of the input: a line with or without a key, or a JSON object.

use std::borrow::Cow;

use serde_json::Value;

use super::Arguments;
use crate::cli::base64::from_base64;

/// What the input says about one record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) key: Option<Cow<'a, [u8]>>,
    pub(super) value: Option<Cow<'a, [u8]>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(super) partition: Option<i32>,
    pub(super) timestamp: Option<i64>,
}

impl<'a> Line<'a> {
    /// Takes a line as it is, split at the separator if there is one.
    pub(super) fn of_text(line: &'a [u8], arguments: &Arguments) -> Self {
        let separator = arguments.key_separator.as_deref().unwrap_or_default().as_bytes();
        let split = (!separator.is_empty())
            .then(|| line.windows(separator.len()).position(|window| window == separator))
            .flatten();
        let (key, value) = match split {
            Some(at) => (Some(&line[..at]), &line[at + separator.len()..]),
            None => (None, line),
        };
        let is_null = arguments.empty_as_null && value.is_empty();
        Self {
            key: key.map(Cow::Borrowed),
            value: (!is_null).then_some(Cow::Borrowed(value)),
            ..Self::default()
        }
    }

    /// Reads an object with `key`, `value`, `headers`, `partition` and `timestamp`, each of which may be missing; `key_base64` and `value_base64` stand for
    /// what is no text. Other fields, the offset above all, are ignored.
    pub(super) fn of_json(line: &[u8]) -> Result<Self, String> {
        let object: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let object = object.as_object().ok_or("not a JSON object")?;
        let field = |name: &str| -> Result<Option<Vec<u8>>, String> {
            match (object.get(name), object.get(&format!("{name}_base64"))) {
                (Some(Value::String(text)), _) => Ok(Some(text.clone().into_bytes())),
                (None | Some(Value::Null), Some(Value::String(text))) => {
                    let decoded = from_base64(text);
                    decoded.map(Some).ok_or_else(|| format!("{name}_base64 is no base64"))
                }
                (None | Some(Value::Null), None | Some(Value::Null)) => Ok(None),
                // Whoever writes {"value": {...}} means that object.
                (Some(other), _) => Ok(Some(other.to_string().into_bytes())),
                (_, Some(_)) => Err(format!("{name}_base64 is no text")),
            }
        };
        let integer = |name: &str| match object.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| format!("{name} is no integer")),
        };
        let partition = integer("partition")?
            .map(|partition| i32::try_from(partition).map_err(|_| "partition is out of range"))
            .transpose()?;
        let mut headers = Vec::new();
        if let Some(Value::Object(named)) = object.get("headers") {
            for (key, value) in named {
                let value = match value {
                    Value::Null => None,
                    Value::String(text) => Some(text.clone().into_bytes()),
                    other => Some(other.to_string().into_bytes()),
                };
                headers.push((key.clone(), value));
            }
        }
        Ok(Self {
            key: field("key")?.map(Cow::Owned),
            value: field("value")?.map(Cow::Owned),
            headers,
            partition,
            timestamp: integer("timestamp")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(flags: &[&str]) -> Arguments {
        let words = ["produce", "topic"].iter().chain(flags);
        CommandLine::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).arguments
    }

    fn text(bytes: Option<&Cow<'_, [u8]>>) -> Option<String> {
        bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    #[test]
    fn a_line_is_split_at_the_first_separator() {
        let table = [
            (&["-K", ":"][..], "k:v:w", Some("k"), Some("v:w")),
            (&["-K", ":"], "no separator", None, Some("no separator")),
            (&["-K", "=>"], "k=>", Some("k"), Some("")),
            (&["-K", ":", "-Z"], "k:", Some("k"), None),
            (&[], "k:v", None, Some("k:v")),
        ];
        for (flags, line, key, value) in table {
            let arguments = arguments(flags);
            let parsed = Line::of_text(line.as_bytes(), &arguments);
            assert_eq!(text(parsed.key.as_ref()).as_deref(), key, "{line}");
            assert_eq!(text(parsed.value.as_ref()).as_deref(), value, "{line}");
        }
    }

    #[test]
    fn a_json_line_may_hold_all_that_a_record_has() {
        let line = br#"{"key":"k","value_base64":"AP8=","headers":{"h":"x","n":null},"partition":2,"timestamp":5,"offset":9}"#;
        let parsed = Line::of_json(line).unwrap();
        assert_eq!(parsed.key.as_deref(), Some(&b"k"[..]));
        assert_eq!(parsed.value.as_deref(), Some(&[0, 255][..]));
        let headers = [("h".to_owned(), Some(b"x".to_vec())), ("n".to_owned(), None)];
        assert_eq!(parsed.headers, headers);
        assert_eq!((parsed.partition, parsed.timestamp), (Some(2), Some(5)));
        assert_eq!(Line::of_json(b"{}").unwrap(), Line::default());
        let nested = Line::of_json(br#"{"value":{"a":1}}"#).unwrap();
        assert_eq!(nested.value.as_deref(), Some(&br#"{"a":1}"#[..]));
    }

    #[test]
    fn json_lines_that_make_no_sense_are_refused() {
        for line in ["", "[]", "{", r#"{"partition":"x"}"#, r#"{"value_base64":"?"}"#] {
            assert!(Line::of_json(line.as_bytes()).is_err(), "{line}");
        }
    }
}
