//! From what the command line says to a target.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::ExperimentError;
use super::run_directory::RunDirectory;
use crate::target::{
    Bootstrap, Compose, Description, Processes, ProcessesOptions, Sandbox, Target, enter_sandbox,
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
    pub(crate) out: Option<PathBuf>,
}

impl TargetOptions {
    /// Goes into the sandbox where the target is made of processes of the lab's own. Must be called before anything else of a run: it may
    /// replace this process.
    ///
    /// # Errors
    /// When the sandbox is there and cannot be entered.
    pub(crate) fn enter(&self) -> Result<Sandbox, ExperimentError> {
        match self.name.as_str() {
            "compose" | "bootstrap" => Ok(Sandbox::Plain(Vec::new())),
            _ => Ok(enter_sandbox()?),
        }
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
            "compose" => Ok(Box::new(Compose::new(&self.compose_file)?)),
            "bootstrap" => {
                let Some(bootstrap) = &self.bootstrap else {
                    let usage = "--target bootstrap needs --bootstrap HOST:PORT,...";
                    return Err(ExperimentError::Usage(usage.to_owned()));
                };
                Ok(Box::new(Bootstrap::new(bootstrap, self.commands.as_deref())?))
            }
            name => {
                let description = match name {
                    "steadfast" => Description::steadfast()?,
                    "kafka" => Description::kafka()?,
                    path => Description::read(Path::new(path))?,
                };
                let options = ProcessesOptions {
                    nodes: self.nodes,
                    directory: directory.folder("nodes")?,
                    disk_mebibytes: self.disk_mebibytes,
                    variables: self.variables.clone(),
                };
                Ok(Box::new(Processes::new(description, options, sandbox)?))
            }
        }
    }
}
