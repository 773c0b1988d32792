//! How requests name topics: by name, and from some version on by id.

use controller::metadata::{Image, Topic};
use model::{ErrorCode, TopicId};

/// A topic as a request names it.
#[derive(Clone, Copy, Debug)]
pub(super) enum NamedTopic<'a> {
    /// By its name.
    Name(&'a str),
    /// By its id.
    Id(TopicId),
}

impl NamedTopic<'_> {
    /// Finds the topic in an image.
    ///
    /// # Errors
    /// The code that says that there is none, which depends on how it was named.
    pub(super) fn find(self, image: &Image) -> Result<&Topic, ErrorCode> {
        match self {
            Self::Name(name) => image.topic_by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition),
            Self::Id(id) => image.topic(id).ok_or(ErrorCode::UnknownTopicId),
        }
    }

    /// Finds the topic's id in an image.
    ///
    /// # Errors
    /// As [`Self::find`].
    pub(super) fn id(self, image: &Image) -> Result<TopicId, ErrorCode> {
        self.find(image).map(|topic| topic.topic_id)
    }
}
