//! hawsepipe
fn main() {}
