//! A session: from sign-in to its end, by idleness, by age or by an act.
//!
//! The token behind it is known only to the browser; what is kept is its digest, and that is not here. A sign-in, a
//! fresh sign-in and a change of role always make a new session, so an id chosen before never lives on.

use crate::id::{SessionId, UserId};
use crate::right::words;
use crate::time::Timestamp;
use std::time::Duration;

words! {
    /// Why a session ended.
    SessionEnd {
        /// Its user signed out.
        SignedOut = "signed_out";
        /// A new session took its place: sign-in again, fresh sign-in, changed role.
        Replaced = "replaced";
        /// Password, passkey or role changed, or the membership ended.
        RightsChanged = "rights_changed";
        /// Its user, or the operator, ended it from elsewhere.
        Ended = "ended";
    }
}

/// One signed-in browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its public id.
    pub id: SessionId,
    /// Whose.
    pub user: UserId,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used; at most a minute late.
    pub last_seen_at: Timestamp,
    /// When it ends, whatever happens.
    pub expires_at: Timestamp,
    /// Until when the sign-in counts as fresh.
    pub fresh_until: Timestamp,
    /// The client's address.
    pub address: String,
    /// The first words of the client's User-Agent.
    pub agent: String,
    /// When an act ended it.
    pub ended_at: Option<Timestamp>,
}

/// How long sessions live; the operator's settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionRules {
    /// Between two requests.
    pub idle: Duration,
    /// From sign-in to the end.
    pub max: Duration,
}

/// What a session is worth at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It stands for its user.
    Live {
        /// Whether the sign-in is recent enough for what `keys.md` §7 lists.
        is_fresh: bool,
    },
    /// It stands for nobody.
    Over,
}

impl Session {
    /// The same session of somebody who was asked at this time who they are, which may be long ago.
    #[must_use]
    pub fn signed_in_at(self, at: Timestamp) -> Self {
        Self { fresh_until: at.plus(crate::limits::FRESH_SIGN_IN).min(self.fresh_until), ..self }
    }
}

impl SessionRules {
    /// The session that a sign-in at `now` makes.
    pub fn begin(&self, id: SessionId, user: UserId, address: &str, agent: &str, now: Timestamp) -> Session {
        Session {
            id,
            user,
            created_at: now,
            last_seen_at: now,
            expires_at: now.plus(self.max),
            fresh_until: now.plus(crate::limits::FRESH_SIGN_IN),
            address: address.to_owned(),
            agent: agent.chars().filter(|character| !character.is_control()).take(200).collect(),
            ended_at: None,
        }
    }

    /// What the session is worth now. Each bound ends it at its very instant.
    pub fn standing(&self, session: &Session, now: Timestamp) -> Standing {
        let is_over =
            session.ended_at.is_some() || now >= session.expires_at || now >= session.last_seen_at.plus(self.idle);
        if is_over { Standing::Over } else { Standing::Live { is_fresh: now < session.fresh_until } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: SessionRules = SessionRules { idle: Duration::from_secs(1800), max: Duration::from_secs(12 * 3600) };

    #[test]
    fn a_session_ends_by_idleness_by_age_and_by_an_act() {
        let at = |seconds| Timestamp::from_seconds(seconds);
        let begun = RULES.begin(SessionId::from_u128(1), UserId::from_u128(2), "192.0.2.1", "x\u{7}y", at(0));
        assert_eq!(begun.agent, "xy");
        for (seconds, expected) in [
            (0, Standing::Live { is_fresh: true }),
            (299, Standing::Live { is_fresh: true }),
            (300, Standing::Live { is_fresh: false }),
            (1799, Standing::Live { is_fresh: false }),
            (1800, Standing::Over),
        ] {
            assert_eq!(RULES.standing(&begun, at(seconds)), expected, "{seconds}");
        }
        let busy = |seconds: i64| Session { last_seen_at: at(seconds - 1), ..begun.clone() };
        assert_eq!(RULES.standing(&busy(43_199), at(43_199)), Standing::Live { is_fresh: false });
        assert_eq!(RULES.standing(&busy(43_200), at(43_200)), Standing::Over);
        assert_eq!(RULES.standing(&Session { ended_at: Some(at(1)), ..begun }, at(2)), Standing::Over);
    }
}
