//! What the operator decided about people: who may sign up, how long sessions live, whether mail goes out.

use crate::ports::DeliverMail;
use claviger_domain::limits;
use claviger_domain::money::Nano;
use claviger_domain::person::session::SessionRules;
use std::sync::Arc;
use std::time::Duration;

/// Who may sign up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignUp {
    /// Whoever was invited.
    Invite,
    /// Anybody, into an organization of their own.
    Open,
    /// Nobody; the operator makes people.
    Closed,
}

/// How people come and stay (`cli.md` §4, `signup`).
#[derive(Clone, Debug)]
pub struct PeopleSettings {
    /// Further URLs at which the console is reached, beside the first.
    pub console_urls: Vec<String>,
    /// How long sessions live.
    pub sessions: SessionRules,
    /// Who may sign up.
    pub sign_up: SignUp,
    /// Domains of addresses that may sign up; empty = all.
    pub allowed_domains: Vec<String>,
    /// Whether live keys need a verified address, where mail goes out.
    pub must_verify_email: bool,
    /// Credit of an organization which somebody brings along; zero = none.
    pub starting_credit: Nano,
    /// Keys that an organization may have which somebody brings along.
    pub keys_max: u32,
    /// Whether passwords sign in.
    pub has_passwords: bool,
    /// Whether passkeys sign in.
    pub has_passkeys: bool,
    /// Characters of a password, at least.
    pub password_characters_min: usize,
    /// How long an invite may be accepted.
    pub invite_ttl: Duration,
    /// How long a link to a new password works.
    pub reset_ttl: Duration,
    /// Where mail goes out; without, links are shown to be copied.
    pub mail: Option<Arc<dyn DeliverMail>>,
}

impl PeopleSettings {
    /// Whether mail goes out.
    pub fn has_mail(&self) -> bool {
        self.mail.is_some()
    }
}

impl Default for PeopleSettings {
    fn default() -> Self {
        Self {
            console_urls: Vec::new(),
            sessions: SessionRules { idle: limits::SESSION_IDLE, max: limits::SESSION_MAX },
            sign_up: SignUp::Invite,
            allowed_domains: Vec::new(),
            must_verify_email: true,
            starting_credit: Nano::ZERO,
            keys_max: limits::KEYS_PER_ORGANIZATION,
            has_passwords: true,
            has_passkeys: true,
            password_characters_min: limits::PASSWORD_CHARACTERS_MIN,
            invite_ttl: limits::INVITE_TTL,
            reset_ttl: limits::RESET_TTL,
            mail: None,
        }
    }
}
