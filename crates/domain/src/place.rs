//! What an organization and its environments restrict beyond the policies of their keys (`keys.md` §5, §10).
//!
//! A key may do what organization, environment and key allow, all three. What the keys themselves say, and who sets
//! any of it, is not known here.

use crate::id::EnvironmentId;
use crate::key::{Limits, ModelPattern};

/// What a place restricts: limits shared by everything in it, and which models it may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceRules {
    /// Limits on all models together.
    pub limits: Limits,
    /// Limits on single models, by public id; each is counted besides.
    pub by_model: Vec<(String, Limits)>,
    /// The models it may call; organizations say nothing of that.
    pub models: ModelRule,
}

/// Which models an environment may call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ModelRule {
    /// All that are visible.
    #[default]
    Any,
    /// These only.
    Only(Vec<ModelPattern>),
    /// All but these.
    AllBut(Vec<ModelPattern>),
}

/// The rules of an organization and of those of its environments that have any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TenantRules {
    /// The organization's.
    pub organization: PlaceRules,
    /// The environments'.
    pub environments: Vec<(EnvironmentId, PlaceRules)>,
}

impl PlaceRules {
    /// Whether it restricts nothing.
    pub fn is_empty(&self) -> bool {
        self.limits == Limits::default() && self.by_model.is_empty() && self.models == ModelRule::Any
    }

    /// The limits on one model.
    pub fn limits_of(&self, model: &str) -> Option<&Limits> {
        self.by_model.iter().find(|(id, _)| id == model).map(|(_, limits)| limits)
    }
}

impl ModelRule {
    /// Whether a model may be called that was asked for as `sent` and stands for `id`; an entry means either.
    pub fn allows(&self, sent: &str, id: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(list) => matches_any(list, sent, id),
            Self::AllBut(list) => !matches_any(list, sent, id),
        }
    }
}

/// Whether an entry means the id that was sent or, for an alias, the one it stands for.
pub fn matches_any(list: &[ModelPattern], sent: &str, id: &str) -> bool {
    list.iter().any(|pattern| pattern.matches(sent) || pattern.matches(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_allowed_and_denied_by_either_of_its_names() {
        let list = |text: &str| vec![text.parse::<ModelPattern>().unwrap()];
        for (text, sent) in
            [("acme/chat", "gpt-4"), ("gpt-4", "gpt-4"), ("acme/*", "gpt-4"), ("acme/chat", "acme/chat")]
        {
            assert!(ModelRule::Only(list(text)).allows(sent, "acme/chat"), "{text} {sent}");
            assert!(!ModelRule::AllBut(list(text)).allows(sent, "acme/chat"), "{text} {sent}");
        }
        assert!(!ModelRule::Only(list("acme/*")).allows("gpt-4", "other/chat"));
        assert!(ModelRule::AllBut(list("acme/*")).allows("gpt-4", "other/chat"));
        assert!(ModelRule::Any.allows("x", "y"));
    }
}
