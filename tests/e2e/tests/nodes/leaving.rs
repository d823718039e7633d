//! P13 on two processes: what took somebody's rights away on one node has taken them on the other when the answer is there.

use crate::cluster::Node;
use claviger_e2e::{Answer, Browser, Engine, Plan, Result, World, is_long_run, text};
use serde_json::{Value, json};

const PASSWORD: &str = "tulip radio 94 mast";
const EVENTS: [&str; 6] = ["sign out", "password change", "password reset", "role loss", "removal", "switched off"];

/// Somebody with all that they could leave behind.
struct Leaver {
    id: String,
    email: String,
    one: Browser,
    other: Browser,
    invite: String,
    key: String,
}

fn token(url: &Value) -> String {
    text(url).rsplit('#').next().unwrap_or_default().to_owned()
}

fn good(answer: Answer) -> Result<Value> {
    anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    Ok(answer.json())
}

impl Leaver {
    async fn arrive(world: &World, owner: &mut Browser, number: usize) -> Result<Self> {
        let email = format!("p{number}@acme.example");
        let invited = good(owner.post("/v1/organization/invites", &json!({ "email": email, "role": "admin" })).await?)?;
        let mut one = Browser::new(&world.url);
        let body = json!({ "token": token(&invited["url"]), "password": PASSWORD });
        let joined = good(one.post("/api/invites/accept", &body).await?)?;
        let other = Browser::signed_in(&world.url, &email, PASSWORD).await?;
        let guest = json!({ "email": format!("guest{number}@acme.example"), "role": "viewer" });
        let invite = good(one.post("/v1/organization/invites", &guest).await?)?;
        let key = good(one.post("/v1/organization/api_keys", &json!({ "name": "mine", "class": "admin" })).await?)?;
        let (id, invite, key) = (text(&joined["id"]), token(&invite["url"]), text(&key["value"]));
        Ok(Self { id, email, one, other, invite, key })
    }

    /// Lets the event happen on the first node; the cookies stay those from before.
    async fn meet(&self, world: &World, owner: &mut Browser, event: &str) -> Result<()> {
        let mut browser = self.one.clone();
        let users = format!("/v1/organization/users/{}", self.id);
        match event {
            "sign out" => good(browser.post("/api/auth/sign_out", &json!({})).await?)?,
            "password change" => {
                let change = json!({ "current_password": PASSWORD, "new_password": "yellow ducks 17 pond" });
                good(browser.post("/api/me", &change).await?)?
            }
            "password reset" => {
                let printed = world.run(&["users", "reset-password", &self.email, "--json"], "").await?;
                let reset = json!({ "token": token(&printed.json()["url"]), "password": "yellow ducks 17 pond" });
                good(Browser::new(&world.url).post("/api/auth/password/reset", &reset).await?)?
            }
            "role loss" => good(owner.post(&users, &json!({ "role": "viewer" })).await?)?,
            "removal" => good(owner.post(&format!("{users}/remove"), &json!({})).await?)?,
            _ => good(owner.post(&format!("/api/operator/users/{}", self.id), &json!({ "state": "disabled" })).await?)?,
        };
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p13_what_takes_rights_away_on_one_node_has_taken_them_on_the_other() -> Result<()> {
    let world = Plan::default().on(Engine::Postgres).start().await?;
    let second = Node::added_to(&world, "second").await?;
    let there = second.client.base();
    let mut owner = Browser::signed_in(&world.url, "li@acme.example", "correct horse battery staple").await?;
    let set = owner.post("/v1/organization/policy", &json!({ "creators": "admins" })).await?;
    assert_eq!(set.status, 200, "{}", set.text());
    for number in 0..EVENTS.len() * if is_long_run() { 20 } else { 1 } {
        let event = EVENTS[number % EVENTS.len()];
        let leaver = Leaver::arrive(&world, &mut owner, number).await?;
        let seen = async |cookie: &str| {
            let mut browser = Browser::new(there);
            cookie.clone_into(&mut browser.cookie);
            browser.get("/api/me").await
        };
        assert_eq!(seen(&leaver.other.cookie).await?.status, 200, "{event}: good on both nodes before");
        leaver.meet(&world, &mut owner, event).await?;
        assert_eq!(seen(&leaver.one.cookie).await?.status, 401, "{event}: session");
        let stays = event == "sign out";
        assert_eq!(seen(&leaver.other.cookie).await?.status, if stays { 200 } else { 401 }, "{event}: other session");
        let key = second.client.get("/v1/organization/invites", &leaver.key).await?;
        let accept = json!({ "token": leaver.invite, "password": PASSWORD });
        let invite = Browser::new(there).post("/api/invites/accept", &accept).await?;
        let (of_key, of_invite) = match event {
            "role loss" | "switched off" => (403, 410),
            "removal" => (401, 410),
            _ => (200, 200),
        };
        assert_eq!((key.status, invite.status), (of_key, of_invite), "{event}: {} {}", key.text(), invite.text());
    }
    Ok(())
}
