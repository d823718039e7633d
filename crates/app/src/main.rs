//! Claviger.
fn main() {}
