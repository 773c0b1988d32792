//! DeleteTopics (key 20).

use model::{ErrorCode, TopicId};

use crate::codec::KafkaString;

message! {
    /// Asks for topics to be deleted.
    DeleteTopicsRequest {
        /// The topics, by name or by id.
        topics: Vec<DeleteTopicState> [6+],
        /// Names of the topics.
        topic_names: Vec<KafkaString> [0-5],
        /// Milliseconds that the answer may take.
        timeout_ms: i32 [0+],
    }

    /// A topic to delete.
    DeleteTopicState {
        /// Name of the topic, null when it is given by id.
        name: Option<KafkaString> [6+],
        /// Id of the topic, zero when it is given by name.
        topic_id: TopicId [6+],
    }

    /// Says what became of the topics.
    DeleteTopicsResponse {
        /// Milliseconds for which the client has been throttled.
        throttle_time_ms: i32 [1+],
        /// The topics of the request.
        responses: Vec<DeletableTopicResult> [0+],
    }

    /// A topic of the request.
    DeletableTopicResult {
        /// Name of the topic; null when it was given by an id that does not exist.
        name: Option<KafkaString> [0+, null 6+],
        /// Id of the topic.
        topic_id: TopicId [6+],
        /// Error of this topic.
        error_code: ErrorCode [0+] = ErrorCode::None,
        /// What went wrong, for a reader.
        error_message: Option<KafkaString> [5+],
    }
}
