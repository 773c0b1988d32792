//! A made-up report, for the tests: three partitions, sixty seconds, eight faults with their gaps, a matrix and one anomaly.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::{
    Anomaly, Cell, Comparison, Example, FaultSpan, HeatMap, Matrix, PartitionSeries, Percentiles,
    RunReport, Tally, Traffic, Verdict,
};

const BUCKETS: u32 = 600;
/// (name, detail, node, from, to, gap in milliseconds, the partition that it hits)
const FAULTS: [(&str, &str, u32, f64, f64, f64, usize); 9] = [
    ("kill leader", "SIGKILL", 2, 5.0, 9.0, 1840.0, 0),
    ("isolate leader", "cut from 1 and 3", 1, 12.0, 16.0, 2630.0, 1),
    ("slow disk", "each fsync 200 ms longer", 3, 18.5, 22.0, 412.0, 2),
    ("pause", "SIGSTOP", 3, 24.0, 27.5, 2210.0, 2),
    ("kill leader", "SIGKILL", 1, 30.0, 33.0, 1510.0, 1),
    ("rolling restart", "SIGTERM", 1, 36.0, 44.0, 305.0, 0),
    ("power loss", "all nodes at once", 2, 46.5, 51.0, 5180.0, 0),
    ("packet loss", "20 % of <all> \"packets\"", 3, 53.0, 57.0, 96.0, 2),
    ("kill leader", "SIGKILL", 3, 57.2, 59.0, 1620.0, 2),
];

/// The valid run, and the same with another target that took three times as long after each fault and did not see one of them.
pub(super) fn comparison() -> Comparison {
    let first = valid();
    let mut second = valid();
    second.target = "Kafka 4.3.1, 3 processes".to_owned();
    second.not_done = vec!["power-all: no disks".to_owned()];
    second.faults.retain(|fault| fault.name != "packet loss");
    for fault in &mut second.faults {
        fault.worst_gap_ms = fault.worst_gap_ms.map(|gap| gap * 3.0);
        fault.recovered_ms = None;
    }
    Comparison {
        title: "Random chaos, seed 7, side by side".to_owned(),
        command: "steadfast-lab chaos --seed 7 --beside kafka".to_owned(),
        runs: vec![first, second],
    }
}

/// A run in which acks=all kept its promise.
pub(super) fn valid() -> RunReport {
    let mut report = broken();
    report.title = "Random chaos, seed 7".to_owned();
    report.matrix = None;
    if let Some(verdict) = &mut report.verdict {
        verdict.valid = true;
        verdict.anomalies.clear();
        if let Some(tally) = verdict.sends.get_mut("all") {
            tally.found += std::mem::take(&mut tally.lost);
        }
    }
    report
}

/// A durability run whose matrix has losses where they are due.
pub(super) fn durability() -> RunReport {
    RunReport { title: "Durability".to_owned(), matrix: Some(matrix()), ..facts() }
}

/// Everything at once: an anomaly with its operations beside a matrix.
pub(super) fn broken() -> RunReport {
    let gaps = faults();
    RunReport {
        title: "Random chaos & durability, seed 7".to_owned(),
        duration_s: 60.0,
        faults: gaps,
        traffic: Some(traffic()),
        verdict: Some(verdict()),
        matrix: Some(matrix()),
        ..facts()
    }
}

fn facts() -> RunReport {
    RunReport {
        target: "steadfast 0.1.0, three processes".to_owned(),
        machine: "8 cores, 32 GiB, Linux 6.1, ext4".to_owned(),
        date: "2026-11-24 16:00 UTC".to_owned(),
        command: "steadfast-lab chaos --target steadfast --seed 7 --duration 60s".to_owned(),
        seed: Some(7),
        not_done: vec!["shift clock: the target has no means for it".to_owned()],
        ..RunReport::default()
    }
}

fn faults() -> Vec<FaultSpan> {
    FAULTS
        .iter()
        .map(|&(name, detail, node, from_s, to_s, gap, _)| FaultSpan {
            name: name.to_owned(),
            detail: detail.to_owned(),
            nodes: vec![node],
            from_s,
            to_s,
            worst_gap_ms: Some(gap),
            recovered_ms: (gap > 1000.0).then_some(gap * 2.0),
        })
        .collect()
}

fn traffic() -> Traffic {
    let mut random = StdRng::seed_from_u64(7);
    let mut heat_map = HeatMap {
        column_ms: 250,
        row_bounds_ms: (0..33).map(|row| 0.1 * 10_f64.powf(f64::from(row) / 6.0)).collect(),
        columns: vec![vec![0; 34]; 240],
    };
    let partitions =
        (0..3).map(|number| partition(number, &mut random, &mut heat_map)).collect::<Vec<_>>();
    let sum = |of: fn(&PartitionSeries) -> &Vec<u32>| {
        partitions.iter().flat_map(of).map(|count| u64::from(*count)).sum::<u64>()
    };
    let (sent, acknowledged) = (sum(|series| &series.intended), sum(|series| &series.acknowledged));
    Traffic {
        bucket_ms: 100,
        sent,
        acknowledged,
        failed: 214,
        unknown: (sent - acknowledged).saturating_sub(214),
        polled: acknowledged * 2,
        latency: Percentiles { p50: 1.42, p90: 3.9, p99: 1480.0, p999: 4310.0, max: 5182.0 },
        partitions,
        heat_map,
    }
}

/// One partition: even traffic, nothing in its gaps, a burst after each.
fn partition(number: usize, random: &mut StdRng, heat: &mut HeatMap) -> PartitionSeries {
    let gap = |at: f64| {
        FAULTS.iter().find_map(|&(name, _, _, from, _, gap, hit)| {
            let hits = hit == number || name == "power loss";
            let from = from + 0.2;
            (hits && gap > 300.0 && at >= from && at < from + gap / 1000.0)
                .then(|| (from + gap / 1000.0 - at) * 1000.0)
        })
    };
    let (mut acknowledged, mut intended) = (Vec::new(), Vec::new());
    let mut waiting = 0;
    for bucket in 0..BUCKETS {
        let at = f64::from(bucket) / 10.0;
        let due = random.random_range(92..108) / (1 + u32::try_from(number).unwrap());
        intended.push(due);
        match gap(at) {
            Some(_) => {
                waiting += due;
                acknowledged.push(0);
            }
            None => acknowledged.push(due + std::mem::take(&mut waiting) * 9 / 10),
        }
        for _ in 0..due {
            let at = at + random.random_range(0.0..0.1);
            let spread =
                10_f64.powf(random.random_range(-0.35..0.35) + random.random_range(-0.3..0.3));
            let slow = if (18.5..22.0).contains(&at) { 60.0 } else { 1.0 };
            let rare = if random.random_range(0..400) == 0 { 30.0 } else { 1.0 };
            let latency = gap(at).unwrap_or(0.0) + 1.3 * spread * slow * rare;
            let row = heat.row_bounds_ms.partition_point(|bound| *bound < latency);
            let column = usize::try_from(bucket).unwrap() * 2 / 5;
            heat.columns[column][row] += 1;
        }
    }
    let up = acknowledged.iter().filter(|count| **count > 0).count();
    let longest = FAULTS.iter().filter(|fault| fault.6 == number || fault.0 == "power loss");
    PartitionSeries {
        partition: format!("chaos/{number}"),
        availability: up as f64 / f64::from(BUCKETS),
        acknowledged,
        intended,
        longest_gap_ms: longest.map(|fault| fault.5).fold(0.0, f64::max),
    }
}

fn verdict() -> Verdict {
    let tally = |sent, acknowledged, lost, duplicated| Tally {
        sent,
        acknowledged,
        found: acknowledged - lost,
        lost,
        duplicated,
    };
    Verdict {
        valid: false,
        events: 438_112,
        anomalies: vec![Anomaly {
            name: "lost-write".to_owned(),
            meaning: "A record that was acknowledged with acks=all is not in the log.".to_owned(),
            count: 3,
            examples: vec![Example {
                what: "Value 1207 of chaos/0 was acknowledged at offset 1188; the final read went through it \
                       and found 1206 at 1187, then 1208 at 1188."
                    .to_owned(),
                operations: vec![
                    r#"{"time":47102331990,"op":90312,"process":"producer-1","type":"invoke","f":"send","partition":"chaos/0","value":1207}"#.to_owned(),
                    r#"{"time":47104872113,"op":90312,"process":"producer-1","type":"ok","f":"send","partition":"chaos/0","value":1207,"offset":1188}"#.to_owned(),
                ],
            }],
        }],
        allowed: [("lost-write with acks=1".to_owned(), 37), ("duplicate".to_owned(), 5)].into(),
        sends: [
            ("all".to_owned(), tally(70_214, 68_330, 3, 0)),
            ("1".to_owned(), tally(35_107, 34_266, 37, 5)),
        ]
        .into(),
        unchecked: vec!["transactions: the target offers none".to_owned()],
    }
}

fn matrix() -> Matrix {
    let faults = [
        "leader killed",
        "all nodes killed",
        "leader loses power",
        "all nodes lose power",
        "leader's disk lost",
    ];
    let mut cells = Vec::new();
    for (acks, lost) in [
        ("0", [[412, 96, 530, 1220, 611], [405, 120, 577, 9140, 640]]),
        ("1", [[37, 0, 41, 3, 52], [35, 0, 88, 7713, 61]]),
        ("all", [[0, 0, 0, 0, 0], [0, 0, 0, 6120, 0]]),
    ] {
        for (flush, lost) in ["each message", "page cache"].into_iter().zip(lost) {
            for (number, (fault, lost)) in faults.iter().zip(lost).enumerate() {
                let acknowledged = 39_000 + 137 * u64::try_from(number).unwrap();
                cells.push(Cell {
                    acks: acks.to_owned(),
                    flush: flush.to_owned(),
                    fault: (*fault).to_owned(),
                    rounds: 20,
                    rounds_with_loss: u32::from(lost > 0) * 17,
                    tally: Tally {
                        sent: 40_000,
                        acknowledged,
                        found: acknowledged - lost,
                        lost,
                        duplicated: 0,
                    },
                });
            }
        }
    }
    Matrix { cells }
}
