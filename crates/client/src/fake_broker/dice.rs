//! Chance that depends on its seed alone.

/// Dice with a seed (a linear congruential generator).
#[derive(Debug, Default)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// Returns a number from zero to one less than `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}
