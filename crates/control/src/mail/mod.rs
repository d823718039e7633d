//! Mails: from a row of the outbox to a letter, and out of the house by a port that the program gives.
//!
//! A link's token is drawn here, when the mail leaves, and exists nowhere else: the store has its digest only. A mail that
//! is sent twice carries two tokens, of which the later works.

mod words;

use crate::jobs;
use crate::respond::Refusal;
use crate::serve::Control;
use claviger_domain::audit::Attribution;
use claviger_domain::id::InviteId;
use claviger_domain::limits;
use claviger_domain::notice::MailKind;
use claviger_domain::person::token::{Token, TokenKind};
use claviger_domain::person::{Locale, User, UserState};
use claviger_domain::time::Now;
use claviger_storage::{ClaimedMail, Delivery, Error, NewMail, NewToken, Replaces};
use serde_json::Value;
use std::time::Duration;
use words::Words;

/// A letter as it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The address.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// Says that a mail was put into the outbox.
pub(crate) fn ring(control: &Control) {
    control.wake(jobs::NOTICES);
}

/// Sends what is due; how many mails were taken, and whether more may wait.
pub(crate) async fn deliver_due(control: &Control, now: Now) -> Result<(u64, bool), Error> {
    let Some(port) = control.settings().people.mail.clone() else { return Ok((0, false)) };
    if control.store().mail_backlog().await? == 0 {
        return Ok((0, false));
    }
    let claimed = control.store().claim_mails(now.wall).await?;
    let count = claimed.len();
    for claimed in claimed {
        let delivery = match letter(control, &claimed.mail, now).await {
            Ok(None) => Delivery::Delivered,
            Ok(Some(letter)) => match port.deliver(letter).await {
                Ok(()) => Delivery::Delivered,
                Err(cause) => put_off(&claimed, cause.is_final, cause.why, now),
            },
            Err(error) => put_off(&claimed, false, error.to_string(), now),
        };
        if let Delivery::GivenUp { why } | Delivery::PutOff { why, .. } = &delivery {
            tracing::warn!(mail = claimed.mail.id, kind = claimed.mail.kind.name(), why, "a mail was not delivered");
        }
        control.store().finish_mail(&claimed.mail.id, delivery, now.wall).await?;
    }
    let has_more = count >= usize::try_from(limits::MAIL_BATCH).unwrap_or(usize::MAX);
    Ok((u64::try_from(count).unwrap_or(u64::MAX), has_more))
}

/// Again after a minute, then two, four, …; after the last try never.
fn put_off(claimed: &ClaimedMail, is_final: bool, why: String, now: Now) -> Delivery {
    let why: String = why.chars().take(300).collect();
    if is_final || claimed.tries >= limits::MAIL_TRIES {
        return Delivery::GivenUp { why };
    }
    let doublings = u32::try_from(claimed.tries.clamp(1, 10)).unwrap_or(1) - 1;
    Delivery::PutOff { until: now.wall.plus(Duration::from_secs(60 << doublings)), why }
}

/// What a row says; `None` = there is nothing to say any more.
async fn letter(control: &Control, mail: &NewMail, now: Now) -> Result<Option<Letter>, Error> {
    let store = control.store();
    let person = match mail.user {
        Some(id) => store.find_user(id).await?,
        None => store.find_login(&mail.recipient).await?.map(|(user, _)| user),
    };
    let active = person.as_ref().filter(|user| user.state == UserState::Active);
    let words = Words::of(active.and_then(|user| user.locale).unwrap_or(Locale::En));
    let organization = match mail.organization {
        Some(id) => store.find_organization(id).await?.map(|organization| organization.name),
        None => None,
    };
    let organization = organization.unwrap_or_default();
    let detail: Value = serde_json::from_str(&mail.detail).unwrap_or_default();
    let (subject, text) = match mail.kind {
        MailKind::Invite => {
            let Ok(id) = mail.object.parse::<InviteId>() else { return Ok(None) };
            let token = control.draw(|random| Token::draw(random));
            if !store.give_invite_token(id, token.digest(), now.wall).await? {
                return Ok(None);
            }
            let role = detail.get("role").and_then(Value::as_str).unwrap_or_default();
            words.invite(&organization, role, &link(control, "invite", &token))
        }
        MailKind::Reset => {
            let Some(user) = active else { return Ok(None) };
            let lives = control.settings().people.reset_ttl;
            let token = linked(control, user, TokenKind::Reset, lives, now).await?;
            words.reset(&link(control, "reset", &token))
        }
        MailKind::Verify => {
            let Some(user) = active.filter(|user| user.email_verified_at.is_none()) else { return Ok(None) };
            let token = linked(control, user, TokenKind::Verify, limits::VERIFY_TTL, now).await?;
            words.verify(&link(control, "account/verify", &token))
        }
        MailKind::AlreadyKnown => words.already_known(&control.settings().public_url),
        MailKind::Notice => words.notice(&mail.object, &organization, &detail),
    };
    Ok(Some(Letter { to: mail.recipient.to_string(), subject, text }))
}

async fn linked(control: &Control, user: &User, kind: TokenKind, lives: Duration, now: Now) -> Result<Token, Error> {
    let token = control.draw(|random| Token::draw(random));
    let new = NewToken {
        digest: token.digest(),
        kind,
        user: Some(user.id),
        detail: "{\"mailed\":true}".to_owned(),
        created_at: now.wall,
        expires_at: now.wall.plus(lives),
        replaces: Replaces::OfUser,
    };
    control.store().save_token(new).await?;
    Ok(token)
}

/// A link of the console; the token stands in the fragment, which no server and no log ever sees.
pub(crate) fn link(control: &Control, page: &str, token: &Token) -> String {
    format!("{}/{page}#{}", control.settings().public_url, token.expose())
}

/// A link to a new password, for somebody who shows it to its owner: the operator. Whoever makes one could use it, so it
/// is recorded.
pub(crate) async fn reset_link(control: &Control, user: &User, by: &Attribution, now: Now) -> Result<String, Refusal> {
    let token = control.draw(|random| Token::draw(random));
    let new = NewToken {
        digest: token.digest(),
        kind: TokenKind::Reset,
        user: Some(user.id),
        detail: "{\"mailed\":false}".to_owned(),
        created_at: now.wall,
        expires_at: now.wall.plus(control.settings().people.reset_ttl),
        replaces: Replaces::OfUser,
    };
    control.store().make_link(new, by).await.map_err(Refusal::of_write)?;
    Ok(link(control, "reset", &token))
}
