//! Finds scripts, runs each in a scenario of its own, and holds what it says against what it said before.

use std::any::Any;
use std::fmt::Debug;
use std::fs;
use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use crate::difference::difference;

/// A machine as a script sees it: a new one for each script.
pub trait Scenario: Default {
    /// Runs one command: the line without the space around it, neither empty nor a comment. A panic is the failure of the script.
    fn run(&mut self, line: &str);

    /// Ends the script; returns all that could be observed.
    fn end(self) -> String;
}

/// The scripts of one machine.
#[derive(Clone, Copy, Debug)]
pub struct Scripts {
    /// Their folder.
    pub folder: &'static str,
    /// At least so many are there: a folder that was moved is not a test that passed.
    pub least: usize,
}

/// What is done with an output that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Compare,
    Update,
}

impl Scripts {
    /// Runs every script, or those that `SCRIPT` names, and compares its output, or writes it anew under `UPDATE_SCRIPTS`.
    ///
    /// # Panics
    /// When outputs differ, a script does not open with its intent, or too few are there; the message names each script and shows what differs.
    pub fn check<S: Scenario>(&self) {
        let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
        let mode = if update { Mode::Update } else { Mode::Compare };
        let mut scripts = self.read();
        if let Ok(words) = std::env::var("SCRIPT") {
            scripts.retain(|script| script.name.contains(&words));
            assert!(!scripts.is_empty(), "no script in {} has {words} in its name", self.folder);
            for script in &scripts {
                let output = script.run::<S>().unwrap_or_else(|panic| format!("panic: {panic}\n"));
                // Past the test harness, which would keep the words of a test that passes.
                let text = format!("{}:\n{}{SEPARATOR}{output}\n", script.name, script.commands);
                let _shown = std::io::stdout().write_all(text.as_bytes());
            }
        }
        let failures: String =
            scripts.iter().filter_map(|script| script.check::<S>(mode).err()).collect();
        assert!(failures.is_empty(), "scripts differ (- golden, + now):\n{failures}");
    }

    /// Shows that the scripts can fail: each deliberate bug changes the output of one, or makes it panic.
    ///
    /// # Panics
    /// When a bug is seen by none; the message names it.
    pub fn see_every_bug<S: Scenario, B: Copy + Debug>(&self, bugs: &[B], activate: fn(Option<B>)) {
        let scripts = self.read();
        for bug in bugs {
            activate(Some(*bug));
            let seen = scripts.iter().any(|script| script.check::<S>(Mode::Compare).is_err());
            activate(None);
            assert!(seen, "no script sees {bug:?}");
        }
    }

    fn read(&self) -> Vec<Script> {
        let mut paths: Vec<PathBuf> = fs::read_dir(self.folder)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
            .unwrap_or_else(|error| panic!("{}: {error}", self.folder));
        paths.sort();
        let (found, least) = (paths.len(), self.least);
        assert!(found >= least, "{}: {found} scripts, not {least} or more", self.folder);
        paths.iter().map(|path| Script::read(path)).collect()
    }
}

/// One file.
#[derive(Debug)]
struct Script {
    path: PathBuf,
    name: String,
    /// All above the line, comments included.
    commands: String,
    golden: String,
}

impl Script {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("{} is no script: {error}", path.display()));
        let (commands, golden) = text.split_once(SEPARATOR).unwrap_or((&text, ""));
        Self {
            path: path.to_owned(),
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            commands: commands.to_owned(),
            golden: golden.to_owned(),
        }
    }

    fn check<S: Scenario>(&self, mode: Mode) -> Result<(), String> {
        let name = &self.name;
        if !states_its_intent(&self.commands) {
            return Err(format!("{name} does not open with its intent, `# A whole sentence.`\n"));
        }
        let output = self.run::<S>().map_err(|panic| format!("{name}: panic: {panic}\n"))?;
        if output == self.golden {
            return Ok(());
        }
        match mode {
            Mode::Compare => Err(format!("{name}:\n{}", difference(&self.golden, &output))),
            Mode::Update => {
                let text = format!("{}{SEPARATOR}{output}", self.commands);
                fs::write(&self.path, text).map_err(|error| format!("{name}: {error}\n"))
            }
        }
    }

    /// Returns the output, or what a panic said.
    fn run<S: Scenario>(&self) -> Result<String, String> {
        let run = || {
            let mut scenario = S::default();
            for line in self.commands.lines().map(str::trim) {
                if !line.is_empty() && !line.starts_with('#') {
                    scenario.run(line);
                }
            }
            scenario.end()
        };
        catch_unwind(run).map_err(|panic| message(&*panic))
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word").to_owned()
}

/// Whether a script opens with a comment that is a sentence.
fn states_its_intent(commands: &str) -> bool {
    let comment = commands.lines().map_while(|line| line.strip_prefix("# "));
    let intent = comment.collect::<Vec<_>>().join(" ");
    intent.trim_end_matches(')').ends_with('.') && intent.split_whitespace().count() >= 3
}

/// Stands between commands and output.
const SEPARATOR: &str = "---\n";

#[cfg(test)]
mod tests {
    use super::*;

    /// Says every line again, and panics at `stop`.
    #[derive(Default)]
    struct Echo(String);

    impl Scenario for Echo {
        fn run(&mut self, line: &str) {
            assert_ne!(line, "stop", "told to stop");
            self.0 += &format!("> {line}\n");
        }

        fn end(self) -> String {
            self.0
        }
    }

    fn script(text: &str) -> (tempfile::TempDir, Script) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a_word_is_said_again");
        fs::write(&path, text).unwrap();
        let script = Script::read(&path);
        (directory, script)
    }

    #[test]
    fn a_script_passes_when_it_says_what_it_said_before() {
        let (_directory, script) =
            script("# A word is said again.\n\none\n# Two.\ntwo\n---\n> one\n> two\n");
        assert_eq!(script.check::<Echo>(Mode::Compare), Ok(()));
    }

    #[test]
    fn a_script_that_differs_is_named_with_its_difference() {
        let (_directory, script) = script("# A word is said again.\none\n---\n> two\n");
        let expected = "a_word_is_said_again:\n  - > two\n  + > one\n".to_owned();
        assert_eq!(script.check::<Echo>(Mode::Compare), Err(expected));
    }

    #[test]
    fn a_script_that_panics_is_named_with_what_was_said() {
        let (_directory, script) = script("# A word is said again.\nstop\n---\n");
        let said = script.check::<Echo>(Mode::Compare).unwrap_err();
        assert!(said.starts_with("a_word_is_said_again: panic: ") && said.contains("told to stop"));
    }

    #[test]
    fn an_update_keeps_the_commands_and_writes_the_output() {
        let (_directory, script) = script("# A word is said again.\none\n");
        assert_eq!(script.check::<Echo>(Mode::Update), Ok(()));
        let written = fs::read_to_string(&script.path).unwrap();
        assert_eq!(written, "# A word is said again.\none\n---\n> one\n");
    }

    #[test]
    fn an_intent_is_a_sentence_at_the_top() {
        assert!(states_its_intent("# A word is said\n# again. (As it was.)\none\n"));
        for text in ["one\n# A word is said again.\n", "# words\none\n", "# A word is said again\n"]
        {
            let (_directory, script) = script(text);
            assert!(script.check::<Echo>(Mode::Update).is_err(), "{text}");
        }
    }
}
