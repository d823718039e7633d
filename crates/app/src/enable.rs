//! What is found on this machine and put in force because the operator said so: `providers.autodetect = "enable"`.
//!
//! It is the platform's, as if the configuration declared it, and lives in memory alone: every start and every reload looks
//! again (ADR 0063). What is declared goes before it. How things are found is `detect`'s.

use crate::config::{Autodetect, OFFERED_SINCE, Variables};
use crate::detect;
use crate::provider_client::list_models;
use claviger_control::{Found, models_of};
use claviger_domain::catalog::{Catalog, Model, Pricing, Provider, Target};
use claviger_domain::endpoint::EndpointName;
use claviger_domain::limits;
use claviger_domain::secret::Secret;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::task::JoinSet;

/// A provider that was asked and answered.
#[derive(Clone, Debug)]
pub(crate) struct Enabled {
    provider: Arc<Provider>,
    found: Found,
    models: Vec<String>,
}

impl Enabled {
    /// As it is told to people.
    pub(crate) fn told(&self) -> Found {
        Found { models: Some(self.models.clone()), ..self.found.clone() }
    }

    /// What can be called: `<name>/<what it lists>`. A server of this machine costs nothing where the price book is silent;
    /// a hosted one costs somebody money, so that its models wait for a price.
    fn models(&self) -> impl Iterator<Item = Model> + '_ {
        let pricing = if self.found.variable.is_none() { Pricing::Free } else { Pricing::Unpriced };
        let is_callable =
            |id: &String| !id.is_empty() && id.len() <= limits::MODEL_ID_BYTES && !id.chars().any(char::is_control);
        let named = self.models.iter().map(|upstream| (format!("{}/{upstream}", self.found.name), upstream));
        named.filter(move |(id, _)| is_callable(id)).map(move |(id, upstream_model)| Model {
            id,
            created_seconds: OFFERED_SINCE,
            owned_by: self.found.name.to_owned(),
            tiers: vec![vec![Arc::new(Target {
                provider: Arc::clone(&self.provider),
                upstream_model: upstream_model.clone(),
                weight: 1,
                timeouts: self.provider.timeouts,
            })]],
            has_affinity: false,
            endpoints: vec![EndpointName::ChatCompletions],
            context_tokens: None,
            output_tokens_max: None,
            pricing: pricing.clone(),
            is_simulated: false,
            environment: None,
        })
    }
}

/// Looks and asks, if the operator said so. Who does not answer is left out, and named in the log.
pub(crate) async fn look(autodetect: Autodetect, variables: &Variables) -> Vec<Enabled> {
    if autodetect != Autodetect::Enable {
        return Vec::new();
    }
    ask(detect::look(variables).await, variables).await
}

async fn ask(found: Vec<Found>, variables: &Variables) -> Vec<Enabled> {
    let mut asked = JoinSet::new();
    for (place, found) in found.into_iter().enumerate() {
        let credential = found.variable.and_then(|variable| variables.find(variable));
        let credential = credential.map(|text| Secret::new(text.trim().to_owned()));
        let provider = Arc::new(detect::provider(found.name, found.dialect, &found.base_url, credential));
        asked.spawn(async move {
            let models = match &found.models {
                Some(models) => models.clone(),
                None => listed(&provider).await?,
            };
            Some((place, Enabled { provider, found, models }))
        });
    }
    let mut enabled: Vec<(usize, Enabled)> = asked.join_all().await.into_iter().flatten().collect();
    enabled.sort_by_key(|(place, _)| *place);
    enabled.into_iter().map(|(_, enabled)| enabled).collect()
}

/// What a hosted one lists. Its words stay out of the log: they may repeat a part of the credential.
async fn listed(provider: &Provider) -> Option<Vec<String>> {
    let told = list_models(provider, limits::PROVIDER_PATIENCE).await;
    let models = told.as_ref().ok().and_then(models_of);
    if models.is_none() {
        let why = told.map_or_else(|unanswered| unanswered.0, |told| format!("it answered {}", told.status));
        tracing::warn!(provider = %provider.name, %why, "a credential was found, but its provider lists no models: it is left out");
    }
    models
}

/// What was in force and is not found now stays until the next start, like a declared provider that does not answer.
pub(crate) fn keep(former: &[Enabled], mut now: Vec<Enabled>) -> Vec<Enabled> {
    let is_gone = |one: &&Enabled| !now.iter().any(|other| other.found.name == one.found.name);
    let gone: Vec<Enabled> = former.iter().filter(is_gone).cloned().collect();
    now.extend(gone);
    now
}

/// The catalog with what was found, but for what it declares itself.
pub(crate) fn join(catalog: Catalog, enabled: &[Enabled]) -> Catalog {
    let mut declared = BTreeSet::new();
    for target in catalog.list().flat_map(|(_, model)| model.tiers.iter().flatten()) {
        declared.extend([target.provider.name.clone(), target.provider.base_url.clone()]);
    }
    let is_new = |one: &&Enabled| !declared.contains(&one.provider.name) && !declared.contains(&one.provider.base_url);
    catalog.with_found(enabled.iter().filter(is_new).flat_map(Enabled::models))
}

#[cfg(test)]
mod tests {
    use super::*;
    use claviger_domain::catalog::Dialect;
    use std::collections::BTreeMap;

    fn found(name: &'static str, base_url: &str, variable: Option<&'static str>) -> Found {
        let models = variable.is_none().then(|| vec!["llama3".to_owned(), "a\nb".to_owned(), "x".repeat(300)]);
        let (label, base_url) = (name.to_owned(), base_url.to_owned());
        Found { name, label, dialect: Dialect::Compatible, base_url, variable, models }
    }

    fn enabled(name: &'static str, base_url: &str, variable: Option<&'static str>) -> Enabled {
        let found = found(name, base_url, variable);
        let provider = Arc::new(detect::provider(name, found.dialect, base_url, None));
        let models = found.models.clone().unwrap_or_else(|| vec!["big".to_owned()]);
        Enabled { provider, found, models }
    }

    fn prices(catalog: &Catalog) -> Vec<(&str, &'static str)> {
        let price = |pricing: &Pricing| match pricing {
            Pricing::Free => "free",
            Pricing::Priced(_) => "priced",
            Pricing::Unpriced => "unpriced",
        };
        catalog.list().map(|(id, model)| (id, price(&model.pricing))).collect()
    }

    #[test]
    fn what_was_found_is_called_by_its_name_and_hosted_models_wait_for_a_price() {
        let all = [
            enabled("ollama", "http://127.0.0.1:11434", None),
            enabled("openai", "https://api.openai.com", Some("OPENAI_API_KEY")),
        ];
        let catalog = join(Catalog::default(), &all);
        assert_eq!(prices(&catalog), [("ollama/llama3", "free"), ("openai/big", "unpriced")]);
        let priced = BTreeMap::from([("openai/big".to_owned(), Pricing::Free)]);
        let catalog = join(Catalog::default().with_prices(priced), &all);
        assert_eq!(prices(&catalog), [("ollama/llama3", "free"), ("openai/big", "free")], "the price book decides");
    }

    #[test]
    fn what_is_declared_goes_before_what_is_found() {
        let declared = join(Catalog::default(), &[enabled("ollama", "http://127.0.0.1:11434", None)]);
        let same_name = enabled("ollama", "http://127.0.0.1:1", None);
        let same_place = enabled("other", "http://127.0.0.1:11434", None);
        let joined = join(declared, &[same_name, same_place]);
        assert_eq!(prices(&joined), [("ollama/llama3", "free")]);
        let target = &joined.find_model("ollama/llama3").expect("it is there").tiers[0][0];
        assert_eq!(target.provider.base_url, "http://127.0.0.1:11434");
    }

    #[test]
    fn what_is_away_for_a_moment_stays() {
        let former =
            [enabled("ollama", "http://127.0.0.1:11434", None), enabled("vllm", "http://127.0.0.1:8000", None)];
        let kept = keep(&former, vec![enabled("vllm", "http://127.0.0.1:8001", None)]);
        let kept: Vec<_> = kept.iter().map(|one| (one.found.name, one.provider.base_url.as_str())).collect();
        assert_eq!(kept, [("vllm", "http://127.0.0.1:8001"), ("ollama", "http://127.0.0.1:11434")]);
    }

    #[tokio::test]
    async fn a_hosted_one_is_asked_with_its_variable_and_one_that_refuses_is_left_out() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let place = format!("http://{}", listener.local_addr().expect("bound"));
        let variables = Variables::new([("GOOD", " sk-good\n"), ("BAD", "sk-bad")].map(|(n, v)| (n.into(), v.into())));
        let hosted = vec![found("good", &place, Some("GOOD")), found("bad", &place, Some("BAD"))];
        let answers = async {
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.expect("accepted");
                let mut head = vec![0; 1024];
                let read = stream.read(&mut head).await.expect("asked");
                let is_good = String::from_utf8_lossy(&head[..read]).contains("authorization: Bearer sk-good\r\n");
                let (status, body) = if is_good { ("200 OK", r#"{"data":[{"id":"m"}]}"#) } else { ("401 No", "{}") };
                let reply = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                stream.write_all(reply.as_bytes()).await.expect("answered");
            }
        };
        let (enabled, ()) = tokio::join!(ask(hosted, &variables), answers);
        let told: Vec<_> = enabled.iter().map(|one| (one.found.name, one.models.clone())).collect();
        assert_eq!(told, [("good", vec!["m".to_owned()])]);
        assert!(!format!("{enabled:?}").contains("sk-good"));
    }
}
