//! The nemesis against a target that only records, with time that passes at once.

mod fake;

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::history::{Action, Event, HistoryReader, Kind, Recorder};
use fake::{FakeTarget, ManualPacer};
use pacer::{Pacer as _, Waited};

const MINUTE: Duration = Duration::from_secs(60);

fn step(fault: Fault, draw: u64) -> Step {
    Step { at: Duration::from_secs(5), lasting: Duration::from_secs(10), fault, draw }
}

fn steps(steps: Vec<Step>) -> Schedule {
    Schedule { duration: 10 * MINUTE, tail: Duration::from_secs(10), steps }
}

/// Runs a schedule; returns the report and the history.
fn run(
    schedule: &Schedule,
    target: &FakeTarget,
    pacer: &ManualPacer,
) -> (NemesisReport, Vec<Event>) {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("history");
    let recorder = Recorder::create(&path, crate::history::Clock::start()).unwrap();
    let report = Nemesis::new(target, target, &recorder, pacer, Begin::OnTime).run(schedule);
    recorder.finish().unwrap();
    let events = HistoryReader::open(&path).unwrap().map(Result::unwrap).collect();
    (report, events)
}

#[test]
fn the_same_seed_makes_the_same_schedule_and_another_seed_another() {
    let faults: Vec<Fault> = Fault::all().collect();
    let draw = |seed| Schedule::random(seed, 60 * MINUTE, &faults, &Pace::default());
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    let kinds: BTreeSet<Fault> = draw(7).steps.iter().map(|step| step.fault).collect();
    assert_eq!(kinds.len(), faults.len(), "an hour has room for each fault");
}

#[test]
fn a_schedule_survives_being_written_and_read() {
    let faults: Vec<Fault> = Fault::all().collect();
    let schedule = Schedule::random(3, 20 * MINUTE, &faults, &Pace::default());
    assert_eq!(schedule.to_string().parse(), Ok(schedule));
    let error = "schedule of 9.0 tail 1.0\nat 1 for 2 kill-leeder draw 3".parse::<Schedule>();
    assert!(error.unwrap_err().contains("kill-leader"));
}

#[test]
fn every_fault_of_a_schedule_ends_before_the_tail_and_overlaps_only_what_goes_with_it() {
    let faults: Vec<Fault> = Fault::all().collect();
    let mut overlaps = 0;
    for seed in 0..50 {
        let schedule = Schedule::random(seed, 10 * MINUTE, &faults, &Pace::default());
        for (place, step) in schedule.steps.iter().enumerate() {
            assert!(step.at + step.lasting <= schedule.duration - schedule.tail, "{step}");
            for later in &schedule.steps[place + 1..] {
                if later.at < step.at + step.lasting {
                    overlaps += 1;
                    assert!(step.fault.goes_with(later.fault), "{step}, {later}");
                }
            }
        }
    }
    assert!(overlaps > 50, "{overlaps}");
}

#[test]
fn each_fault_breaks_something_and_leaves_nothing_broken() {
    for nodes in [3, 5] {
        for (fault, draw) in Fault::all().flat_map(|fault| (0..8).map(move |draw| (fault, draw))) {
            let target = FakeTarget::new(nodes);
            let (report, events) =
                run(&steps(vec![step(fault, draw)]), &target, &ManualPacer::new());
            assert_eq!(report.problems, Vec::<String>::new(), "{fault}");
            assert!(target.was_broken(), "{fault} did nothing");
            // Before the target's own heal, which would mend anything.
            assert_eq!(target.broken_at_heal(), Some(String::new()), "{fault}");
            let kinds: Vec<Kind> = events.iter().map(|event| event.kind).collect();
            assert_eq!(kinds, [Kind::Invoke, Kind::Ok], "{fault}");
            let Action::Fault { name, nodes, .. } = &events[1].action else { panic!("no fault") };
            assert_eq!(name, fault.name());
            assert!(!nodes.is_empty(), "{fault}");
        }
    }
}

#[test]
fn random_chaos_never_takes_a_majority_out_nor_harms_two_disks() {
    let faults: Vec<Fault> = Fault::all().filter(|fault| !fault.may_take_majority()).collect();
    for seed in 0..40 {
        let target = FakeTarget::new(3);
        let pace = Pace { overlap_percent: 60, quiet_percent: 0, ..Pace::default() };
        let schedule = Schedule::random(seed, 10 * MINUTE, &faults, &pace);
        let (report, _) = run(&schedule, &target, &ManualPacer::new());
        assert_eq!(report.problems, Vec::<String>::new(), "seed {seed}");
        assert!(target.most_out() <= 1, "seed {seed}");
        assert!(target.unsynced_harm().is_none(), "seed {seed}: {:?}", target.unsynced_harm());
    }
}

#[test]
fn a_fault_that_would_take_a_majority_is_refused_and_says_so() {
    let target = FakeTarget::new(3);
    let mut second = step(Fault::PauseRandom, 2);
    second.at += Duration::from_secs(1);
    let schedule = steps(vec![step(Fault::KillRandom, 1), second]);
    let (report, events) = run(&schedule, &target, &ManualPacer::new());
    assert_eq!(target.most_out(), 1);
    assert!(report.problems[0].contains("refused"), "{:?}", report.problems);
    let refused = events.iter().find(|event| event.kind == Kind::Fail).unwrap();
    assert!(refused.error.as_ref().unwrap().contains("refused"));
}

#[test]
fn an_error_of_the_target_is_in_the_history_and_in_the_report_and_what_was_begun_is_undone() {
    let target = FakeTarget::new(3).failing("pause");
    let (report, events) =
        run(&steps(vec![step(Fault::PauseLeader, 1)]), &target, &ManualPacer::new());
    assert_eq!(report.faults.len(), 1);
    assert!(report.problems[0].contains("out of order"), "{:?}", report.problems);
    assert_eq!(events[1].kind, Kind::Info);
    assert!(events[1].error.as_ref().unwrap().contains("out of order"));
    assert!(target.calls().iter().any(|call| call.starts_with("resume")), "{:?}", target.calls());
}

#[test]
fn a_target_that_cannot_be_healed_is_in_the_history_and_in_the_report() {
    let target = FakeTarget::new(3).failing("heal");
    let (report, events) = run(&steps(Vec::new()), &target, &ManualPacer::new());
    assert!(report.not_healed.unwrap().contains("out of order"));
    assert!(events.last().unwrap().error.is_some());
}

#[test]
fn a_cancelled_nemesis_heals_at_once() {
    for fault in Fault::all() {
        let target = FakeTarget::new(3);
        let pacer = ManualPacer::cancelled_at(Duration::from_secs(8));
        run(&steps(vec![step(fault, 4)]), &target, &pacer);
        assert_eq!(pacer.now(), Duration::from_secs(8), "{fault}");
        assert_eq!(target.broken_at_heal(), Some(String::new()), "{fault}");
    }
}

#[test]
fn a_node_that_ends_by_itself_is_started_and_reported() {
    let target = FakeTarget::new(3);
    target.crash(2);
    let (report, _) = run(&steps(vec![step(Fault::Loss, 1)]), &target, &ManualPacer::new());
    assert_eq!(report.problems, ["node 2 ended by itself between faults"]);
    assert!(target.calls().contains(&"start 2".to_owned()));
}

#[test]
fn no_disk_is_wiped_while_an_isr_is_not_full() {
    let target = FakeTarget::new(3).never_in_sync();
    let (report, _) = run(&steps(vec![step(Fault::Wipe, 1)]), &target, &ManualPacer::new());
    assert!(report.problems[0].contains("ISRs"), "{:?}", report.problems);
    assert!(
        !target.calls().iter().any(|call| call.starts_with("wipe") || call.starts_with("kill"))
    );
}

#[test]
fn only_one_disk_of_a_run_is_harmed_by_flips() {
    let target = FakeTarget::new(5);
    let flips = (0..20)
        .map(|draw| Step { at: Duration::from_secs(5 + 20 * draw), ..step(Fault::BitFlip, draw) });
    run(&steps(flips.collect()), &target, &ManualPacer::new());
    let calls = target.calls();
    let flipped: Vec<&String> = calls.iter().filter(|call| call.starts_with("flip")).collect();
    assert_eq!(flipped.len(), 20);
    assert!(flipped.iter().all(|call| *call == flipped[0]), "{flipped:?}");
}

#[test]
fn steps_that_come_too_late_are_left_out_and_reported() {
    let target = FakeTarget::new(3).never_in_sync();
    let mut late = step(Fault::KillRandom, 1);
    late.at = Duration::from_secs(20);
    let mut schedule = steps(vec![step(Fault::Wipe, 1), late]);
    schedule.duration = Duration::from_secs(60);
    let (report, _) = run(&schedule, &target, &ManualPacer::new());
    assert_eq!(report.left_out, [late]);
}

#[test]
fn in_a_ring_of_five_each_node_sees_a_majority_and_no_two_see_the_same() {
    let target = FakeTarget::new(5);
    run(&steps(vec![step(Fault::Ring, 1)]), &target, &ManualPacer::new());
    let links = target.last_links();
    let sees = |node: NodeId| -> Vec<NodeId> {
        let cut = |from| links.iter().any(|link| link.from == from && link.to == node);
        (1..=5).filter(|from| !cut(*from)).collect()
    };
    let seen: BTreeSet<Vec<NodeId>> = (1..=5).map(sees).collect();
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|seen| seen.len() == 3), "{seen:?}");
}

#[test]
fn the_recipe_of_nats_7567_leaves_nobody_awake_who_remembers() {
    let target = FakeTarget::new(5);
    run(&steps(vec![step(Fault::Nats7567, 1)]), &target, &ManualPacer::new());
    let calls = target.calls();
    let words: Vec<&str> = calls.iter().filter_map(|call| call.split(' ').next()).collect();
    let expected = ["pause", "pause", "power", "pause", "pause", "start", "resume", "resume"];
    assert_eq!(words[..8], expected, "{calls:?}");
}

#[test]
fn what_a_target_lacks_is_told_with_the_reason() {
    let target = FakeTarget::new(2).lacking(crate::target::Means::Power);
    let (can, cannot) = available(&target);
    assert_eq!(can.len() + cannot.len(), Fault::all().count());
    let reason = |fault| cannot.iter().find(|(other, _)| *other == fault).map(|(_, why)| &why[..]);
    assert_eq!(reason(Fault::PowerAll), Some("no Power here"));
    assert_eq!(reason(Fault::Ring), Some("needs 3 nodes, there are 2"));
    assert_eq!(reason(Fault::KillLeader), None);
}

#[test]
fn names_are_read_back_and_a_wrong_one_gets_the_nearest() {
    for (place, fault) in Fault::all().enumerate() {
        assert_eq!(fault.name().parse(), Ok(fault));
        assert_eq!(fault as usize, place, "the table is in the order of the enum");
    }
    let error = "pause-leeder".parse::<Fault>().unwrap_err();
    assert_eq!(error.nearest, "pause-leader");
    assert_eq!("evrything".parse::<Scenario>().unwrap_err().nearest, "everything");
}

#[test]
fn a_scenario_draws_from_its_own_available_faults_alone() {
    let scenario: Scenario = "power-loss".parse().unwrap();
    let can = [Fault::PowerAll, Fault::KillLeader];
    let schedule = scenario.schedule(1, 5 * MINUTE, &can, &Pace::default());
    assert!(schedule.steps.len() > 5);
    assert!(schedule.steps.iter().all(|step| step.fault == Fault::PowerAll));
    assert!(scenario.schedule(1, 5 * MINUTE, &[Fault::Loss], &Pace::default()).steps.is_empty());
}

#[test]
fn a_wait_in_real_time_ends_when_it_is_cancelled() {
    let pacer = ClockPacer::start();
    assert_eq!(pacer.wait_until(Duration::ZERO), Waited::Elapsed);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| pacer.wait_until(60 * MINUTE));
        pacer.cancel();
        assert_eq!(waiting.join().unwrap(), Waited::Cancelled);
    });
}

#[test]
fn a_storm_reaches_its_node_and_ends() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let storm = storm::Storm::begin(listener.local_addr().unwrap(), 1).unwrap();
    for _ in 0..20 {
        listener.accept().unwrap();
    }
    let told = storm.end();
    assert!(told.contains("connections opened"), "{told}");
}

#[test]
fn the_page_about_faults_names_each_of_them() {
    let page = include_str!("../../../../docs/lab-faults.md");
    for fault in Fault::all() {
        assert!(page.contains(&format!("| `{fault}` |")), "{fault}");
    }
    for scenario in Scenario::all() {
        assert!(page.contains(&format!("| `{scenario}` |")), "{scenario}");
    }
}
