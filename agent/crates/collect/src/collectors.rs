//! All collectors, as `build.rs` found them in the folder.

use crate::collector::Collector;

include!(concat!(env!("OUT_DIR"), "/collectors.rs"));
