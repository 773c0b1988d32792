//! The way to other control ports: where they are, and how a connection to one is made.

pub(crate) mod address_book;
pub(crate) mod connect;
