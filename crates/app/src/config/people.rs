//! What `[signup]` and `[email]` mean.

use super::layers::Layered;
use super::nearest::suggestion;
use super::quantity::duration;
use super::typed::Document;
use super::{Invalid, read_secret};
use crate::smtp::{Mailer, Server, Tls};
use claviger_control::{DeliverMail, PeopleSettings, SignUp};
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::person::session::SessionRules;
use std::sync::Arc;
use std::time::Duration;

/// Reads both.
pub(super) fn read(document: &Document, layered: &Layered) -> Result<PeopleSettings, Invalid> {
    let signup = &document.signup;
    let time = |place: &str, text: &str| {
        duration(text).filter(|time| *time >= Duration::from_secs(60)).ok_or_else(|| {
            Invalid::at(place, format_args!("`{text}` is not a duration of a minute or more, such as 30m"))
        })
    };
    let sign_up = match signup.mode.as_str() {
        "invite" => SignUp::Invite,
        "open" => SignUp::Open,
        "closed" => SignUp::Closed,
        other => return Err(one_of("signup.mode", other, &["invite", "open", "closed"])),
    };
    let least = usize::try_from(signup.password_min).unwrap_or(usize::MAX);
    if !(limits::PASSWORD_CHARACTERS_MIN..=limits::PASSWORD_CHARACTERS_MAX).contains(&least) {
        return Err(Invalid::at("signup.password_min", "lies between 12 and 256"));
    }
    Ok(PeopleSettings {
        console_urls: document.server.public_urls.clone(),
        sessions: SessionRules {
            idle: time("signup.session_idle", &signup.session_idle)?,
            max: time("signup.session_max", &signup.session_max)?,
        },
        sign_up,
        allowed_domains: signup.allowed_domains.clone(),
        must_verify_email: signup.verify_email,
        starting_credit: starting_credit(&signup.starting_credit)?,
        keys_max: document.keys.max_per_organization,
        has_passwords: signup.password_login,
        has_passkeys: signup.passkeys,
        password_characters_min: least,
        invite_ttl: time("signup.invite_ttl", &signup.invite_ttl)?,
        reset_ttl: time("signup.reset_ttl", &signup.reset_ttl)?,
        mail: mailer(document, layered)?,
    })
}

fn starting_credit(text: &str) -> Result<Nano, Invalid> {
    let amount = text.parse::<Nano>().ok().filter(|amount| *amount >= Nano::ZERO);
    amount.ok_or_else(|| {
        Invalid::at("signup.starting_credit", format_args!("`{text}` is no amount such as 5.00; 0 is none"))
    })
}

fn mailer(document: &Document, layered: &Layered) -> Result<Option<Arc<dyn DeliverMail>>, Invalid> {
    let email = &document.email;
    if email.host.is_empty() {
        return Ok(None);
    }
    let tls = match email.tls.as_str() {
        "starttls" => Tls::Upgraded,
        "tls" => Tls::Wrapped,
        "none" => Tls::None,
        other => return Err(one_of("email.tls", other, &["starttls", "tls", "none"])),
    };
    let is_local = email.host == "localhost" || email.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    if tls == Tls::None && !is_local {
        return Err(Invalid::at(
            "email.tls",
            "is `none` only for a server on this machine: links would cross the network in the clear",
        ));
    }
    let password = match email.password_file.as_str() {
        "" => None,
        file => Some(read_secret(&layered.base().join(file))?),
    };
    let server = Server {
        host: email.host.clone(),
        port: email.port,
        tls,
        login: password.map(|password| (email.username.clone(), password)),
        from: email.from.clone(),
        reply_to: Some(email.reply_to.clone()).filter(|text| !text.is_empty()),
    };
    let mailer = Mailer::new(&server).map_err(|error| Invalid::at("email", error))?;
    Ok(Some(Arc::new(mailer)))
}

fn one_of(place: &str, typed: &str, known: &[&str]) -> Invalid {
    let hint = suggestion(typed, known.iter().copied());
    Invalid::at(place, format_args!("`{typed}` is none of {}{hint}", known.join(", ")))
}
