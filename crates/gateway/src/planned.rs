//! Stage 6: the ordered attempts. A pure function of the route, the dialects and one draw.

use crate::admitted::Admitted;
use crate::node::Node;
use crate::respond::Refusal;
use claviger_domain::catalog::Target;
use claviger_domain::error::Code;
use claviger_domain::limits;

/// A request with the targets to try, in order; never empty.
pub(crate) struct Planned {
    pub(crate) admitted: Box<Admitted>,
    pub(crate) targets: Vec<Target>,
    /// Only this file makes one.
    _made_here: (),
}

impl Planned {
    /// Orders the targets: tiers in turn, within a tier by weighted draws without replacement.
    ///
    /// # Errors
    /// 503 when no target is admissible; dropping the admission gives its hold back.
    pub(crate) fn order(admitted: Box<Admitted>, node: &Node) -> Result<Self, Refusal> {
        let mut targets = Vec::new();
        for tier in &admitted.model.tiers {
            let mut left: Vec<&Target> = tier.iter().filter(|target| admissible(&admitted, target)).collect();
            while !left.is_empty() && targets.len() < limits::ATTEMPTS {
                let total = left.iter().fold(0_u64, |sum, target| sum.saturating_add(u64::from(target.weight)));
                let drawn = if left.len() == 1 { 0 } else { node.draw_below(total) };
                let target = left.swap_remove(position_of(&left, drawn));
                targets.push(target.clone());
            }
        }
        if targets.is_empty() {
            Err(Code::ServiceUnavailable.into())
        } else {
            Ok(Self { admitted, targets, _made_here: () })
        }
    }
}

/// Not drained, and allowed to be sent what the request asks.
fn admissible(admitted: &Admitted, target: &Target) -> bool {
    target.weight > 0 && admitted.ask.check_dialect(target.provider.dialect).is_ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use claviger_domain::catalog::{Dialect, Provider, Timeouts};
    use std::sync::Arc;

    fn target(weight: u32) -> Target {
        let provider = Provider {
            name: "p".to_owned(),
            dialect: Dialect::Compatible,
            base_url: String::new(),
            credential: None,
            concurrency_max: 0,
            timeouts: Timeouts::default(),
            drain: std::time::Duration::ZERO,
        };
        Target { provider: Arc::new(provider), upstream_model: "m".to_owned(), weight }
    }

    #[test]
    fn a_draw_falls_on_the_target_whose_share_it_lies_in() {
        let (one, three) = (target(1), target(3));
        let all = [&one, &three];
        assert_eq!(position_of(&all, 0), 0);
        assert_eq!((1..4).map(|drawn| position_of(&all, drawn)).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!(position_of(&all, 99), 0, "a draw beyond the total still names a target");
    }
}
