//! Names of keys: as environment variables, as Kafka knows them, and the nearest one to a name that nobody knows.

use model::config::ConfigScope;

use super::{all_keys, kafka_names};

/// Returns the environment variable that sets a key: `STEADFAST_NODE_ID` for `node.id`.
#[must_use]
pub(crate) fn variable_of_key(name: &str) -> String {
    let mut variable = ENVIRONMENT_PREFIX.to_owned();
    variable.extend(
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }),
    );
    variable
}

pub(super) fn key_of_variable(variable: &str) -> Option<&'static str> {
    all_keys()
        .flat_map(|key| {
            let own = (key.scope != ConfigScope::Topic).then_some(key.name);
            own.into_iter().chain(key.synonyms.iter().copied())
        })
        .find(|name| variable_of_key(name) == variable)
}

/// Keys with a prefix of Kafka's are open-ended there: per listener, per mechanism, per plug-in.
pub(super) fn is_kafkas(name: &str) -> bool {
    const PREFIXES: &[&str] =
        &["listener.name.", "sasl.", "ssl.", "zookeeper.", "confluent.", "rlmm.", "rsm."];
    kafka_names::KAFKA_NAMES.contains(&name)
        || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

pub(super) fn nearest(name: &str) -> String {
    all_keys()
        .flat_map(|key| std::iter::once(key.name).chain(key.synonyms.iter().copied()))
        .chain(kafka_names::KAFKA_NAMES.iter().copied())
        .min_by_key(|candidate| edit_distance(name, candidate))
        .unwrap_or("node.id")
        .to_owned()
}

/// Levenshtein's distance, in characters.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[right.len()]
}

/// Prefix of the environment variables that set keys: `STEADFAST_NODE_ID` sets `node.id`.
pub(super) const ENVIRONMENT_PREFIX: &str = "STEADFAST_";

/// Variables with the prefix that are no keys of a server: the client commands' bootstrap list, the log filter and, where it is known, the deliberate bug.
pub(super) const OTHER_VARIABLES: &[&str] = &[
    "STEADFAST_BOOTSTRAP_SERVERS",
    "STEADFAST_LOG",
    #[cfg(feature = "mutations")]
    crate::mutation::MUTATION_VARIABLE,
];
