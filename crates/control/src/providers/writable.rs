//! What a body says of a provider, each member read into what cannot be wrong.

use crate::body::Fields;
use crate::respond::Refusal;
use claviger_domain::catalog::Dialect;
use claviger_domain::egress::{Destination, Reach};
use claviger_domain::endpoint::{EndpointName, Operation};
use claviger_domain::key::Name;
use claviger_domain::limits;
use claviger_domain::own_provider::{OwnModel, is_model_name};
use claviger_domain::secret::Secret;
use serde_json::Value;
use std::collections::HashSet;

/// What a body may say of the credential.
pub(super) enum Given {
    /// Nothing.
    Nothing,
    /// `null`: none is sent any more.
    None,
    /// A new one.
    New(Secret<String>),
}

pub(super) fn name(fields: &mut Fields) -> Result<Option<String>, Refusal> {
    let name = fields.text("name")?.map(|text| Name::parse(&text)).transpose();
    Ok(name.map_err(|code| Refusal::from(code).about("name"))?.map(|name| name.as_str().to_owned()))
}

pub(super) fn dialect(fields: &mut Fields) -> Result<Option<Dialect>, Refusal> {
    let Some(text) = fields.text("dialect")? else { return Ok(None) };
    let known = Dialect::from_name(&text).filter(|dialect| *dialect != Dialect::Simulator);
    known.map(Some).ok_or_else(|| {
        let others = Dialect::ALL.iter().filter(|dialect| **dialect != Dialect::Simulator);
        let names: Vec<&str> = others.map(|dialect| dialect.name()).collect();
        Refusal::invalid("dialect", format_args!("one of {}", names.join(", ")))
    })
}

/// An address in its one spelling, within what the operator allows.
pub(super) fn base_url(fields: &mut Fields, reach: &Reach) -> Result<Option<Destination>, Refusal> {
    let Some(text) = fields.text("base_url")? else { return Ok(None) };
    let place = Destination::parse(&text).map(|place| place.without_end("/v1"));
    let place = place.map_err(|error| Refusal::invalid("base_url", format_args!("an address that {error}")))?;
    place.check(reach).map_err(|refused| {
        let message = format!("'base_url' cannot be reached from here: {refused}.");
        Refusal::because(claviger_domain::error::Code::InvalidValue, message).about("base_url")
    })?;
    Ok(Some(place))
}

/// A new credential stands in a header, so it is plain ASCII.
pub(super) fn credential(fields: &mut Fields) -> Result<Given, Refusal> {
    if fields.take_null("credential") {
        return Ok(Given::None);
    }
    let Some(text) = fields.text("credential")?.map(Secret::new) else { return Ok(Given::Nothing) };
    let is_plain = (1..=limits::PROVIDER_CREDENTIAL_BYTES).contains(&text.expose().len())
        && text.expose().bytes().all(|byte| byte.is_ascii_graphic());
    // The refusal must not repeat it.
    if is_plain { Ok(Given::New(text)) } else { Err(Refusal::invalid("credential", "printable ASCII without spaces")) }
}

/// A switch that keeps its value when it is left out.
pub(super) fn enabled(fields: &mut Fields) -> Result<Option<bool>, Refusal> {
    if fields.has("enabled") { fields.flag("enabled").map(Some) } else { Ok(None) }
}

pub(super) fn max_concurrency(fields: &mut Fields) -> Result<Option<u32>, Refusal> {
    fields.count("max_concurrency", 0, 1_000_000)
}

/// A list of names, or of objects with a name.
pub(super) fn models(fields: &mut Fields) -> Result<Option<Vec<OwnModel>>, Refusal> {
    let list = match fields.value("models") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) if list.len() <= limits::MODELS_PER_PROVIDER => list,
        Some(_) => {
            let most = limits::MODELS_PER_PROVIDER;
            return Err(Refusal::invalid("models", format_args!("a list of at most {most} models")));
        }
    };
    let mut names = HashSet::new();
    let mut models = Vec::with_capacity(list.len());
    for (place, value) in list.into_iter().enumerate() {
        let model = match value {
            Value::String(name) => model(name, None, None, (None, None)),
            Value::Object(_) => object(&value),
            _ => Err(Refusal::invalid("models", "names or objects")),
        };
        let model = model.map_err(|refusal| refusal.about(format!("models.{place}")))?;
        if !names.insert(model.name.clone()) {
            return Err(Refusal::invalid("models", format_args!("every name once; `{}` comes twice", model.name)));
        }
        models.push(model);
    }
    Ok(Some(models))
}

fn object(value: &Value) -> Result<OwnModel, Refusal> {
    let mut fields = Fields::parse(value.to_string().as_bytes())?;
    let name = fields.required_text("name")?;
    let upstream = fields.text("upstream_model")?;
    let endpoints = fields.texts("endpoints")?;
    let mut tokens = |name: &str| -> Result<Option<u64>, Refusal> {
        let Some(value) = fields.integer(name)? else { return Ok(None) };
        let value = u64::try_from(value).ok().filter(|value| (1..=100_000_000).contains(value));
        value.map(Some).ok_or_else(|| Refusal::invalid(name, "a whole number from 1 to 100000000"))
    };
    let limits = (tokens("context")?, tokens("max_output")?);
    fields.finish(&[])?;
    model(name, upstream, endpoints, limits)
}

fn model(
    name: String,
    upstream: Option<String>,
    endpoints: Option<Vec<String>>,
    (context_tokens, output_tokens_max): (Option<u64>, Option<u64>),
) -> Result<OwnModel, Refusal> {
    if !is_model_name(&name) {
        let most = limits::OWN_MODEL_NAME_BYTES;
        let expected = format!("names of models: at most {most} letters, digits, '.', '_', ':', '-', and '/' between");
        return Err(Refusal::invalid("models", expected));
    }
    let upstream_model = upstream.unwrap_or_else(|| name.clone());
    if upstream_model.is_empty()
        || upstream_model.len() > limits::MODEL_ID_BYTES
        || upstream_model.chars().any(char::is_control)
    {
        return Err(Refusal::invalid("upstream_model", "1 to 256 bytes without control characters"));
    }
    let served = Operation::ALL.iter().filter(|operation| operation.is_inference());
    let served: Vec<EndpointName> = served.filter_map(|operation| operation.endpoint()).collect();
    let endpoint = |text: &String| {
        let known = EndpointName::from_name(text).filter(|endpoint| served.contains(endpoint));
        known.ok_or_else(|| {
            let names: Vec<&str> = served.iter().map(|endpoint| endpoint.name()).collect();
            Refusal::invalid("endpoints", format_args!("some of {}", names.join(", ")))
        })
    };
    let endpoints = match endpoints {
        None => vec![EndpointName::ChatCompletions],
        Some(list) if list.is_empty() => return Err(Refusal::invalid("endpoints", "at least one endpoint")),
        Some(list) => list.iter().map(endpoint).collect::<Result<_, _>>()?,
    };
    Ok(OwnModel { name, upstream_model, endpoints, context_tokens, output_tokens_max })
}
