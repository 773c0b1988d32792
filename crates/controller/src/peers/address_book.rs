//! Where the control port of each broker is.
//!
//! Three sources, in this order: the configured voters, what a broker said of itself to this process (a learner that has not registered yet, or
//! that moved, is known by nothing else), and the registration in the image.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use model::BrokerId;

use crate::image_feed::ImageFeed;
use crate::metadata::Address;
use crate::options::Voter;

/// Most brokers of which an announced address is remembered.
const MAX_ANNOUNCED: usize = 4096;

/// Answers where a broker's control port is.
#[derive(Debug)]
pub(crate) struct AddressBook {
    configured: BTreeMap<BrokerId, Address>,
    announced: Mutex<BTreeMap<BrokerId, Address>>,
    feed: Arc<ImageFeed>,
}

impl AddressBook {
    pub(crate) fn new(voters: &[Voter], feed: Arc<ImageFeed>) -> Self {
        Self {
            configured: voters.iter().map(|v| (v.broker_id, v.address.clone())).collect(),
            announced: Mutex::default(),
            feed,
        }
    }

    /// Notes what a broker said of itself.
    pub(crate) fn announce(&self, broker_id: BrokerId, address: Address) {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if announced.len() < MAX_ANNOUNCED || announced.contains_key(&broker_id) {
            announced.insert(broker_id, address);
        }
    }

    /// Returns where to reach a broker's control port.
    pub(crate) fn address_of(&self, broker_id: BrokerId) -> Option<Address> {
        if let Some(address) = self.configured.get(&broker_id) {
            return Some(address.clone());
        }
        let announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = announced.get(&broker_id) {
            return Some(address.clone());
        }
        self.feed.image().broker(broker_id).map(|broker| broker.control_address.clone())
    }
}
