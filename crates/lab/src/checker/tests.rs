//! The checker's tests: hand-made histories for each rule, corrupted good histories, and the bound of the memory.

mod corruption;
mod rules;
mod script;
