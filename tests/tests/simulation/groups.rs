//! The group machine: commits, owners and generations are kept.

use cluster_tests::group_simulation::simulate;
use cluster_tests::simulator::seeds;

#[test]
fn one_seed_after_another_keeps_commits_owners_and_generations_and_converges() {
    let Some(sum) = seeds::run(0..2_000, simulate) else { return };
    // A simulation in which nothing happens proves nothing.
    let runs = sum.runs;
    assert!(sum.of(|one| one.loads) > 2 * runs, "coordinators move");
    assert!(sum.of(|one| one.assignments) > 5 * runs, "groups rebalance");
    assert!(sum.of(|one| one.acknowledged) > 10 * runs, "offsets are committed");
    assert!(sum.of(|one| one.transactions) > 2 * runs, "transactions end");
    assert!(sum.of(|one| one.rewrites) > runs / 4, "logs are rewritten");
}

#[test]
fn the_same_seed_twice_gives_the_same_log() {
    seeds::assert_repeatable(simulate, 200);
}
