//! Names of groups and their members.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use model::TopicId;

macro_rules! names {
    ($($(#[$meta:meta])* $name:ident)+) => {$(
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    )+};
}
pub(crate) use names;

names! {
    /// A consumer group's id. Empty is legal for commits and fetches of offsets alone (old clients without membership).
    GroupId
    /// A member's id, drawn by the coordinator: the client's id, a dash and a random UUID.
    MemberId
    /// A static member's own name (`group.instance.id`, KIP-345).
    GroupInstanceId
    /// A topic's name.
    TopicName
}

/// A topic as committed offsets name it. A topic that is deleted and created again has its name, but another id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicIdentity {
    /// The name.
    pub name: TopicName,
    /// The id; `None` when a record does not tell it: one of an older broker, or of a commit with a time of its own to expire.
    pub id: Option<TopicId>,
}

/// Number of a group's rebalance: 0 before the first, then ascending.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct GenerationId(pub i32);

impl fmt::Display for GenerationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
