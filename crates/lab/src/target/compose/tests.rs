//! The target on a real engine: with a project, ports and volumes of its own, all of them taken away at the end.

use std::path::PathBuf;

use super::*;
use crate::target::LinkFault;

const PROJECT: &str = "steadfast-lab-test";
const PATIENCE: Duration = Duration::from_secs(60);

/// A copy of the cluster's file with ports of its own; none where there is no Docker, and the reason is printed.
fn own_file(scratch: &Path) -> Option<PathBuf> {
    let image = ["image", "inspect", "steadfast:latest"];
    if let Err(error) = docker("look for steadfast:latest", &image) {
        eprintln!("skipped: {error}");
        return None;
    }
    let given = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/docker/compose.yaml");
    let mut text = std::fs::read_to_string(given).unwrap();
    for node in 1..=3 {
        let port = format!("${{STEADFAST_PORT_{node}:-{}}}", 9091 + node);
        assert!(text.contains(&port), "{port}");
        text = text.replace(&port, &(21691 + node).to_string());
    }
    let file = scratch.join("compose.yaml");
    std::fs::write(&file, text).unwrap();
    Some(file)
}

fn rules(target: &Compose, node: NodeId) -> String {
    let namespace = target.container("look", node).unwrap().namespace().to_owned();
    let mut command = std::process::Command::new("nsenter");
    command.arg(format!("--net={}", namespace.display())).args(["nft", "list", "tables"]);
    let tables = command.output().unwrap();
    if !String::from_utf8_lossy(&tables.stdout).contains("inet steadfast-lab") {
        return String::new();
    }
    let mut command = std::process::Command::new("nsenter");
    command.arg(format!("--net={}", namespace.display()));
    command.args(["nft", "list", "table", "inet", "steadfast-lab"]);
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

/// A connection from one container to another's port for clients; the name is asked of the engine, the way is the network's.
fn reaches(target: &Compose, from: NodeId, to: NodeId) -> bool {
    let namespace = target.container("look", from).unwrap().namespace().to_owned();
    let address = target.container("look", to).unwrap().addresses()[0];
    let mut command = std::process::Command::new("nsenter");
    command.arg(format!("--net={}", namespace.display()));
    let script = format!("exec 3<>/dev/tcp/{address}/19092");
    command.args(["timeout", "1", "bash", "-c", &script]);
    command.output().unwrap().status.success()
}

#[test]
fn containers_are_killed_paused_cut_off_one_way_healed_and_wiped() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(file) = own_file(scratch.path()) else { return };
    let target = Compose::open(&file, Some(PROJECT)).unwrap();
    assert_eq!(target.nodes(), BTreeSet::from([1, 2, 3]));
    assert_eq!(target.bootstrap(), "localhost:21692,localhost:21693,localhost:21694");
    target.start_all(PATIENCE).unwrap();

    // Who comes later attaches, may not destroy what was there, and leaves it there.
    let second = Compose::open(&file, Some(PROJECT)).unwrap();
    assert!(second.lacks(Means::Files).unwrap().contains("before the lab"));
    assert!(second.wipe(1).is_err());
    drop(second);
    assert!(target.nodes().iter().all(|node| target.is_running(*node)));

    target.kill(1).unwrap();
    target.kill(1).unwrap();
    assert!(!target.is_running(1));
    target.start(1).unwrap();
    assert!(target.is_running(1));
    target.pause(2).unwrap();
    assert!(target.container("look", 2).unwrap().state.paused);
    target.resume(2).unwrap();
    assert!(!target.container("look", 2).unwrap().state.paused);
    target.terminate(3, PATIENCE).unwrap();
    assert!(!target.is_running(3));

    if let Some(reason) = target.lacks(Means::Links) {
        eprintln!("links: skipped: {reason}");
    } else {
        links_are_cut_one_way_and_stay_so_over_a_restart(&target);
    }

    assert_eq!(target.lacks(Means::Files), None);
    // Power, disks and clocks are the machine's.
    assert!(target.lacks(Means::Power).is_some());
    let data = target.container("look", 2).unwrap().mounts.remove(0).source;
    std::fs::create_dir(data.join("flipped-0")).unwrap();
    let mark = data.join("flipped-0/00000000000000000000.log");
    std::fs::write(&mark, [0; 8]).unwrap();
    target.flip_bit(2, "flipped", 1).unwrap();
    assert_ne!(std::fs::read(&mark).unwrap(), [0; 8]);
    target.wipe(2).unwrap();
    assert!(!target.is_running(2));
    assert!(!mark.exists());
    target.start_all(PATIENCE).unwrap();

    drop(target);
    let left = docker("look", &["ps", "-aq", "--filter", &format!("name={PROJECT}")]).unwrap();
    let volumes = docker("look", &["volume", "ls", "-q", "--filter", &format!("name={PROJECT}")]);
    assert_eq!((left.as_str(), volumes.unwrap().as_str()), ("", ""));
}

/// Takes the volumes of a project away, also when the test fails.
struct Volumes(Engine);

impl Drop for Volumes {
    fn drop(&mut self) {
        let _told_by_what_is_left = self.0.compose("clean up", &["down", "-v"]);
    }
}

#[test]
fn volumes_that_were_there_before_the_lab_outlive_it() {
    let scratch = tempfile::tempdir().unwrap();
    let Some(file) = own_file(scratch.path()) else { return };
    let project = Some("steadfast-lab-volumes-test");
    let users = Volumes(Engine::find(&file, project).unwrap());
    users.0.compose("create", &CREATE).unwrap();
    users.0.compose("take the containers away", &["down"]).unwrap();
    assert!(users.0.has_volumes().unwrap());

    let target = Compose::open(&file, project).unwrap();
    assert!(target.lacks(Means::Files).is_some());
    assert!(target.wipe(1).is_err());
    target.stop_all();
    assert_eq!(users.0.container("broker-1").unwrap(), None);
    assert!(users.0.has_volumes().unwrap());
}

fn links_are_cut_one_way_and_stay_so_over_a_restart(target: &Compose) {
    let cut = BrokenLink { from: 1, to: 2, fault: LinkFault::Cut };
    let lossy = BrokenLink { from: 2, to: 1, fault: LinkFault::Lossy(7) };
    target.start_all(PATIENCE).unwrap();
    assert!(reaches(target, 1, 2));
    target.break_links(&[cut]).unwrap();
    assert_eq!((rules(target, 1).as_str(), rules(target, 3).as_str()), ("", ""));
    assert!(!reaches(target, 1, 2));
    assert!(reaches(target, 3, 2));
    // The node on the lab's side of the port is not cut off.
    assert!(std::net::TcpStream::connect(target.client_address(2).unwrap()).is_ok());

    target.break_links(&[cut, lossy]).unwrap();
    for node in [1, 2] {
        target.kill(node).unwrap();
    }
    // In the other order, so that they may get each other's addresses.
    for node in [2, 1] {
        target.start(node).unwrap();
    }
    for (from, to, end) in [(1, 2, "drop"), (2, 1, "numgen random mod 100 < 7 drop")] {
        let address = target.container("look", from).unwrap().addresses()[0];
        let rules = rules(target, to);
        assert!(rules.contains(&format!("ip saddr {address} {end}")), "{rules}");
    }
    target.heal().unwrap();
    assert_eq!((rules(target, 1).as_str(), rules(target, 2).as_str()), ("", ""));
}
