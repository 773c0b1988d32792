//! The end of a group: DeleteGroups, and groups that hold nothing any more.

use model::ErrorCode;

use super::classic_group::{Group, Phase};
use super::record::GroupRecord;
use super::turn::Turn;

/// Answers a DeleteGroups for this group.
pub(super) fn delete(group: &mut Group, turn: &mut Turn<'_>) -> ErrorCode {
    if !group.is_known() {
        return ErrorCode::GroupIdNotFound;
    }
    if group.phase != Phase::Empty {
        return ErrorCode::NonEmptyGroup;
    }
    remove(group, turn);
    ErrorCode::None
}

/// Removes a group without members and offsets. Whoever was given an id may still come.
pub(super) fn delete_if_idle(group: &mut Group, turn: &mut Turn<'_>) {
    if group.phase == Phase::Empty && group.pending.is_empty() && group.offsets.is_empty() {
        remove(group, turn);
    }
}

/// Writes the tombstones of all that the log holds of the group, and has it removed.
fn remove(group: &mut Group, turn: &mut Turn<'_>) {
    let tombstones = group.offsets.tombstones(&group.id);
    group.write_offsets(tombstones, turn);
    if group.logged.is_some() {
        group.set_logged(None, turn.totals);
        turn.append(GroupRecord::Group { group_id: group.id.clone(), value: None });
    }
    turn.remove_group();
}
