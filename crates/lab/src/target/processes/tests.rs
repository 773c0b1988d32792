//! Clusters of fake nodes, each test in a sandbox of its own; a machine that cannot says by name what it lacks.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::*;
use crate::target::{BrokenLink, LinkFault, Means, SyncFault, Target as _};

/// Runs a test inside a sandbox: this very program again, with this test alone.
fn in_sandbox(test: &str, body: impl FnOnce(&Path)) {
    match enter_for_test() {
        Sandbox::Plain(reasons) => eprintln!("skipped {test}: {}", reasons.join("; ")),
        Sandbox::Full if std::env::var_os(sandbox::MARK).is_some() => {
            let directory = tempfile::tempdir().unwrap();
            body(directory.path());
        }
        Sandbox::Full => {
            let name = format!("target::processes::tests::{test}");
            let program = std::env::current_exe().unwrap();
            let output = sandbox::command(program)
                .args([&name, "--exact", "--nocapture", "--include-ignored"])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let complained = String::from_utf8_lossy(&output.stderr).into_owned();
            eprint!("{complained}");
            assert!(output.status.success(), "{said}{complained}");
            assert!(said.contains("1 passed"), "{name} was not run: {said}");
        }
    }
}

fn enter_for_test() -> Sandbox {
    if std::env::var_os(sandbox::MARK).is_some() {
        return Sandbox::Full;
    }
    let reasons = sandbox::missing();
    if reasons.is_empty() { Sandbox::Full } else { Sandbox::Plain(reasons) }
}

/// Nodes that run this script of a shell.
fn fakes(directory: &Path, nodes: u32, script: &str) -> Processes {
    let text =
        format!("name = \"fake\"\nclient_port = 9092\nstart = [\"sh\", \"-c\", '''{script}''']\n");
    let options = ProcessesOptions {
        nodes,
        directory: directory.join("run"),
        disk_mebibytes: 16,
        variables: BTreeMap::new(),
        clocks: Clocks::True,
    };
    Processes::new(Description::parse("fake", &text).unwrap(), options, Sandbox::Full).unwrap()
}

fn lacks(cluster: &Processes, test: &str, means: Means) -> bool {
    let reason = cluster.lacks(means);
    if let Some(reason) = &reason {
        eprintln!("skipped {test}: {reason}");
    }
    reason.is_some()
}

fn data(cluster: &Processes, id: NodeId) -> PathBuf {
    locked(&cluster.node(id).unwrap()).disk.data()
}

fn soon(mut done: impl FnMut() -> bool) -> bool {
    tools::wait_until(Duration::from_secs(10), &mut done)
}

const IDLE: &str = "exec sleep 1000";

#[test]
fn a_loss_of_power_loses_what_was_not_synced_and_keeps_the_rest() {
    let test = "a_loss_of_power_loses_what_was_not_synced_and_keeps_the_rest";
    in_sandbox(test, |directory| {
        let script = "cd {data}; [ -e synced ] || { echo a >synced; sync synced .; echo b >lost; }; : >{dir}/done; exec sleep 1000";
        let cluster = fakes(directory, 2, script);
        if lacks(&cluster, test, Means::Power) {
            return;
        }
        for id in [1, 2] {
            cluster.start(id).unwrap();
            let done = node::directory(&cluster.options.directory, id).join("done");
            assert!(soon(|| done.exists()));
            assert!(data(&cluster, id).join("lost").exists());
        }
        cluster.cut_power(&[1, 2]).unwrap();
        assert!(!cluster.is_running(1) && !cluster.is_running(2));
        cluster.start(1).unwrap();
        assert_eq!(std::fs::read_to_string(data(&cluster, 1).join("synced")).unwrap(), "a\n");
        let lost = std::fs::read_to_string(data(&cluster, 1).join("lost")).unwrap_or_default();
        assert_eq!(lost, "");
    });
}

#[test]
fn a_full_disk_takes_no_byte_until_it_is_freed() {
    let test = "a_full_disk_takes_no_byte_until_it_is_freed";
    in_sandbox(test, |directory| {
        let cluster = fakes(directory, 1, IDLE);
        if lacks(&cluster, test, Means::FullDisk) {
            return;
        }
        cluster.start(1).unwrap();
        cluster.fill_disk(1).unwrap();
        let file = data(&cluster, 1).join("file");
        let error = std::fs::write(&file, "x").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
        cluster.free_disk(1).unwrap();
        std::fs::write(&file, "x").unwrap();
        cluster.kill(1).unwrap();
        cluster.wipe(1).unwrap();
        assert!(!file.exists());
    });
}

#[test]
fn a_failing_sync_reaches_the_node() {
    let test = "a_failing_sync_reaches_the_node";
    in_sandbox(test, |directory| {
        let cluster = fakes(directory, 1, "while sync {data}; do sleep 0.05; done");
        if lacks(&cluster, test, Means::DiskErrors) {
            return;
        }
        cluster.start(1).unwrap();
        cluster.disturb_syncs(1, Some(SyncFault::Slow(Duration::from_millis(1)))).unwrap();
        assert!(cluster.is_running(1));
        cluster.disturb_syncs(1, Some(SyncFault::Fail)).unwrap();
        assert!(soon(|| !cluster.is_running(1)));
        let output = std::fs::read_to_string(cluster.output_of(1)).unwrap();
        assert!(output.contains("Input/output error"), "{output}");
        cluster.heal().unwrap();
        assert!(cluster.is_running(1));
    });
}

/// Whether a node reaches another's port.
fn reaches(from: NodeId, to: NodeId) -> bool {
    let connect = format!("exec 3<>/dev/tcp/{}/9092", network::address(to));
    let mut words = network::enter(from).to_vec();
    words.extend(["timeout", "1", "bash", "-c", &connect].map(str::to_owned));
    tools::run(Command::new(&words[0]).args(&words[1..])).is_ok()
}

#[test]
fn a_cut_link_drops_what_passes_and_the_lab_reaches_every_node() {
    let test = "a_cut_link_drops_what_passes_and_the_lab_reaches_every_node";
    in_sandbox(test, |directory| {
        if tools::find("python3").is_none() {
            eprintln!("skipped {test}: python3 is not installed");
            return;
        }
        let cluster = fakes(directory, 3, "exec python3 -m http.server 9092 --bind {host}");
        if lacks(&cluster, test, Means::Links) || lacks(&cluster, test, Means::SlowLinks) {
            return;
        }
        cluster.start_all(Duration::from_secs(20)).unwrap();
        assert!(reaches(1, 2) && reaches(2, 1) && reaches(1, 3));
        cluster.break_links(&[BrokenLink { from: 1, to: 2, fault: LinkFault::Cut }]).unwrap();
        assert!(!reaches(1, 2));
        assert!(reaches(1, 3) && reaches(3, 2));
        let address = cluster.client_address(2).unwrap();
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).unwrap();
        cluster.limit_bandwidth(1, Some(512)).unwrap();
        cluster.heal().unwrap();
        assert!(reaches(1, 2));
        let added = cluster.add_node().unwrap();
        assert_eq!(added, 4);
        assert!(soon(|| reaches(1, 4)));
        cluster.remove_node(4).unwrap();
        assert!(cluster.remove_node(1).is_err());
    });
}

/// Does something in a node's network, in a thread of its own: a socket that it makes stays there.
fn inside<T: Send>(node: NodeId, act: impl FnOnce() -> T + Send) -> T {
    let enter = || {
        let network = std::fs::File::open(format!("/run/netns/node-{node}")).unwrap();
        let kind = rustix::thread::LinkNameSpaceType::Network;
        rustix::thread::move_into_link_name_space(network.as_fd(), Some(kind)).unwrap();
        act()
    };
    std::thread::scope(|scope| scope.spawn(enter).join()).unwrap()
}

/// How many of so many datagrams from node 1 arrive at node 2.
fn arrived(count: usize) -> usize {
    const AT_ONCE: usize = 50;
    let bind = |node, port| {
        let address = SocketAddr::new(IpAddr::V4(network::address(node)), port);
        inside(node, || std::net::UdpSocket::bind(address).unwrap())
    };
    let (sender, receiver) = (bind(1, 0), bind(2, 9092));
    sender.connect(receiver.local_addr().unwrap()).unwrap();
    receiver.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut arrived = 0;
    // Not more at once than the receiver's buffer holds, so that only the link can lose any.
    for _ in 0..count / AT_ONCE {
        for _ in 0..AT_ONCE {
            sender.send(b"x").unwrap();
        }
        arrived += std::iter::from_fn(|| receiver.recv(&mut [0]).ok()).take(AT_ONCE).count();
    }
    arrived
}

#[test]
fn a_lossy_link_loses_the_share_that_was_asked_for() {
    let test = "a_lossy_link_loses_the_share_that_was_asked_for";
    in_sandbox(test, |directory| {
        let cluster = fakes(directory, 2, IDLE);
        if lacks(&cluster, test, Means::Links) {
            return;
        }
        assert_eq!(arrived(500), 500);
        let link = |fault| BrokenLink { from: 1, to: 2, fault };
        cluster.break_links(&[link(LinkFault::Lossy(30))]).unwrap();
        let arrived = arrived(2_000);
        eprintln!("{test}: {arrived} of 2,000 datagrams arrived, 30 % were to be lost");
        // Five standard deviations.
        assert!((1_298..1_503).contains(&arrived), "{arrived}");
    });
}

/// How fast so many bytes go from node 1 to node 2, in kilobits per second.
fn kilobits_per_second(bytes: usize) -> f64 {
    let address = SocketAddr::new(IpAddr::V4(network::address(2)), 9092);
    let listener = inside(2, || std::net::TcpListener::bind(address).unwrap());
    let mut sender = inside(1, || std::net::TcpStream::connect(address).unwrap());
    let (mut receiver, _) = listener.accept().unwrap();
    let began = std::time::Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::io::Write::write_all(&mut sender, &vec![0; bytes]).unwrap();
        });
        std::io::Read::read_to_end(&mut receiver, &mut Vec::new()).unwrap();
    });
    bytes as f64 * 8.0 / 1000.0 / began.elapsed().as_secs_f64()
}

#[test]
fn a_slow_link_carries_no_more_than_its_bandwidth() {
    let test = "a_slow_link_carries_no_more_than_its_bandwidth";
    in_sandbox(test, |directory| {
        let cluster = fakes(directory, 2, IDLE);
        if lacks(&cluster, test, Means::SlowLinks) {
            return;
        }
        let free = kilobits_per_second(1 << 20);
        cluster.limit_bandwidth(1, Some(4_096)).unwrap();
        let bounded = kilobits_per_second(1 << 20);
        eprintln!("{test}: {free:.0} kbit/s, bounded to 4,096: {bounded:.0}");
        assert!(bounded < 4_096.0 * 1.1 && bounded > 4_096.0 * 0.3, "{bounded}");
        assert!(free > bounded * 5.0, "{free} {bounded}");
        cluster.limit_bandwidth(1, None).unwrap();
        assert!(kilobits_per_second(1 << 20) > bounded * 5.0);
    });
}

#[test]
fn signals_do_what_their_names_say() {
    in_sandbox("signals_do_what_their_names_say", |directory| {
        let cluster = fakes(
            directory,
            1,
            "trap 'echo asked; exit 0' TERM; : >{dir}/up; while :; do sleep 0.05; done",
        );
        cluster.start(1).unwrap();
        let up = node::directory(&cluster.options.directory, 1).join("up");
        assert!(soon(|| up.exists()));
        cluster.pause(1).unwrap();
        let state = || {
            let pid = locked(&cluster.node(1).unwrap()).pid().unwrap();
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
            stat.unwrap().split(' ').nth(2).unwrap().to_owned()
        };
        assert!(soon(|| state() == "T"));
        cluster.resume(1).unwrap();
        assert!(soon(|| state() != "T"));
        cluster.terminate(1, Duration::from_secs(10)).unwrap();
        assert_eq!(std::fs::read_to_string(cluster.output_of(1)).unwrap(), "asked\n");
        assert!(!cluster.is_running(1));
        cluster.start(1).unwrap();
        cluster.kill(1).unwrap();
        assert!(!cluster.is_running(1));
    });
}

#[test]
fn a_flipped_bit_lies_in_a_closed_segment_and_is_one() {
    let data = tempfile::tempdir().unwrap();
    let partition = data.path().join("orders-0");
    for directory in [&partition, &data.path().join("orders-eu-0")] {
        std::fs::create_dir(directory).unwrap();
        std::fs::write(directory.join("00.log"), [0; 100]).unwrap();
        std::fs::write(directory.join("99.log"), [0; 100]).unwrap();
    }
    let place = bit_flip::flip(data.path(), "orders", 7).unwrap();
    assert!(place.starts_with("orders-0/00.log, byte "), "{place}");
    let content = std::fs::read(partition.join("00.log")).unwrap();
    assert_eq!(content.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
    assert!(bit_flip::flip(data.path(), "payments", 7).is_err());
}

#[test]
fn placeholders_are_filled_in_and_other_braces_stay() {
    let values = BTreeMap::from([("node".to_owned(), "2".to_owned())]);
    assert_eq!(
        fill_in("id={node} %d{ISO8601} %c{1} {", &values).unwrap(),
        "id=2 %d{ISO8601} %c{1} {"
    );
    assert!(fill_in("{nod}", &values).unwrap_err().to_string().contains("there are node"));
}

#[test]
fn the_built_in_target_files_are_read_and_say_what_they_need() {
    for (name, missing) in [("steadfast", "binary"), ("kafka", "jars")] {
        let description = Description::built_in(name).unwrap().unwrap();
        let error = description.settle(&BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains(&format!("--set {missing}=")), "{error}");
    }
    assert!(Description::built_in("other").is_none());
}

/// The broker that `STEADFAST_BIN` names.
#[test]
fn three_nodes_start_and_serve_and_come_back_after_a_loss_of_power() {
    let test = "three_nodes_start_and_serve_and_come_back_after_a_loss_of_power";
    let Ok(binary) = std::env::var("STEADFAST_BIN") else {
        eprintln!("{test}: skipped, STEADFAST_BIN names no broker");
        return;
    };
    let binary = std::path::absolute(binary).unwrap().display().to_string();
    in_sandbox(test, |directory| {
        let options = ProcessesOptions {
            nodes: 3,
            directory: directory.join("run"),
            disk_mebibytes: 512,
            variables: BTreeMap::from([("binary".to_owned(), binary)]),
            clocks: Clocks::True,
        };
        let description = Description::built_in("steadfast").unwrap().unwrap();
        let cluster = Processes::new(description, options, Sandbox::Full).unwrap();
        let began = std::time::Instant::now();
        cluster.start_all(Duration::from_secs(90)).unwrap();
        eprintln!("{}: serves after {:?}", cluster.describe(), began.elapsed());
        assert!(soon(|| cluster.controller().is_some()));
        eprintln!("controller {:?}, {}", cluster.controller(), cluster.bootstrap());
        cluster.cut_power(&[1, 2, 3]).unwrap();
        cluster.start_all(Duration::from_secs(90)).unwrap();
        assert!(soon(|| cluster.controller().is_some()));
        let added = cluster.add_node().unwrap();
        cluster.wait_ready(added, Duration::from_secs(60)).unwrap();
        cluster.stop_all();
        assert!(!cluster.is_running(1));
    });
}
