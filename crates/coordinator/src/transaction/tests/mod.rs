//! Tests of the transaction machine: golden scripts (`testscripts/<a sentence>`, one scenario each), and random steps.
//!
//! A script opens with its intent, then one command a line (see `commands`), then `---` and the whole observable output; `scripts` says how they are run and rewritten.

mod bounds;
mod commands;
mod format;
mod live_walk;
mod random;
mod replay;

use scripts::Scripts;

use commands::Session;

const SCRIPTS: Scripts = Scripts {
    folder: concat!(env!("CARGO_MANIFEST_DIR"), "/src/transaction/testscripts"),
    least: 40,
};

#[test]
fn every_script_yields_its_golden_output() {
    SCRIPTS.check::<Session>();
}

#[cfg(feature = "mutations")]
#[test]
fn every_deliberate_bug_is_seen_by_a_script() {
    use super::mutation::{Mutation, activate};

    SCRIPTS.see_every_bug::<Session, _>(&Mutation::ALL, activate);
}
