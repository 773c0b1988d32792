//! Hand-made histories with figures that can be counted by hand.

use super::*;
use crate::history::Read;

const MS: u64 = 1_000_000;

struct History {
    statistics: Statistics,
    next: OperationId,
}

impl History {
    fn new() -> Self {
        let mut history = Self { statistics: Statistics::new(100), next: 0 };
        for (name, acks) in [("all", Acks::All), ("one", Acks::One), ("zero", Acks::Zero)] {
            history.start(name, Role::Producer, Some(acks));
        }
        history
    }

    fn start(&mut self, process: &str, role: Role, acks: Option<Acks>) {
        let settings = Settings {
            role,
            acks,
            idempotent: false,
            retries: false,
            max_in_flight: 1,
            read_committed: false,
            group: None,
        };
        self.event(process, (0, 0), Kind::Ok, Action::Start { settings });
    }

    fn event(&mut self, process: &str, (op, ms): (u64, u64), kind: Kind, action: Action) {
        let (time, process) = (ms * MS, Arc::from(process));
        self.statistics.observe(&Event { time, op, process, kind, action, error: None });
    }

    fn send(&mut self, process: &str, number: i32, intended_ms: u64) -> OperationId {
        self.next += 1;
        self.part(process, number, (self.next, intended_ms), Kind::Invoke);
        self.next
    }

    fn part(&mut self, process: &str, number: i32, (op, ms): (u64, u64), kind: Kind) {
        let partition = Partition { topic: Arc::from("t"), number };
        let intended = (kind == Kind::Invoke).then_some(ms * MS);
        let action =
            Action::Send { partition, value: op, intended, offset: None, transaction: None };
        self.event(process, (op, ms), kind, action);
    }

    /// A send that is acknowledged.
    fn sent(&mut self, process: &str, number: i32, (from, to): (u64, u64)) {
        let op = self.send(process, number, from);
        self.part(process, number, (op, to), Kind::Ok);
    }

    fn fault(&mut self, op: u64, ms: u64, kind: Kind) {
        let action = Action::Fault {
            name: "kill".to_owned(),
            detail: String::new(),
            nodes: vec![u32::try_from(op).unwrap()],
        };
        self.event("nemesis", (op + 1_000_000, ms), kind, action);
    }
}

#[test]
fn sends_are_counted_by_outcome_and_open_ones_are_unknown() {
    let mut history = History::new();
    history.sent("all", 0, (0, 5));
    for kind in [Kind::Fail, Kind::Info] {
        let op = history.send("all", 0, 10);
        history.part("all", 0, (op, 20), kind);
    }
    history.send("all", 0, 30);
    let (traffic, _) = history.statistics.finish();
    let counts = (traffic.sent, traffic.acknowledged, traffic.failed, traffic.unknown);
    assert_eq!(counts, (4, 1, 1, 2));
}

#[test]
fn buckets_count_intended_sends_and_acknowledgements_where_each_was() {
    let mut history = History::new();
    history.sent("all", 0, (10, 20));
    history.sent("all", 0, (150, 350));
    history.sent("all", 1, (0, 5));
    let (traffic, _) = history.statistics.finish();
    assert_eq!(traffic.bucket_ms, 100);
    let series = &traffic.partitions[0];
    assert_eq!(series.partition, "t/0");
    assert_eq!(series.intended, [1, 1, 0, 0]);
    assert_eq!(series.acknowledged, [1, 0, 0, 1]);
    assert_eq!(traffic.partitions[1].acknowledged, [1, 0, 0, 0]);
    assert!((series.availability - 0.5).abs() < 1e-9);
}

#[test]
fn only_acks_all_ends_a_gap_where_it_is_used() {
    let mut history = History::new();
    history.sent("all", 0, (0, 10));
    history.sent("one", 0, (500, 510));
    history.sent("all", 0, (1000, 1010));
    history.sent("one", 1, (0, 10));
    history.sent("one", 1, (500, 510));
    let (traffic, _) = history.statistics.finish();
    let gaps: Vec<_> = traffic.partitions.iter().map(|series| series.longest_gap_ms).collect();
    assert_eq!(gaps, [1000.0, 500.0]);
}

#[test]
fn a_gap_lasts_to_the_last_intended_send_when_nothing_follows() {
    let mut history = History::new();
    history.sent("all", 0, (0, 10));
    history.send("all", 0, 2010);
    let (traffic, _) = history.statistics.finish();
    assert_eq!(traffic.partitions[0].longest_gap_ms, 2000.0);
}

#[test]
fn a_fault_has_the_worst_gap_that_overlaps_it_or_begins_within_five_seconds_after() {
    let mut history = History::new();
    for ms in [0, 900] {
        history.sent("all", 0, (ms, ms));
    }
    history.fault(1, 1000, Kind::Invoke);
    history.sent("all", 0, (1600, 1600));
    history.fault(1, 2000, Kind::Ok);
    // 1600 to 2500 overlaps; 6900 to 8900 begins 4.9 s after; 8900 to 20000 does not count.
    for ms in [2500, 2600, 3400, 4200, 5000, 5800, 6100, 6900, 8900, 20_000] {
        history.sent("all", 0, (ms, ms));
    }
    history.fault(2, 20_100, Kind::Invoke);
    history.sent("all", 0, (20_200, 20_200));
    let (_, faults) = history.statistics.finish();
    let gaps: Vec<_> =
        faults.iter().map(|fault| (fault.from_s, fault.to_s, fault.worst_gap_ms)).collect();
    assert_eq!(gaps, [(1.0, 2.0, Some(2000.0)), (20.1, 20.2, Some(200.0))]);
}

#[test]
fn a_gap_on_the_partition_that_never_comes_back_belongs_to_its_fault() {
    let mut history = History::new();
    history.sent("one", 1, (0, 10));
    history.sent("all", 0, (0, 10));
    history.fault(1, 1000, Kind::Invoke);
    history.sent("all", 0, (1100, 1110));
    history.fault(1, 1500, Kind::Ok);
    history.send("one", 1, 9010);
    let (_, faults) = history.statistics.finish();
    assert_eq!(faults[0].worst_gap_ms, Some(9000.0));
}

#[test]
fn a_fault_that_could_not_be_done_is_none() {
    let mut history = History::new();
    history.fault(1, 1000, Kind::Invoke);
    history.fault(1, 1100, Kind::Fail);
    history.fault(2, 1200, Kind::Ok);
    let (_, faults) = history.statistics.finish();
    let seen: Vec<_> = faults.iter().map(|fault| (fault.nodes[0], fault.to_s)).collect();
    assert_eq!(seen, [(2, 1.2)]);
}

#[test]
fn latency_counts_from_the_intended_time_and_leaves_acks_zero_out() {
    let mut history = History::new();
    history.sent("all", 0, (0, 40));
    history.sent("zero", 0, (0, 9000));
    let (traffic, _) = history.statistics.finish();
    assert!((traffic.latency.max - 40.0).abs() < 0.1, "{:?}", traffic.latency);
    let map = traffic.heat_map;
    let row = map.columns[0].iter().position(|count| *count == 1).unwrap();
    assert!(map.row_bounds_ms[row - 1] < 40.0 && 40.0 <= map.row_bounds_ms[row]);
    assert_eq!(map.columns.concat().iter().sum::<u32>(), 1);
    assert_eq!(map.columns[0].len(), map.row_bounds_ms.len() + 1);
}

#[test]
fn a_long_run_has_wider_buckets_and_loses_no_count() {
    let mut history = History::new();
    let seconds = 3600;
    for second in 0..seconds {
        history.sent("all", 0, (second * 1000, second * 1000 + 10));
        if second < 10 {
            history.sent("one", 1, (second * 1000, second * 1000));
        }
    }
    let (traffic, _) = history.statistics.finish();
    assert_eq!(traffic.bucket_ms, 1600);
    for (series, sends) in traffic.partitions.iter().zip([3600, 10]) {
        assert_eq!(series.acknowledged.len(), 2250);
        assert_eq!(series.acknowledged.iter().sum::<u32>(), sends);
        assert_eq!(series.intended.iter().sum::<u32>(), sends);
        // Counted in buckets of 100 ms all the same.
        assert!((series.availability - 1.0).abs() < 1e-9);
    }
    assert_eq!(traffic.partitions[0].longest_gap_ms, 1000.0);
    assert_eq!(traffic.heat_map.column_ms, 8000);
    assert_eq!(traffic.heat_map.columns.concat().iter().sum::<u32>(), 3610);
}

#[test]
fn polled_records_count_but_not_those_of_the_final_read() {
    let mut history = History::new();
    history.start("consumer", Role::Consumer, None);
    history.start("final", Role::FinalReader, None);
    for process in ["consumer", "final"] {
        let partition = Partition { topic: Arc::from("t"), number: 0 };
        let reads = vec![Read { partition, records: vec![(0, 0), (1, 1)] }];
        history.event(process, (9, 9), Kind::Ok, Action::Poll { reads, transaction: None });
    }
    assert_eq!(history.statistics.finish().0.polled, 2);
}

#[test]
fn a_fault_is_recovered_from_once_all_isrs_are_full_again() {
    let mut history = History::new();
    let mark = |history: &mut History, ms, full| {
        history.event("observer", (9, ms), Kind::Ok, Action::InSync { full });
    };
    mark(&mut history, 0, true);
    history.fault(1, 100, Kind::Invoke);
    mark(&mut history, 150, false);
    history.fault(1, 300, Kind::Ok);
    history.fault(2, 400, Kind::Invoke);
    mark(&mut history, 450, true);
    // No ISR shrank in it.
    history.fault(2, 500, Kind::Ok);
    history.fault(3, 600, Kind::Invoke);
    mark(&mut history, 610, false);
    history.fault(3, 700, Kind::Ok);
    let (_, faults) = history.statistics.finish();
    let recovered: Vec<_> = faults.iter().map(|fault| fault.recovered_ms).collect();
    assert_eq!(recovered, [Some(150.0), None, None]);
}
