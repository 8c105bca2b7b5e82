//! `/sys/class/net/bonding_masters`: interfaces that are made of others. Format:
//! `Documentation/networking/bonding.rst`.

use crate::error::ReadError;
use crate::{HostRoot, file};

/// An interface that is made of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bond {
    /// Its name.
    pub name: Box<str>,
    /// Those that it is made of.
    pub members: Vec<BondMember>,
}

/// A part of a bond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BondMember {
    /// The interface's name.
    pub name: Box<str>,
    /// Its link is up.
    pub is_up: bool,
}

/// Reads every bond, sorted by name. Missing where the kernel has none.
///
/// # Errors
/// When their list cannot be read.
pub fn read(root: &HostRoot) -> Result<Vec<Bond>, ReadError> {
    let top = root.sys("class/net");
    let mut names: Vec<Box<str>> =
        file::line(top.join("bonding_masters"))?.split_ascii_whitespace().map(Into::into).collect();
    names.sort_unstable();
    let bond = |name: Box<str>| {
        let members =
            file::optional(file::line(top.join(&*name).join("bonding/slaves"))).unwrap_or_default();
        let member = |member: &str| {
            let status =
                file::optional(file::line(top.join(member).join("bonding_slave/mii_status")));
            BondMember { name: member.into(), is_up: status.as_deref() == Some("up") }
        };
        Bond { members: members.split_ascii_whitespace().map(member).collect(), name }
    };
    Ok(names.into_iter().map(bond).collect())
}
