//! The transaction machine: what is committed is there once and whole, and nothing else.

use cluster_tests::simulator::seeds;
use cluster_tests::transaction_simulation::simulate;

#[test]
fn one_seed_after_another_copies_each_number_exactly_once_and_leaves_no_transaction_open() {
    let Some(sum) = seeds::run(0..1_000, simulate) else { return };
    // A simulation in which nothing happens proves nothing.
    let runs = sum.runs;
    assert!(sum.of(|one| one.loads) > 3 * runs, "coordinators move");
    assert!(sum.of(|one| one.commits) > 10 * runs, "transactions are committed");
    assert!(sum.of(|one| one.aborts) > 3 * runs, "transactions are aborted");
    assert!(sum.of(|one| one.fenced) > runs, "zombies are fenced");
    assert!(sum.of(|one| one.deaths_between) > runs / 2, "coordinators die after a decision");
}

#[test]
fn the_same_seed_twice_gives_the_same_log() {
    seeds::assert_repeatable(simulate, 200);
}
