//! What `[[oidc]]` means: issuers of tokens, for people who sign in or agents that exchange them for keys.

use super::layers::Layered;
use super::nearest::suggestion;
use super::typed::Oidc;
use super::{Invalid, read_secret};
use crate::https::is_private;
use crate::issuer_client::IssuerClient;
use claviger_control::{Issuer, IssuerSettings, SignOn};
use claviger_domain::right::Role;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Reads all of them. Names and issuers are unique: a token must not be believed under two rules.
pub(super) fn read(layered: &Layered) -> Result<IssuerSettings, Invalid> {
    let mut all = Vec::new();
    let (mut names, mut issuers) = (BTreeSet::new(), BTreeSet::new());
    for typed in &layered.document.oidc {
        let issuer = issuer(typed, layered)?;
        if !names.insert(issuer.name.clone()) {
            return Err(Invalid::at("oidc.name", format_args!("`{}` is there twice", issuer.name)));
        }
        if !issuers.insert(issuer.issuer.clone()) {
            return Err(Invalid::at("oidc.issuer", format_args!("`{}` is there twice", issuer.issuer)));
        }
        all.push(issuer);
    }
    let ask = (!all.is_empty()).then(|| Arc::new(IssuerClient::new()) as Arc<dyn claviger_control::AskIssuers>);
    Ok(IssuerSettings { all, ask })
}

fn issuer(typed: &Oidc, layered: &Layered) -> Result<Issuer, Invalid> {
    let name = &typed.name;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > 40 || !name.bytes().all(is_name) {
        return Err(Invalid::at("oidc.name", format_args!("`{name}` is not 1 to 40 of a-z, 0-9 and -")));
    }
    if !typed.issuer.parse().is_ok_and(|uri| is_private(&uri)) || typed.issuer.contains(['?', '#']) {
        return Err(Invalid::at("oidc.issuer", format_args!("`{}` is not an https:// URL", typed.issuer)));
    }
    let mut issuer = Issuer {
        name: name.clone(),
        issuer: typed.issuer.clone(),
        is_for_people: false,
        is_for_agents: false,
        sign_on: sign_on(typed, layered)?,
    };
    for purpose in &typed.purposes {
        match purpose.as_str() {
            "people" => issuer.is_for_people = true,
            "agents" => issuer.is_for_agents = true,
            other => return Err(one_of("oidc.for", other, &["people", "agents"])),
        }
    }
    if issuer.is_for_people && issuer.sign_on.client_id.is_empty() {
        return Err(Invalid::at("oidc.client_id", format_args!("is missing: people sign in by `{name}`")));
    }
    Ok(issuer)
}

fn sign_on(typed: &Oidc, layered: &Layered) -> Result<SignOn, Invalid> {
    if !typed.scopes.iter().any(|scope| scope == "openid") {
        return Err(Invalid::at("oidc.scopes", "lacks `openid`, without which there is no sign-on"));
    }
    let client_secret = match typed.client_secret_file.as_str() {
        "" => None,
        file => Some(read_secret(&layered.base().join(file))?),
    };
    let roles = typed.roles.iter().map(|(value, name)| Ok((value.clone(), role("oidc.roles", name)?)));
    Ok(SignOn {
        client_id: typed.client_id.clone(),
        client_secret,
        scopes: typed.scopes.clone(),
        allowed_domains: typed.allowed_domains.clone(),
        organization: typed.organization.clone(),
        role: role("oidc.role", &typed.role)?,
        role_claim: typed.role_claim.clone(),
        roles: roles.collect::<Result<_, Invalid>>()?,
        button: typed.button.replace("{name}", &typed.name),
    })
}

fn role(place: &str, name: &str) -> Result<Role, Invalid> {
    Role::from_name(name)
        .ok_or_else(|| one_of(place, name, &Role::ALL.iter().map(|role| role.name()).collect::<Vec<_>>()))
}

fn one_of(place: &str, typed: &str, known: &[&str]) -> Invalid {
    let hint = suggestion(typed, known.iter().copied());
    Invalid::at(place, format_args!("`{typed}` is none of {}{hint}", known.join(", ")))
}
