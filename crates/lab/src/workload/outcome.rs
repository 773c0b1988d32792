//! What an error of librdkafka says about the fate of a record or of a commit.
//!
//! Follows the table of Jepsen's Kafka client, and is stricter where librdkafka sends again by itself: the error that it reports is that
//! of the last attempt, and an earlier one may have been answered NOT_LEADER_OR_FOLLOWER, which with acks=all leaves the record's fate open
//! (KAFKA-13574). librdkafka repeats after that answer whatever `retries` says. So only refusals that hold for every attempt are definite,
//! and those of one attempt where there was no retry and no leader that waited for followers.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::native::{self, Persistence};
use super::plan::Retries;
use crate::history::{Acks, Kind};

/// How many attempts at a send may have left something behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attempts {
    One,
    Many,
}

impl Attempts {
    pub(super) fn of(acks: Acks, retries: Retries) -> Self {
        match (acks, retries) {
            (Acks::Zero | Acks::One, Retries::Never) => Self::One,
            _ => Self::Many,
        }
    }
}

/// What became of a record whose delivery report carries an error.
pub(super) fn of_send(error: &KafkaError, persistence: Persistence, attempts: Attempts) -> Kind {
    let Some(code) = error.rdkafka_error_code() else {
        return Kind::Info;
    };
    match (persistence, weight(code)) {
        (Persistence::Not, Weight::EveryAttempt) => Kind::Fail,
        (Persistence::Not, Weight::ThisAttempt) if attempts == Attempts::One => Kind::Fail,
        _ => Kind::Info,
    }
}

/// What became of a commit of offsets. librdkafka repeats it by itself, so only what it refused to send is definite.
pub(super) fn of_commit(error: &KafkaError) -> Kind {
    match error.rdkafka_error_code() {
        Some(Code::NoOffset | Code::AssignmentLost | Code::UnsupportedFeature) => Kind::Fail,
        _ => Kind::Info,
    }
}

/// Whether the transaction that a commit failed for is certainly not committed. A fenced producer does not know: a coordinator that timed
/// out is told so as well.
pub(super) fn of_transaction_commit(error: &KafkaError) -> Kind {
    match error.rdkafka_error_code() {
        Some(Code::InvalidTransactionalState) => Kind::Fail,
        _ => Kind::Info,
    }
}

/// Librdkafka's name of an error, as histories carry it.
pub(super) fn name(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), native::error_name)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    /// Would have been refused in every attempt.
    EveryAttempt,
    /// This attempt was refused before anything was appended.
    ThisAttempt,
    /// Says nothing.
    None,
}

fn weight(code: Code) -> Weight {
    match code {
        Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::InvalidTopic
        | Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidRequiredAcks
        | Code::InvalidTimestamp
        | Code::InvalidRecord
        | Code::UnsupportedForMessageFormat
        | Code::PolicyViolation => Weight::EveryAttempt,
        Code::NotEnoughReplicas
        | Code::UnknownTopicOrPartition
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::InvalidProducerEpoch
        | Code::ProducerFenced
        | Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
        | Code::InvalidMessage
        | Code::MessageTimedOut
        | Code::TimedOutQueue
        | Code::PurgeQueue => Weight::ThisAttempt,
        _ => Weight::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(code: Code, persistence: Persistence, attempts: Attempts) -> Kind {
        of_send(&KafkaError::MessageProduction(code), persistence, attempts)
    }

    #[test]
    fn a_refusal_of_the_only_attempt_is_definite_and_one_after_retries_is_not() {
        let code = Code::NotEnoughReplicas;
        assert_eq!(send(code, Persistence::Not, Attempts::One), Kind::Fail);
        assert_eq!(send(code, Persistence::Not, Attempts::Many), Kind::Info);
        let code = Code::MessageSizeTooLarge;
        assert_eq!(send(code, Persistence::Not, Attempts::Many), Kind::Fail);
    }

    #[test]
    fn what_may_be_in_the_log_is_unknown_whatever_the_last_error_says() {
        for code in [Code::NotEnoughReplicas, Code::MessageTimedOut, Code::TopicAuthorizationFailed]
        {
            assert_eq!(send(code, Persistence::Possibly, Attempts::One), Kind::Info);
        }
    }

    #[test]
    fn a_leader_that_is_none_and_a_lack_of_replicas_after_the_append_leave_it_open() {
        for code in [
            Code::NotLeaderForPartition,
            Code::NotEnoughReplicasAfterAppend,
            Code::RequestTimedOut,
            Code::BrokerTransportFailure,
        ] {
            assert_eq!(send(code, Persistence::Not, Attempts::One), Kind::Info);
        }
    }

    #[test]
    fn with_acks_all_a_leader_may_have_appended_before_the_attempt_that_is_answered() {
        assert_eq!(Attempts::of(Acks::All, Retries::Never), Attempts::Many);
        assert_eq!(Attempts::of(Acks::One, Retries::Never), Attempts::One);
    }

    #[test]
    fn errors_bear_the_names_of_librdkafka() {
        assert_eq!(native::error_name(Code::MessageTimedOut), "_MSG_TIMED_OUT");
        assert_eq!(native::error_name(Code::NotEnoughReplicas), "NOT_ENOUGH_REPLICAS");
    }
}
