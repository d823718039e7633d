//! What the management plane asks of the running node.

use claviger_domain::id::OrganizationId;
use claviger_domain::money::Nano;
use claviger_domain::revocation::Epoch;
use std::future::Future;
use std::pin::Pin;

/// Waits until the live nodes know a change of rights, and knows what only a running node does.
pub trait AwaitRights: Send + Sync + 'static {
    /// Resolves when every live node has applied `epoch`; the caller bounds the wait.
    fn applied(&self, epoch: Epoch) -> Pin<Box<dyn Future<Output = Confirmed> + Send + '_>>;

    /// What running requests hold of a wallet; `None` when no server runs.
    fn held(&self, organization: OrganizationId) -> Option<Nano>;
}

/// Which nodes have answered.
#[derive(Clone, Debug, Default)]
pub struct Confirmed {
    /// One entry per live node; empty when no server runs, so that nobody can admit anything.
    pub nodes: Vec<NodeAnswer>,
}

/// One node's acknowledgement.
#[derive(Clone, Debug)]
pub struct NodeAnswer {
    /// The node's name.
    pub id: String,
    /// How it is known not to admit any more: `acknowledged` or `silenced`.
    pub how: &'static str,
}

/// No server runs: the command line acts on the store directly, and there is nobody to wait for.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNodes;

impl AwaitRights for NoNodes {
    fn applied(&self, _epoch: Epoch) -> Pin<Box<dyn Future<Output = Confirmed> + Send + '_>> {
        Box::pin(std::future::ready(Confirmed::default()))
    }

    fn held(&self, _organization: OrganizationId) -> Option<Nano> {
        None
    }
}
