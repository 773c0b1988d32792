//! Port ranges for clusters: below the range from which the kernel takes ports for outgoing connections.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

static NEXT: AtomicU16 = AtomicU16::new(0);

/// Finds a Kafka base port such that it and its neighbours at +100, +200 and +300 are free for `brokers` brokers.
///
/// # Panics
/// When no range is free.
#[must_use]
pub fn free_base_port(brokers: u16) -> u16 {
    // Tests of several processes run at once: each starts looking elsewhere.
    let start = u16::try_from(std::process::id() % 20).expect("below 20");
    for _ in 0..200 {
        let slot = (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20;
        let base =
            22_000 + slot * 400 + u16::try_from(std::process::id() % 8).expect("below 8") * 10;
        let ports =
            (0..4).flat_map(|group| (0..brokers).map(move |broker| base + group * 100 + broker));
        if ports.into_iter().all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()) {
            return base;
        }
    }
    panic!("no free range of ports from 22000 to 30400");
}
