//! tmp
use crate::promise::Suite;
pub(crate) const ALL: &[Suite] = &[];
