//! Which faults a target can do, asked once before a run.

use super::fault::Fault;
use crate::target::Target;

/// The faults that this target can do, and those that it cannot, each with the reason.
pub(crate) fn available(target: &dyn Target) -> (Vec<Fault>, Vec<(Fault, String)>) {
    let mut can = Vec::new();
    let mut cannot = Vec::new();
    for fault in Fault::all() {
        match obstacle(fault, target) {
            None => can.push(fault),
            Some(reason) => cannot.push((fault, reason)),
        }
    }
    (can, cannot)
}

fn obstacle(fault: Fault, target: &dyn Target) -> Option<String> {
    let count = target.nodes().len();
    if count < fault.min_nodes() {
        return Some(format!("needs {} nodes, there are {count}", fault.min_nodes()));
    }
    let lacks = fault.needs().iter().find_map(|means| target.lacks(*means));
    lacks.or_else(|| target.lacks_single_links().filter(|_| fault.breaks_single_links()))
}
