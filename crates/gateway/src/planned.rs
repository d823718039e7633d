//! Stage 6: the ordered attempts. A pure function of the route, the dialects and one draw.

use crate::admitted::Admitted;
use crate::node::Node;
use crate::respond::Refusal;
use claviger_domain::catalog::Target;
use claviger_domain::error::Code;
use claviger_domain::limits;

/// A request with the targets to try, in order; never empty.
pub(crate) struct Planned {
    pub(crate) admitted: Admitted,
    pub(crate) targets: Vec<Target>,
}

impl Planned {
    /// Orders the targets: tiers in turn, within a tier by weighted draws without replacement.
    ///
    /// # Errors
    /// 503 when no target is admissible; dropping the admission gives its hold back.
    pub(crate) fn order(admitted: Admitted, node: &Node) -> Result<Self, Refusal> {
        let mut targets = Vec::new();
        for tier in &admitted.model.tiers {
            let mut left: Vec<&Target> = tier.iter().filter(|target| target.weight > 0).collect();
            while !left.is_empty() && targets.len() < limits::ATTEMPTS {
                let total = left.iter().fold(0_u64, |sum, target| sum.saturating_add(u64::from(target.weight)));
                let drawn = if left.len() == 1 { 0 } else { node.draw_below(total) };
                let target = left.swap_remove(position_of(&left, drawn));
                targets.push(target.clone());
            }
        }
        if targets.is_empty() { Err(Code::ServiceUnavailable.into()) } else { Ok(Self { admitted, targets }) }
    }
}

/// Where the running sum of weights passes `drawn`.
fn position_of(targets: &[&Target], drawn: u64) -> usize {
    let mut sum = 0_u64;
    let position = targets.iter().position(|target| {
        sum = sum.saturating_add(u64::from(target.weight));
        drawn < sum
    });
    position.unwrap_or(0)
}
