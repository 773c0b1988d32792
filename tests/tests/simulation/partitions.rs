//! The partition and metadata machines: nothing acknowledged is lost.

use cluster_tests::simulation::simulate;
use cluster_tests::simulator::seeds;

#[test]
fn one_seed_after_another_loses_nothing_acknowledged_and_converges() {
    let Some(sum) = seeds::run(0..5_000, simulate) else { return };
    // A simulation in which nothing happens proves nothing.
    let runs = sum.runs;
    assert!(sum.of(|one| one.acknowledged) > 50 * runs, "producers are acknowledged");
    assert!(sum.of(|one| one.elections) > 2 * runs, "leaders change");
    assert!(sum.of(|one| one.crashes) > 2 * runs, "processes end");
    assert!(sum.of(|one| one.proposals) > 2 * runs, "in-sync sets change");
    assert!(sum.of(|one| one.cuts) > runs / 2, "logs are cut");
    assert!(sum.of(|one| one.losses) > runs / 4, "disks are lost");
}

#[test]
fn the_same_seed_twice_gives_the_same_log() {
    seeds::assert_repeatable(simulate, 1_000);
}
