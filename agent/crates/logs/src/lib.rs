//! hawsepipe-logs
