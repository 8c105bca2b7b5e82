//! hawsepipe-receive
