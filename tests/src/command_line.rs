//! `steadfast` as a script calls it: arguments and standard input in, exit code and what it printed out.

use std::io::Write as _;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

use crate::cluster::{Cluster, plain_command, steadfast_binary};

/// The program, with the cluster that the environment names to it, if any; it takes nothing else from this program's environment.
#[derive(Clone, Debug)]
pub struct CommandLine {
    bootstrap: Option<String>,
}

impl CommandLine {
    /// Without a cluster.
    pub const ALONE: Self = Self { bootstrap: None };

    /// With a cluster in `STEADFAST_BOOTSTRAP_SERVERS`.
    #[must_use]
    pub fn of(cluster: &Cluster) -> Self {
        Self { bootstrap: Some(cluster.bootstrap()) }
    }

    /// Starts it with all its streams piped.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(&self, arguments: &[&str]) -> Child {
        let mut command: Command = plain_command(&steadfast_binary());
        command.args(arguments);
        if let Some(bootstrap) = &self.bootstrap {
            command.env("STEADFAST_BOOTSTRAP_SERVERS", bootstrap);
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started")
    }

    /// Runs it to its end with this standard input.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = self.start(arguments);
        // A command that refuses its arguments reads nothing.
        let _written = child.stdin.take().expect("stdin is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("it ends")
    }

    /// Runs what must succeed, and returns what it printed.
    ///
    /// # Panics
    /// When its exit code is not 0; the message holds what it said.
    pub fn succeed(&self, arguments: &[&str], input: &str) -> String {
        let output = self.run(arguments, input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).expect("what it prints is text")
    }

    /// Runs what must succeed with `--json`, and returns what it printed.
    ///
    /// # Panics
    /// As [`CommandLine::succeed`], and when that is not JSON.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let text = self.succeed(&[arguments, &["--json"][..]].concat(), "");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Runs what must fail with this exit code, one line that names the reason once, and nothing printed; returns the line.
    ///
    /// # Panics
    /// When it does not.
    pub fn fail(&self, arguments: &[&str], code: i32) -> String {
        let output = self.run(arguments, "");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{arguments:?} says more than one line: {said}");
        assert!(said.matches("os error").count() <= 1, "{arguments:?} repeats the reason: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?} printed something although it failed");
        said
    }

    /// Runs what is wrong usage: exit code 2, and something said about it.
    ///
    /// # Panics
    /// When it is taken for right.
    pub fn refuse_usage(&self, arguments: &[&str]) {
        let output = self.run(arguments, "");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?} is refused without a word");
    }
}
