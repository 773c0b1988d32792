//! Texts of a client inside a message of ours.
//!
//! The message goes back over the wire, whose strings end at 32,767 bytes: a text that filled one would leave no room for what is said about it.

/// Returns the beginning of a text, with dots behind it when that is not all.
pub(crate) fn quoted(text: &str) -> String {
    if text.len() <= MAX_QUOTED_BYTES {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(MAX_QUOTED_BYTES)])
}

/// Most bytes of a text that are quoted: enough to know it again, and for every legal topic name.
const MAX_QUOTED_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(quoted("orders"), "orders");
        assert_eq!(quoted(&"x".repeat(256)), "x".repeat(256));
        let umlauts = format!("x{}", "ü".repeat(200));
        assert_eq!(quoted(&umlauts), format!("x{}...", "ü".repeat(127)));
    }
}
