//! What an agent asks of the API server does not depend on how many there are: real agents' clients beside one another,
//! for nodes that are only objects. In small; `cargo e2e clients` does it for hundreds.

use std::time::Duration;

use anyhow::Result;

use crate::clients::{self, Fleet, Plan};
use crate::cluster::Cluster;
use crate::promise::{Promise, Suite};

pub(crate) const SUITE: Suite = Suite {
    name: "clients",
    promises: &[Promise {
        name: "an_agent_asks_the_api_server_for_the_same_beside_none_and_beside_nineteen",
        check: some,
    }],
};

fn some(cluster: &Cluster) -> Result<()> {
    let fleet = Fleet { nodes: 0, pods: 5, changes: 12.0 };
    let plan = Plan { counts: vec![1, 20], window: Duration::from_secs(10), fleet };
    let measured = clients::measure(cluster, &plan)?;
    clients::judge(&measured).into_iter().try_for_each(|(_, result)| result)
}
