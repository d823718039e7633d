//! P13: whatever takes somebody's rights away takes them now. Six events × what somebody leaves behind, twenty times each;
//! what an event does not take is checked, too. There are no CSRF tokens to leave behind, and no feed of the console yet.

use super::people::{Browser, PASSWORD};
use super::{World, text};
use claviger_storage::Engine;
use serde_json::{Value, json};
use std::time::Duration;

const REPEATS: usize = 20;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    SignOut,
    PasswordChange,
    PasswordReset,
    RoleLoss,
    Removal,
    SwitchedOff,
}

/// What is refused right after an event, and how; `None` = it goes on.
struct Left {
    /// The session that acted, or was there first.
    session: Option<(u16, &'static str)>,
    /// A second session of the same person.
    other: Option<(u16, &'static str)>,
    /// An invite that they sent, accepted by its receiver.
    invite: Option<(u16, &'static str)>,
    /// What an administrator may, asked with an admin key of theirs.
    key: Option<(u16, &'static str)>,
}

impl Event {
    const ALL: [Self; 6] =
        [Self::SignOut, Self::PasswordChange, Self::PasswordReset, Self::RoleLoss, Self::Removal, Self::SwitchedOff];

    const fn left(self) -> Left {
        let over = Some((401, "session_required"));
        let gone = Some((410, "invite_withdrawn"));
        match self {
            Self::SignOut => Left { session: over, other: None, invite: None, key: None },
            // The session that changed it goes on under a new token; what the old one was is dead.
            Self::PasswordChange | Self::PasswordReset => Left { session: over, other: over, invite: None, key: None },
            Self::RoleLoss => Left { session: over, other: over, invite: gone, key: Some((403, "permission_denied")) },
            Self::Removal => Left { session: over, other: over, invite: gone, key: Some((401, "key_revoked")) },
            Self::SwitchedOff => {
                Left { session: over, other: over, invite: gone, key: Some((403, "permission_denied")) }
            }
        }
    }
}

/// Somebody with everything that they could leave behind.
struct Leaver {
    id: String,
    one: Browser,
    other: Browser,
    invite: String,
    key_id: String,
    key: String,
}

fn token(url: &Value) -> String {
    text(url).rsplit('#').next().unwrap_or_default().to_owned()
}

impl Leaver {
    async fn arrive(world: &World, number: usize) -> Self {
        world.clock.step(Duration::from_secs(120));
        let email = format!("p{number}@acme.io");
        let invite = json!({ "email": email, "role": "admin" });
        let invited = world.operator("POST", "/v1/organization/invites", &invite).await;
        let mut one = Browser::default();
        let body = json!({ "token": token(&invited.body["url"]), "password": PASSWORD });
        let joined = one.post(world, "/api/invites/accept", body).await;
        assert_eq!(joined.status, 200, "{}", joined.body);
        let (other, signed) = Browser::sign_in(world, &email, PASSWORD).await;
        assert_eq!(signed.status, 200, "{}", signed.body);
        let invite = json!({ "email": format!("guest{number}@acme.io"), "role": "viewer" });
        let invite = one.post(world, "/v1/organization/invites", invite).await;
        let key = one.post(world, super::KEYS, json!({ "name": "mine", "class": "admin" })).await;
        assert_eq!((invite.status, key.status), (200, 200), "{} {}", invite.body, key.body);
        Self {
            id: text(&joined.body["id"]).to_owned(),
            one,
            other,
            invite: token(&invite.body["url"]),
            key_id: text(&key.body["id"]).to_owned(),
            key: text(&key.body["value"]).to_owned(),
        }
    }

    /// Lets the event happen; the first session's cookie stays the one from before.
    async fn meet(&self, world: &World, event: Event) {
        let mut browser = self.one.clone();
        let users = format!("/v1/organization/users/{}", self.id);
        let people = format!("/api/operator/users/{}", self.id);
        let done = match event {
            Event::SignOut => browser.post(world, "/api/auth/sign_out", json!({})).await,
            Event::PasswordChange => {
                let change = json!({ "current_password": PASSWORD, "new_password": "tulip radio 94 mast" });
                let done = browser.post(world, "/api/me", change).await;
                assert_eq!(browser.get(world, "/api/me").await.status, 200, "whoever changes it stays signed in");
                done
            }
            Event::PasswordReset => {
                let link = world.operator("POST", &format!("{people}/reset_password"), &json!({})).await;
                let reset = json!({ "token": token(&link.body["url"]), "password": "tulip radio 94 mast" });
                Browser::default().post(world, "/api/auth/password/reset", reset).await
            }
            Event::RoleLoss => world.operator("POST", &users, &json!({ "role": "viewer" })).await,
            Event::Removal => world.operator("POST", &format!("{users}/remove"), &json!({})).await,
            Event::SwitchedOff => world.operator("POST", &people, &json!({ "state": "disabled" })).await,
        };
        assert_eq!(done.status, 200, "{event:?}: {}", done.body);
    }
}

#[tokio::test]
async fn p13_what_takes_rights_away_takes_them_at_the_next_request() {
    takes_rights_away(Engine::Sqlite, REPEATS).await;
}

/// The store answers the question who may, so each event once more on the other engine; several nodes are in `tests/e2e`.
#[tokio::test]
async fn p13_holds_on_postgres_too() {
    takes_rights_away(Engine::Postgres, 2).await;
}

async fn takes_rights_away(engine: Engine, repeats: usize) {
    let (world, _) = World::set_up_on(engine).await;
    let policy = json!({ "creators": "admins" });
    assert_eq!(world.operator("POST", "/v1/organization/policy", &policy).await.status, 200);
    for (number, event) in Event::ALL.into_iter().cycle().take(Event::ALL.len() * repeats).enumerate() {
        let mut leaver = Leaver::arrive(&world, number).await;
        leaver.meet(&world, event).await;
        let left = event.left();
        let checked = |answer: &super::Answer, expected: Option<(u16, &str)>, what: &str| match expected {
            Some(expected) => assert_eq!(answer.refusal(), expected, "{event:?} {number}: {what}"),
            None => assert_eq!(answer.status, 200, "{event:?} {number}: {what}: {}", answer.body),
        };
        checked(&leaver.one.get(&world, "/api/me").await, left.session, "session");
        checked(&leaver.other.get(&world, "/api/me").await, left.other, "other session");
        let asked = world.with(&leaver.key, "GET", "/v1/organization/invites", &Value::Null).await;
        checked(&asked, left.key, "admin key");
        let accept = json!({ "token": leaver.invite, "password": PASSWORD });
        checked(&Browser::default().post(&world, "/api/invites/accept", accept).await, left.invite, "invite");
        // A hundred keys are as many as there may be.
        let path = format!("{}/{}/revoke", super::KEYS, leaver.key_id);
        assert_eq!(world.operator("POST", &path, &json!({})).await.status, 200);
    }
}
