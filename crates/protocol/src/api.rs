//! The one table of the APIs: key, name, versions, messages.
//!
//! It drives ApiVersions, the decoding of requests and the reference page, and the broker's dispatch is an exhaustive match over
//! its [`Request`]. Adding an API is one line here and its messages in a file under [`messages`](crate::messages).
//! What is `declared` and not `served` has messages, which clients may write, but is neither advertised nor decoded by a broker.

use std::fmt::{self, Write as _};

use crate::codec::{DecodeError, Layout, Problem, Reader, Wire, Writer};
use crate::messages::*;

/// Versions of an API, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VersionRange {
    /// The oldest version.
    pub min: i16,
    /// The newest version.
    pub max: i16,
}

impl VersionRange {
    /// Says whether a version is in the range.
    #[must_use]
    pub fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    /// Returns the newest version that lies in both ranges, if there is one.
    #[must_use]
    pub fn newest_common(self, other: Self) -> Option<i16> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max {
            write!(f, "{}", self.min)
        } else {
            write!(f, "{}-{}", self.min, self.max)
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Api {
    /// The API.
    pub key: ApiKey,
    /// Kafka's name.
    pub name: &'static str,
    /// The versions that are served.
    pub versions: VersionRange,
    /// The first version with the flexible layout, if there is one.
    pub flexible_from: Option<i16>,
}

/// A request or a response of an API.
pub trait ApiMessage: Wire + Default + Clone + fmt::Debug + PartialEq {
    /// The API.
    const API: ApiKey;
}

/// A request, which knows its response.
pub trait ApiRequest: ApiMessage {
    /// What answers it.
    type Response: ApiMessage;
}

macro_rules! apis {
    (served { $($served:tt)* } declared { $($declared:tt)* }) => {
        apis!(@table $($served)* $($declared)*);
        apis!(@served $($served)*);
        apis!(@rows
            #[cfg(test)]
            /// All APIs that are declared.
            pub(crate) DECLARED: $($served)* $($declared)*
        );
    };

    (@rows $(#[$meta:meta])* $visibility:vis $rows:ident: $(
        $key:literal $name:ident $min:literal - $max:literal $(flexible $flexible:literal +)?:
        $request:ident => $response:ident;
    )*) => {
        $(#[$meta])*
        $visibility const $rows: &[Api] = &[$(ApiKey::$name.api(),)*];
    };

    (@served $(
        $key:literal $name:ident $min:literal - $max:literal $(flexible $flexible:literal +)?:
        $request:ident => $response:ident;
    )*) => {
        /// All APIs that are served, in the order of their keys.
        pub const APIS: &[Api] = &[$(ApiKey::$name.api(),)*];

        impl ApiKey {
            /// Reads the wire's number; `None` when the API is not served.
            #[must_use]
            pub fn from_wire(key: i16) -> Option<Self> {
                match key {
                    $($key => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };

    (@table $(
        $key:literal $name:ident $min:literal - $max:literal $(flexible $flexible:literal +)?:
        $request:ident => $response:ident;
    )*) => {
        /// The APIs (Kafka's `ApiKeys`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ApiKey {
            $(#[doc = concat!("Key ", $key, ", versions ", $min, " to ", $max, ".")] $name = $key,)*
        }

        impl ApiKey {
            /// Returns the API's row of the table.
            #[must_use]
            pub const fn api(self) -> Api {
                match self {
                    $(Self::$name => Api {
                        key: Self::$name,
                        name: stringify!($name),
                        versions: VersionRange { min: $min, max: $max },
                        flexible_from: apis!(@flexible $($flexible)?),
                    },)*
                }
            }
        }

        apis!(@body Request "A request of ": $($name $request)*);
        apis!(@body Response "A response of ": $($name $response)*);
        // A broker reads requests and writes responses; tests want both ways of both.
        apis!(@read [] Request: $($name)*);
        apis!(@read [#[cfg(test)]] Response: $($name)*);
        apis!(@write [#[cfg(test)]] Request: $($name)*);
        apis!(@write [] Response: $($name)*);

        $(
            impl ApiRequest for $request {
                type Response = $response;
            }
        )*
    };

    (@flexible) => { None };
    (@flexible $flexible:literal) => { Some($flexible) };

    (@body $body:ident $what:literal: $($name:ident $message:ident)*) => {
        #[doc = concat!($what, "any API.")]
        #[derive(Clone, Debug, PartialEq)]
        pub enum $body {
            $(#[doc = concat!($what, stringify!($name), ".")] $name($message),)*
        }

        impl $body {
            /// Returns the API.
            #[must_use]
            pub fn api_key(&self) -> ApiKey {
                match self {
                    $(Self::$name(_) => ApiKey::$name,)*
                }
            }

            /// Draws a message that its version can carry.
            #[cfg(test)]
            pub(crate) fn sample(
                source: &mut crate::tests::sample::Source,
                key: ApiKey,
                version: i16,
            ) -> Self {
                match key {
                    $(ApiKey::$name => {
                        Self::$name(crate::tests::sample::Sample::sample(source, version))
                    })*
                }
            }
        }

        $(
            impl ApiMessage for $message {
                const API: ApiKey = ApiKey::$name;
            }

            impl From<$message> for $body {
                fn from(message: $message) -> Self {
                    Self::$name(message)
                }
            }
        )*
    };

    (@read [$(#[$when:meta])?] $body:ident: $($name:ident)*) => {
        $(#[$when])?
        impl $body {
            /// Reads the body of a message, behind its header. An error when the version is not served or the bytes are no such message.
            pub(crate) fn read(
                key: ApiKey,
                version: i16,
                reader: &mut Reader,
            ) -> Result<Self, DecodeError> {
                enter(key, version, reader)?;
                match key {
                    $(ApiKey::$name => Wire::read(reader).map(Self::$name),)*
                }
            }
        }
    };

    (@write [$(#[$when:meta])?] $body:ident: $($name:ident)*) => {
        $(#[$when])?
        impl $body {
            /// Writes the body, in the version and layout that the writer has been set to.
            pub(crate) fn write(&self, writer: &mut Writer) {
                match self {
                    $(Self::$name(message) => message.write(writer),)*
                }
            }
        }
    };
}

apis! {
    served {
        0 Produce 0-13 flexible 9+: ProduceRequest => ProduceResponse;
        1 Fetch 0-18 flexible 12+: FetchRequest => FetchResponse;
        2 ListOffsets 0-11 flexible 6+: ListOffsetsRequest => ListOffsetsResponse;
        3 Metadata 0-13 flexible 9+: MetadataRequest => MetadataResponse;
        8 OffsetCommit 0-10 flexible 8+: OffsetCommitRequest => OffsetCommitResponse;
        9 OffsetFetch 0-10 flexible 6+: OffsetFetchRequest => OffsetFetchResponse;
        10 FindCoordinator 0-6 flexible 3+: FindCoordinatorRequest => FindCoordinatorResponse;
        11 JoinGroup 0-9 flexible 6+: JoinGroupRequest => JoinGroupResponse;
        12 Heartbeat 0-4 flexible 4+: HeartbeatRequest => HeartbeatResponse;
        13 LeaveGroup 0-5 flexible 4+: LeaveGroupRequest => LeaveGroupResponse;
        14 SyncGroup 0-5 flexible 4+: SyncGroupRequest => SyncGroupResponse;
        15 DescribeGroups 0-6 flexible 5+: DescribeGroupsRequest => DescribeGroupsResponse;
        16 ListGroups 0-5 flexible 3+: ListGroupsRequest => ListGroupsResponse;
        18 ApiVersions 0-4 flexible 3+: ApiVersionsRequest => ApiVersionsResponse;
        19 CreateTopics 0-7 flexible 5+: CreateTopicsRequest => CreateTopicsResponse;
        20 DeleteTopics 0-6 flexible 4+: DeleteTopicsRequest => DeleteTopicsResponse;
        21 DeleteRecords 0-2 flexible 2+: DeleteRecordsRequest => DeleteRecordsResponse;
        22 InitProducerId 0-5 flexible 2+: InitProducerIdRequest => InitProducerIdResponse;
        23 OffsetForLeaderEpoch 0-4 flexible 4+:
            OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse;
        24 AddPartitionsToTxn 0-5 flexible 3+:
            AddPartitionsToTxnRequest => AddPartitionsToTxnResponse;
        25 AddOffsetsToTxn 0-4 flexible 3+: AddOffsetsToTxnRequest => AddOffsetsToTxnResponse;
        26 EndTxn 0-5 flexible 3+: EndTxnRequest => EndTxnResponse;
        27 WriteTxnMarkers 0-2 flexible 1+: WriteTxnMarkersRequest => WriteTxnMarkersResponse;
        28 TxnOffsetCommit 0-5 flexible 3+: TxnOffsetCommitRequest => TxnOffsetCommitResponse;
        32 DescribeConfigs 0-4 flexible 4+: DescribeConfigsRequest => DescribeConfigsResponse;
        33 AlterConfigs 0-2 flexible 2+: AlterConfigsRequest => AlterConfigsResponse;
        37 CreatePartitions 0-3 flexible 2+: CreatePartitionsRequest => CreatePartitionsResponse;
        42 DeleteGroups 0-2 flexible 2+: DeleteGroupsRequest => DeleteGroupsResponse;
        43 ElectLeaders 0-2 flexible 2+: ElectLeadersRequest => ElectLeadersResponse;
        44 IncrementalAlterConfigs 0-1 flexible 1+:
            IncrementalAlterConfigsRequest => IncrementalAlterConfigsResponse;
        47 OffsetDelete 0-0: OffsetDeleteRequest => OffsetDeleteResponse;
        60 DescribeCluster 0-2 flexible 0+: DescribeClusterRequest => DescribeClusterResponse;
        61 DescribeProducers 0-0 flexible 0+:
            DescribeProducersRequest => DescribeProducersResponse;
        65 DescribeTransactions 0-0 flexible 0+:
            DescribeTransactionsRequest => DescribeTransactionsResponse;
        66 ListTransactions 0-2 flexible 0+: ListTransactionsRequest => ListTransactionsResponse;
        75 DescribeTopicPartitions 0-0 flexible 0+:
            DescribeTopicPartitionsRequest => DescribeTopicPartitionsResponse;
    }
    declared {}
}

impl ApiKey {
    /// Returns the wire's number.
    #[must_use]
    pub fn to_wire(self) -> i16 {
        self as i16
    }

    /// Returns Kafka's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.api().name
    }

    /// Returns the versions that are served.
    #[must_use]
    pub fn versions(self) -> VersionRange {
        self.api().versions
    }

    /// Returns the layout of request and response bodies of a version.
    pub(crate) fn layout(self, version: i16) -> Layout {
        match self.api().flexible_from {
            Some(flexible_from) if version >= flexible_from => Layout::Flexible,
            _ => Layout::Classic,
        }
    }

    /// Returns the layout of a response's header. ApiVersions always has the classic one, since its reader does not know
    /// yet what the broker speaks (KIP-511).
    pub(crate) fn response_header_layout(self, version: i16) -> Layout {
        match self {
            Self::ApiVersions => Layout::Classic,
            _ => self.layout(version),
        }
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Sets the reader to a body's version and layout.
fn enter(key: ApiKey, version: i16, reader: &mut Reader) -> Result<(), DecodeError> {
    if !key.versions().contains(version) {
        return Err(reader.error(Problem::UnsupportedVersion(version)));
    }
    reader.set_version(version, key.layout(version));
    Ok(())
}

/// Renders the table as a Markdown page.
#[must_use]
pub fn reference_page() -> String {
    let mut page = String::from(
        "# Kafka APIs\n\nServed on the Kafka port. Flexible versions have compact lengths and tagged fields (KIP-482).\n\n\
         | key | API | versions | flexible from |\n|--:|--|--|--|\n",
    );
    for api in APIS {
        let flexible = match api.flexible_from {
            Some(version) => version.to_string(),
            None => "none".to_owned(),
        };
        writeln!(page, "| {} | {} | {} | {flexible} |", api.key.to_wire(), api.name, api.versions)
            .expect("writing to a string does not fail");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_keys_and_agrees_with_the_enum() {
        assert!(APIS.is_sorted_by(|earlier, later| earlier.key.to_wire() < later.key.to_wire()));
        for api in APIS {
            assert_eq!(ApiKey::from_wire(api.key.to_wire()), Some(api.key));
        }
        assert_eq!(ApiKey::from_wire(-1), None);
        assert_eq!(ApiKey::from_wire(4), None);
    }

    #[test]
    fn what_is_only_declared_is_not_read_off_the_wire() {
        assert!(DECLARED.len() >= APIS.len());
        for api in DECLARED {
            let served = APIS.contains(api);
            assert_eq!(ApiKey::from_wire(api.key.to_wire()).is_some(), served, "{}", api.name);
        }
    }

    #[test]
    fn the_newest_common_version_lies_in_both_ranges() {
        let range = |min, max| VersionRange { min, max };
        assert_eq!(range(0, 13).newest_common(range(3, 9)), Some(9));
        assert_eq!(range(3, 9).newest_common(range(0, 13)), Some(9));
        assert_eq!(range(0, 2).newest_common(range(3, 9)), None);
        assert_eq!(range(3, 9).newest_common(range(0, 2)), None);
    }

    #[test]
    fn the_reference_page_has_a_row_for_each_api() {
        let page = reference_page();
        assert!(page.contains("| 0 | Produce | 0-13 | 9 |\n"), "{page}");
        assert!(page.contains("| 75 | DescribeTopicPartitions | 0 | 0 |\n"), "{page}");
        assert_eq!(page.lines().count(), 6 + APIS.len());
    }
}
