//! hawsepipe-spool
