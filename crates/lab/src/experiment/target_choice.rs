//! From what the command line says to a target.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::ExperimentError;
use super::run_directory::RunDirectory;
use crate::target::{
    Bootstrap, Clocks, Compose, Description, Processes, ProcessesOptions, Sandbox, Target, enter,
};

/// Which cluster an experiment is about.
#[derive(Clone, Debug)]
pub(crate) struct TargetOptions {
    /// `steadfast`, `kafka`, `compose`, `bootstrap`, or the path of a target file.
    pub(crate) name: String,
    /// Values of a target file's variables.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) nodes: u32,
    pub(crate) bootstrap: Option<String>,
    pub(crate) commands: Option<PathBuf>,
    pub(crate) compose_file: PathBuf,
    pub(crate) disk_mebibytes: u32,
    pub(crate) clocks: Clocks,
    pub(crate) out: Option<PathBuf>,
}

impl TargetOptions {
    /// Goes into the sandbox where the target is made of processes of the lab's own. Must be called before anything else of a run: it may
    /// replace this process.
    ///
    /// # Errors
    /// When the sandbox is there and cannot be entered.
    pub(crate) fn enter(&self) -> Result<Sandbox, ExperimentError> {
        if self.is_made_of_processes() { Ok(enter()?) } else { Ok(Sandbox::Plain(Vec::new())) }
    }

    /// Whether the lab starts the nodes itself.
    pub(crate) fn is_made_of_processes(&self) -> bool {
        !matches!(self.name.as_str(), "compose" | "bootstrap")
    }

    /// Makes the target, without starting it.
    ///
    /// # Errors
    /// Wrong usage, or what the target lacks to be made.
    pub(crate) fn open(
        &self,
        sandbox: Sandbox,
        directory: &RunDirectory,
    ) -> Result<Box<dyn Target>, ExperimentError> {
        match self.name.as_str() {
            "compose" => Ok(Box::new(Compose::open(&self.compose_file, None)?)),
            "bootstrap" => {
                let Some(bootstrap) = &self.bootstrap else {
                    let usage = "--target bootstrap needs --bootstrap HOST:PORT,...";
                    return Err(ExperimentError::Usage(usage.to_owned()));
                };
                Ok(Box::new(Bootstrap::open(bootstrap, self.commands.as_deref())?))
            }
            name => {
                let description = describe(name)?;
                let options = ProcessesOptions {
                    nodes: self.nodes,
                    directory: directory.folder("nodes")?,
                    disk_mebibytes: self.disk_mebibytes,
                    variables: self.variables.clone(),
                    clocks: self.clocks,
                };
                Ok(Box::new(Processes::new(description, options, sandbox)?))
            }
        }
    }
}

/// A built-in description, or one from a file.
fn describe(name: &str) -> Result<Description, ExperimentError> {
    if let Some(description) = Description::built_in(name) {
        return Ok(description?);
    }
    match std::fs::read_to_string(name) {
        Ok(text) => Ok(Description::parse(name, &text)?),
        Err(error) => Err(ExperimentError::Usage(format!(
            "--target {name} is neither steadfast, kafka, compose, bootstrap nor a target file: {error}"
        ))),
    }
}
