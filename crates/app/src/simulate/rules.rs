//! The script: rules that say which request gets which misbehaviour; the first that matches wins.
//!
//! Written as a JSON list of `{"match":{"path"?,"model"?,"nth"?,"header"?},"times"?,"do":{"mode":…}}`. `path` is exact
//! and without query, `header` an object of names and exact values, `nth` (from 1) counts the requests that the rest of
//! `match` fits, and `times` bounds how often the rule is used.

use claviger_wire::simulator::Mode;
use http::HeaderMap;
use parking_lot::Mutex;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// The rules in force, with how often each was met.
#[derive(Debug, Default)]
pub(super) struct Rules {
    rules: Mutex<Vec<Rule>>,
    /// Spares the lock when there are none, as in a benchmark.
    is_any: AtomicBool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    #[serde(rename = "match", default)]
    condition: Condition,
    #[serde(default)]
    times: Option<u64>,
    #[serde(rename = "do")]
    mode: Mode,
    #[serde(skip)]
    met: u64,
    #[serde(skip)]
    used: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Condition {
    path: Option<String>,
    model: Option<String>,
    nth: Option<u64>,
    #[serde(default)]
    header: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    model: Option<Cow<'a, str>>,
}

impl Rules {
    /// Reads a script.
    ///
    /// # Errors
    /// What is wrong with it, with line and column.
    pub(super) fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        let rules: Vec<Rule> = serde_json::from_slice(text)?;
        let is_any = AtomicBool::new(!rules.is_empty());
        Ok(Self { rules: Mutex::new(rules), is_any })
    }

    /// Takes over the rules of another script; all counts begin again.
    pub(super) fn replace(&self, other: Self) {
        let rules = other.rules.into_inner();
        self.is_any.store(!rules.is_empty(), Ordering::Release);
        *self.rules.lock() = rules;
    }

    /// The mode for this request.
    pub(super) fn mode_of(&self, path: &str, headers: &HeaderMap, body: &[u8]) -> Option<Mode> {
        if !self.is_any.load(Ordering::Acquire) {
            return None;
        }
        let mut rules = self.rules.lock();
        let model = rules
            .iter()
            .any(|rule| rule.condition.model.is_some())
            .then(|| serde_json::from_slice::<Named<'_>>(body).ok()?.model)
            .flatten();
        for rule in rules.iter_mut() {
            if !rule.condition.fits(path, headers, model.as_deref()) {
                continue;
            }
            rule.met += 1;
            let is_turn = rule.condition.nth.is_none_or(|nth| nth == rule.met);
            if is_turn && rule.times.is_none_or(|times| rule.used < times) {
                rule.used += 1;
                return Some(rule.mode.clone());
            }
        }
        None
    }
}

impl Condition {
    fn fits(&self, path: &str, headers: &HeaderMap, model: Option<&str>) -> bool {
        self.path.as_deref().is_none_or(|wanted| wanted == path)
            && self.model.as_deref().is_none_or(|wanted| Some(wanted) == model)
            && self.header.iter().all(|(name, value)| {
                headers.get_all(name.as_str()).iter().any(|found| found.as_bytes() == value.as_bytes())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modes(script: &str, models: &[&str]) -> Vec<Option<u64>> {
        let rules = Rules::parse(script.as_bytes()).expect("a script");
        let mode = |model: &&str| {
            let body = format!(r#"{{"model":"{model}"}}"#);
            match rules.mode_of("/v1/chat/completions", &HeaderMap::new(), body.as_bytes()) {
                Some(Mode::Truncate { after }) => Some(after),
                _ => None,
            }
        };
        models.iter().map(mode).collect()
    }

    #[test]
    fn the_first_rule_that_matches_wins_as_often_as_it_may() {
        let script = r#"[
            {"match":{"model":"a","nth":2},"do":{"mode":"truncate","after":1}},
            {"match":{"model":"a"},"times":2,"do":{"mode":"truncate","after":2}},
            {"match":{"path":"/other"},"do":{"mode":"truncate","after":3}},
            {"match":{"header":{"x":"1"}},"do":{"mode":"truncate","after":4}}]"#;
        assert_eq!(modes(script, &["b", "a", "a", "a", "a"]), [None, Some(2), Some(1), Some(2), None]);
        assert_eq!(modes("[]", &["a"]), [None]);
    }

    #[test]
    fn a_header_matches_by_any_of_its_values() {
        let rules = Rules::parse(br#"[{"match":{"header":{"X-A":"2"}},"do":{"mode":"no-usage"}}]"#).expect("a script");
        let mut headers = HeaderMap::new();
        headers.append("x-a", http::HeaderValue::from_static("1"));
        assert!(rules.mode_of("/", &headers, b"").is_none());
        headers.append("x-a", http::HeaderValue::from_static("2"));
        assert!(rules.mode_of("/", &headers, b"").is_some());
    }

    #[test]
    fn a_script_with_an_unknown_member_is_refused() {
        for script in [
            "{}",
            r#"[{"do":{"mode":"what"}}]"#,
            r#"[{"on":1,"do":{"mode":"crlf"}}]"#,
            r#"[{"match":{"modl":"a"},"do":{"mode":"crlf"}}]"#,
        ] {
            assert!(Rules::parse(script.as_bytes()).is_err(), "{script}");
        }
    }
}
