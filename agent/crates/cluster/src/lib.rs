//! hawsepipe-cluster
