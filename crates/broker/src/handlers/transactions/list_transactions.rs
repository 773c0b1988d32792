//! ListTransactions: the transactional ids that this broker coordinates, for tools (KIP-664).

use std::collections::BTreeSet;
use std::time::Duration;

use coordinator::transaction::request::ListTransactions;
use coordinator::transaction::state;
use model::{ErrorCode, ProducerId};
use protocol::messages::list_transactions::TransactionState;
use protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use protocol::transaction_log::TransactionStatus;
use protocol::{KafkaString, VersionRange};
use regex::{Regex, RegexBuilder};

use crate::context::{Call, Context};
use crate::error_code::ToErrorCode as _;

pub(crate) const VERSIONS: VersionRange = VersionRange { min: 0, max: 2 };

pub(crate) async fn handle(
    context: &Context,
    call: &Call,
    request: ListTransactionsRequest,
) -> ListTransactionsResponse {
    let (states, unknown_state_filters) = states(&request.state_filters);
    let failed = |error_code| {
        context.count_error(call.api_key, error_code);
        ListTransactionsResponse { error_code, ..ListTransactionsResponse::default() }
    };
    let pattern = match request.transactional_id_pattern.as_deref() {
        None | Some("") => None,
        Some(pattern) => match whole(pattern) {
            Ok(pattern) => Some(pattern),
            Err(_) => return failed(ErrorCode::InvalidRegularExpression),
        },
    };
    let asked = ListTransactions {
        states,
        producer_ids: request.producer_id_filters.into_iter().map(ProducerId).collect(),
        open_longer_than: u64::try_from(request.duration_filter).ok().map(Duration::from_millis),
    };
    let listed = match context.coordinators.transactions().list(asked).await {
        Ok(listed) => listed,
        Err(refusal) => return failed(refusal.error_code()),
    };
    let is_wanted = |id: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(id));
    let listed = listed.into_iter().filter(|one| is_wanted(one.transactional_id.as_str()));
    let transaction_states = listed.map(|one| TransactionState {
        transactional_id: one.transactional_id.as_str().into(),
        producer_id: one.producer_id.0,
        transaction_state: one.state.name().into(),
    });
    ListTransactionsResponse {
        transaction_states: transaction_states.collect(),
        unknown_state_filters,
        ..ListTransactionsResponse::default()
    }
}

/// Parts a filter into the states that an id can be in (`None` for no filter) and the names that no state has.
fn states(filter: &[KafkaString]) -> (Option<BTreeSet<state::TransactionState>>, Vec<KafkaString>) {
    if filter.is_empty() {
        return (None, Vec::new());
    }
    let unknown = filter.iter().filter(|name| TransactionStatus::from_name(name).is_none());
    let states = filter.iter().filter_map(|name| state::TransactionState::from_name(name));
    (Some(states.collect()), unknown.cloned().collect())
}

/// Makes a pattern that a whole id must match. It is matched in time in proportion to the id, whatever it says.
fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(MAX_PATTERN_BYTES).build()
}

/// Most bytes that a pattern may take when it is compiled.
const MAX_PATTERN_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_state_has_are_told_and_match_nothing() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).into()).collect::<Vec<_>>();
        assert_eq!(states(&[]), (None, Vec::new()));
        let (known, unknown) = states(&names(&["Ongoing", "Dead", "Sleeping"]));
        assert_eq!(known, Some([state::TransactionState::Ongoing].into()));
        assert_eq!(unknown, names(&["Sleeping"]));
    }

    #[test]
    fn a_pattern_matches_whole_ids() {
        let pattern = whole("a|bc.*").unwrap();
        assert!(pattern.is_match("a") && pattern.is_match("bcd"));
        assert!(!pattern.is_match("ab") && !pattern.is_match("xbc"));
        assert!(whole("(").is_err());
        assert!(whole("((a{1000}){1000}){1000}").is_err(), "too large");
    }
}
