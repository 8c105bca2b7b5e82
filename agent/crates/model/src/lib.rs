//! hawsepipe-model
