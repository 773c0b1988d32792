//! Epochs: the counters that tell an old actor from the present one.
//!
//! Absence is `Option`; the −1 of wire and disk ends at `from_wire` and begins at `to_wire`.

use std::fmt;

macro_rules! epoch {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl $name {
            /// Returns the epoch that follows this one.
            ///
            /// # Panics
            /// When the counter is exhausted, which no run of a cluster reaches.
            #[must_use]
            pub fn next(self) -> Self {
                Self(self.0.checked_add(1).expect("an epoch never reaches its type's maximum"))
            }

            /// Reads an epoch from the wire, where a negative number says "none".
            #[must_use]
            pub fn from_wire(value: $inner) -> Option<Self> {
                (value >= 0).then_some(Self(value))
            }

            /// Writes an optional epoch as the wire wants it: −1 for none.
            #[must_use]
            pub fn to_wire(epoch: Option<Self>) -> $inner {
                epoch.map_or(-1, |epoch| epoch.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

epoch! {
    /// Leadership generation of a partition (Kafka's leader epoch): starts at 0, grows by one with every change of leader.
    LeaderEpoch(i32)
}
epoch! {
    /// Version of a partition's state in the metadata (Kafka's partition epoch): grows by one with every change of it.
    PartitionEpoch(i32)
}
epoch! {
    /// Incarnation of a broker (Kafka's broker epoch): the metadata log's index of its registration.
    BrokerEpoch(i64)
}
epoch! {
    /// Incarnation of an idempotent producer (Kafka's producer epoch): 0 to 32,767.
    ProducerEpoch(i16)
}
