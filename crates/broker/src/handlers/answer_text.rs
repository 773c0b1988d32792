//! What an answer says beside its code, for a human.
//!
//! Invariant: it fits a string of the wire, which ends at 32,767 bytes, whatever a client's names that it quotes are like: one byte more, and
//! the client would get a closed connection in place of its error.

use protocol::KafkaString;

/// Makes the wire's text of a message; the end of one that is too long for anybody to read is cut off.
pub(super) fn answer_text(message: &str) -> KafkaString {
    if message.len() <= MAX_BYTES {
        return message.into();
    }
    let end = message.floor_char_boundary(MAX_BYTES);
    format!("{}...", &message[..end]).into()
}

/// Most bytes that are told: room for a few names of legal length with what is said of them.
const MAX_BYTES: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(answer_text("unknown"), "unknown");
        assert_eq!(answer_text(&"x".repeat(1_024)), "x".repeat(1_024));
        let umlauts = format!("x{}", "ü".repeat(40_000));
        assert_eq!(answer_text(&umlauts), format!("x{}...", "ü".repeat(511)));
    }
}
