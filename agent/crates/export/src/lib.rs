//! hawsepipe-export
