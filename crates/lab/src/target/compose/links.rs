//! Broken links: rules inside the network namespaces of the containers, put there from outside.
//!
//! Owns the rules' text and their way into the kernel. A rule stands where packets arrive and tells them by the sender's address: so one
//! direction can be broken alone, and clients, which come through the engine's gateway, reach every node all the same.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::target::{LinkFault, Outcome, TargetError, bounded};

const PATIENCE: Duration = Duration::from_secs(10);
/// The table of nftables and the chain of iptables.
const NAME: &str = "steadfast-lab";

/// What shall not arrive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule {
    pub(super) from: IpAddr,
    pub(super) fault: LinkFault,
}

/// Which program speaks to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Firewall {
    Nft,
    Iptables,
}

impl Firewall {
    /// What this machine has, or why links cannot be broken from it.
    pub(super) fn find() -> Result<Self, String> {
        // The owner of one's own directory there is the effective user.
        if !std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            return Err("rules in the containers' networks need root; run the lab as root".into());
        }
        if !bounded::exists("nsenter") {
            return Err("there is no nsenter in PATH; install util-linux".to_owned());
        }
        if bounded::exists("nft") {
            Ok(Self::Nft)
        } else if bounded::exists("iptables-restore") {
            Ok(Self::Iptables)
        } else {
            Err("there is neither nft nor iptables in PATH; install nftables".to_owned())
        }
    }

    /// Makes these and no other rules stand in a namespace, in one step.
    pub(super) fn apply(self, what: &str, namespace: &Path, rules: &[Rule]) -> Outcome {
        if !namespace.exists() {
            let reason = format!(
                "{} is not on this machine; run the lab where the Docker engine runs",
                namespace.display()
            );
            return Err(TargetError::new(what, reason));
        }
        let enter = |program: &[&str]| {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={}", namespace.display())).arg("--").args(program);
            command
        };
        let (mut command, script) = match self {
            Self::Nft => (enter(&["nft", "-f", "-"]), nft_script(rules)),
            Self::Iptables => {
                let check = &mut enter(&["iptables", "-w", "-C", "INPUT", "-j", NAME]);
                let is_linked = bounded::run(what, check, PATIENCE).is_ok();
                let link = if is_linked { String::new() } else { format!("-I INPUT -j {NAME}\n") };
                let script =
                    iptables_script(&link, rules).map_err(|r| TargetError::new(what, r))?;
                (enter(&["iptables-restore", "-w", "--noflush"]), script)
            }
        };
        bounded::run_with_input(what, &mut command, &script, PATIENCE).map(drop)
    }
}

fn nft_script(rules: &[Rule]) -> String {
    // To name a table before it is deleted makes it exist: the first time too, this is one transaction.
    let mut script = format!("add table inet {NAME}\ndelete table inet {NAME}\n");
    if rules.is_empty() {
        return script;
    }
    let _ = writeln!(script, "table inet {NAME} {{\nchain links {{");
    script.push_str("type filter hook input priority 0; policy accept;\n");
    for Rule { from, fault } in rules {
        let family = if from.is_ipv4() { "ip" } else { "ip6" };
        let share = match fault {
            LinkFault::Cut => String::new(),
            LinkFault::Lossy(percent) => format!("numgen random mod 100 < {percent} "),
        };
        let _ = writeln!(script, "{family} saddr {from} {share}drop");
    }
    script.push_str("}\n}\n");
    script
}

fn iptables_script(link: &str, rules: &[Rule]) -> Result<String, String> {
    // To declare a chain empties it.
    let mut script = format!("*filter\n:{NAME} - [0:0]\n{link}");
    for Rule { from, fault } in rules {
        if from.is_ipv6() {
            return Err("IPv6 between the containers needs nft; install nftables".to_owned());
        }
        let share = match fault {
            LinkFault::Cut => String::new(),
            LinkFault::Lossy(percent) => {
                format!("-m statistic --mode random --probability 0.{percent:02} ")
            }
        };
        let _ = writeln!(script, "-A {NAME} -s {from} {share}-j DROP");
    }
    script.push_str("COMMIT\n");
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> [Rule; 2] {
        let from = |last| IpAddr::from([10, 0, 0, last]);
        [
            Rule { from: from(2), fault: LinkFault::Cut },
            Rule { from: from(3), fault: LinkFault::Lossy(5) },
        ]
    }

    #[test]
    fn rules_drop_by_the_senders_address_all_or_a_share() {
        let nft = nft_script(&rules());
        assert!(nft.contains("\nip saddr 10.0.0.2 drop\n"), "{nft}");
        assert!(nft.contains("\nip saddr 10.0.0.3 numgen random mod 100 < 5 drop\n"), "{nft}");
        let iptables = iptables_script("", &rules()).unwrap();
        assert!(iptables.contains("\n-A steadfast-lab -s 10.0.0.2 -j DROP\n"), "{iptables}");
        assert!(iptables.contains("--probability 0.05 -j DROP\n"), "{iptables}");
    }

    /// A namespace without anything in it, gone when dropped.
    struct Namespace(String);

    impl Drop for Namespace {
        fn drop(&mut self) {
            let _gone = Command::new("ip").args(["netns", "delete", &self.0]).output();
        }
    }

    #[test]
    fn either_firewall_replaces_its_rules_and_lifts_them() {
        if let Err(reason) = Firewall::find() {
            eprintln!("skipped: {reason}");
            return;
        }
        let namespace = Namespace(format!("steadfast-lab-{}", std::process::id()));
        let add = &mut Command::new("ip");
        bounded::run("add", add.args(["netns", "add", &namespace.0]), PATIENCE).unwrap();
        let path = Path::new("/run/netns").join(&namespace.0);
        let nft: &[&str] = &["nft", "list", "ruleset"];
        for (firewall, list) in [(Firewall::Nft, nft), (Firewall::Iptables, &["iptables", "-S"])] {
            if !bounded::exists(list[0]) {
                eprintln!("{}: skipped: not there", list[0]);
                continue;
            }
            let listed = || {
                let enter = &mut Command::new("ip");
                enter.args(["netns", "exec", &namespace.0]).args(list);
                bounded::run("list", enter, PATIENCE).unwrap()
            };
            firewall.apply("try", &path, &rules()).unwrap();
            let both = listed();
            assert!(both.contains("10.0.0.2") && both.contains("10.0.0.3"), "{both}");
            firewall.apply("try", &path, &rules()[1..]).unwrap();
            let second = listed();
            assert!(!second.contains("10.0.0.2") && second.contains("10.0.0.3"), "{second}");
            assert!(second.matches("-j steadfast-lab").count() <= 1, "{second}");
            firewall.apply("try", &path, &[]).unwrap();
            assert!(!listed().contains("10.0.0."), "{}", listed());
        }
    }

    #[test]
    fn no_rules_leave_nothing_behind() {
        assert!(!nft_script(&[]).contains('{'));
    }
}
