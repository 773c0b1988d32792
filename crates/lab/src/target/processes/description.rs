//! The target file: how nodes of a broker are configured, started and asked, so that the lab can judge any.
//!
//! Owns the format (docs/lab-target-file.md), the placeholders and the built-in files. Pure: it starts nothing.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::target::TargetError;

/// A target file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Description {
    /// What the broker is called in reports.
    pub(crate) name: String,
    /// A command whose first line of output says the version.
    #[serde(default)]
    pub(super) version: Vec<String>,
    /// Every node's port for clients, on an address of its own.
    pub(crate) client_port: u16,
    /// Runs once on every empty data directory.
    #[serde(default)]
    pub(super) format: Vec<String>,
    /// The node: a program and its arguments; it stays in the foreground.
    pub(super) start: Vec<String>,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    /// Must succeed for every node before the cluster counts as started; that its client port accepts is asked always.
    #[serde(default)]
    pub(super) ready: Vec<String>,
    /// What the user can or must say.
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, Variable>,
    #[serde(default)]
    pub(super) voters: Voters,
    #[serde(default)]
    pub(super) files: Vec<Template>,
    #[serde(default)]
    pub(super) controller: Option<ControllerRule>,
}

/// A value from the command line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variable {
    /// What it is, for whoever forgot it.
    pub(crate) help: String,
    /// Without a default it must be given.
    pub(crate) default: Option<String>,
}

/// Who votes in the metadata quorum: the first nodes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Voters {
    /// At most so many; a cluster of one or two has one.
    pub(super) most: u32,
    /// How one is written; `{voters}` joins them by commas.
    pub(super) address: String,
}

impl Default for Voters {
    fn default() -> Self {
        Self { most: 3, address: "{node}@{host}".to_owned() }
    }
}

/// A configuration file in each node's directory.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Template {
    /// Its name in `{dir}`.
    pub(super) path: String,
    #[serde(default)]
    pub(super) nodes: Recipients,
    pub(super) text: String,
}

/// Which nodes get a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Recipients {
    #[default]
    All,
    Voters,
    Others,
}

/// How to know who leads the metadata quorum.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(super) enum ControllerRule {
    /// A JSON file on every node names the leader at one JSON pointer, and the epoch of that knowledge at another: the newest counts.
    File { file: String, leader: String, epoch: String },
    /// The node whose page has this line leads.
    Http { http: String, line: String },
}

impl Description {
    /// One that comes with the lab: `steadfast` or `kafka`.
    pub(crate) fn built_in(name: &str) -> Option<Result<Self, TargetError>> {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        Some(Self::parse(name, text))
    }

    /// Reads a target file; `name` is for the error.
    pub(crate) fn parse(name: &str, text: &str) -> Result<Self, TargetError> {
        let wrong = |reason: String| TargetError::new(format!("target file {name}"), reason);
        let description: Self = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if description.start.is_empty() {
            return Err(wrong("`start` names no program".to_owned()));
        }
        if description.voters.most == 0 {
            return Err(wrong("`voters.most` is 0; somebody must vote".to_owned()));
        }
        for template in &description.files {
            let is_plain = !template.path.contains('/') && !template.path.starts_with('.');
            if !is_plain || template.path.is_empty() {
                return Err(wrong(format!("file `{}` is no plain file name", template.path)));
            }
        }
        Ok(description)
    }

    /// The user's values and the defaults of those not given.
    pub(super) fn settle(
        &self,
        given: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, TargetError> {
        let wrong = |reason: String| TargetError::new(format!("target {}", self.name), reason);
        if let Some(unknown) = given.keys().find(|name| !self.variables.contains_key(*name)) {
            let known: Vec<&str> = self.variables.keys().map(String::as_str).collect();
            return Err(wrong(format!("no variable `{unknown}`; it has {}", known.join(", "))));
        }
        let mut settled = BTreeMap::new();
        for (name, variable) in &self.variables {
            let Some(value) = given.get(name).or(variable.default.as_ref()) else {
                let help = &variable.help;
                return Err(wrong(format!("`{name}` is missing ({help}): give --set {name}=...")));
            };
            settled.insert(name.clone(), value.clone());
        }
        Ok(settled)
    }

    /// How many of so many nodes vote.
    pub(super) fn voter_count(&self, nodes: u32) -> u32 {
        // Two voters would survive no failure.
        if nodes < 3 { 1 } else { nodes.min(self.voters.most) }
    }
}

/// Puts values in for `{name}`; other braces stay as they are.
pub(super) fn fill_in(
    text: &str,
    values: &BTreeMap<String, String>,
) -> Result<String, TargetError> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        filled.push_str(&rest[..open]);
        rest = &rest[open..];
        let length = rest[1..]
            .find(|letter: char| !letter.is_ascii_lowercase() && letter != '_')
            .unwrap_or(rest.len() - 1);
        if length == 0 || !rest[1 + length..].starts_with('}') {
            filled.push('{');
            rest = &rest[1..];
            continue;
        }
        let name = &rest[1..=length];
        let Some(value) = values.get(name) else {
            let known: Vec<&str> = values.keys().map(String::as_str).collect();
            let reason = format!("nobody knows it; there are {}", known.join(", "));
            return Err(TargetError::new(format!("placeholder {{{name}}}"), reason));
        };
        filled.push_str(value);
        rest = &rest[length + 2..];
    }
    filled.push_str(rest);
    Ok(filled)
}

/// The target files that come with the lab.
const BUILT_IN: [(&str, &str); 2] = [
    ("steadfast", include_str!("../../../targets/steadfast.toml")),
    ("kafka", include_str!("../../../targets/kafka.toml")),
];
