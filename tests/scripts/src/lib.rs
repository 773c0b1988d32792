//! Golden scripts: a scenario of a state machine as a document, one text file each, in a folder `testscripts` beside the machine.
//!
//! A script opens with its intent (`# A whole sentence.`); then stands one command a line (`command subject key=value`), then `---`, then the whole observable output.
//! The machine's tests own the commands ([`Scenario`]); this crate owns files, form and comparison. It knows no machine, and nothing but tests may use it.
//!
//! `UPDATE_SCRIPTS=1` writes the outputs anew: the difference is then for a human to judge. `SCRIPT=words` runs the scripts whose name contains the words alone,
//! and shows each of them whole.

mod arguments;
mod difference;
mod runner;

pub use arguments::{Arguments, Span};
pub use runner::{Scenario, Scripts};
