//! Seed checks about people, on both engines: who may create, who joins, who leaves, and what a session is worth then.

use claviger_e2e::{Browser, Engine, MailServer, Plan, Result, World, text};
use serde_json::{Value, json};

const OWNER: &str = "li@acme.example";
const OWNERS: &str = "correct horse battery staple";
const PASSWORD: &str = "tulip radio 94 mast";
const KEYS: &str = "/v1/organization/api_keys";

/// A world whose mail goes to a server on loopback.
async fn world(engine: Engine, mail: &MailServer, more: &str) -> Result<World> {
    let lines = format!(
        "[email]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nfrom = \"Claviger <keys@acme.example>\"\n{more}",
        mail.port
    );
    Plan::default().on(engine).more(&lines).start().await
}

async fn join(world: &World, mail: &MailServer, owner: &mut Browser, email: &str, role: &str) -> Result<Browser> {
    let invite = owner.post("/v1/organization/invites", &json!({ "email": email, "role": role })).await?;
    assert_eq!(invite.status, 200, "{}", invite.text());
    assert!(!invite.text().contains("url"), "the link goes out by mail only: {}", invite.text());
    let token = mail.token_to(email, 1).await?;
    let mut browser = Browser::new(&world.url);
    let joined = browser.post("/api/invites/accept", &json!({ "token": token, "password": PASSWORD })).await?;
    assert_eq!(joined.status, 200, "{}", joined.text());
    Ok(browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_22_s0_23_s0_24_s0_26_members_share_and_leave_and_their_keys_go_on() -> Result<()> {
    for engine in Engine::ALL {
        let mail = MailServer::start().await?;
        let world = world(engine, &mail, "").await?;
        let mut owner = Browser::signed_in(&world.url, OWNER, OWNERS).await?;
        let mut mo = join(&world, &mail, &mut owner, "mo@acme.example", "developer").await?;
        let mut ann = join(&world, &mail, &mut owner, "ann@acme.example", "owner").await?;
        // S0-22: only owners create and revoke.
        let refused = mo.post(KEYS, &json!({ "name": "mine" })).await?;
        assert_eq!(refused.refusal(), (403, "permission_denied".to_owned()));
        let made = ann.post(KEYS, &json!({ "name": "by ann" })).await?;
        assert_eq!(made.status, 200, "{}", made.text());
        let (id, value) = (text(&made.json()["id"]), text(&made.json()["value"]));
        assert_eq!(mo.delete(&format!("{KEYS}/{id}")).await?.status, 403);
        // S0-24: the second user sees the same list and balance.
        assert_eq!(mo.get(KEYS).await?.json()["data"], owner.get(KEYS).await?.json()["data"]);
        let balance = |me: Value| text(&me["organizations"][0]["balance"]);
        assert_eq!(balance(mo.me().await?), balance(owner.me().await?));
        // S0-26: what ann has seen is listed, and flagged when she goes.
        let ann_id = text(&ann.me().await?["id"]);
        let seen = owner.get(&format!("/v1/organization/users/{ann_id}/keys")).await?.json();
        assert_eq!(text(&seen["data"][0]["id"]), id, "{seen}");
        let gone = owner.post(&format!("/v1/organization/users/{ann_id}/remove"), &json!({})).await?;
        assert_eq!(gone.status, 200, "{}", gone.text());
        assert_eq!(gone.json()["keys"][0]["rotation_due"], json!(true), "{}", gone.text());
        let recorded = owner.get("/v1/organization/audit_logs?event_types[]=user.deleted").await?.json();
        assert_eq!(recorded["data"][0]["user.deleted"]["id"], ann_id.as_str(), "{recorded}");
        let due = async |owner: &mut Browser| {
            let key = owner.get(&format!("{KEYS}/{id}")).await?.json();
            Ok::<_, anyhow::Error>(key["flags"].to_string().contains("rotation_due"))
        };
        assert!(due(&mut owner).await?, "until it is rotated");
        let rotated = world.client.post(&format!("{KEYS}/{id}/rotate"), &world.admin_key, &json!({})).await?;
        assert_eq!(rotated.status, 200, "{}", rotated.text());
        assert!(!due(&mut owner).await?, "ann has not seen its new text");
        // S0-23: the key still works, and any owner can revoke it.
        let hello = json!({ "model": "free/echo", "messages": [{ "role": "user", "content": "hi" }] });
        assert_eq!(world.client.post("/v1/chat/completions", &value, &hello).await?.status, 200);
        assert_eq!(owner.delete(&format!("{KEYS}/{id}")).await?.status, 200);
        assert_eq!(world.client.post("/v1/chat/completions", &value, &hello).await?.status, 401);
        let told = mail.letters_to(OWNER, 3).await?;
        assert!(told.iter().any(|letter| letter.text.contains("left")), "owners are told: {told:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_2_s3_3_whoever_signs_up_proves_the_address_and_makes_a_key_in_one_of_two_organizations() -> Result<()> {
    for engine in Engine::ALL {
        let mail = MailServer::start().await?;
        let world = world(engine, &mail, "[signup]\nmode = \"open\"\n").await?;
        let body = json!({ "email": OWNER, "password": PASSWORD, "organization": "Second" });
        let known = Browser::new(&world.url).post("/api/auth/sign_up", &body).await?;
        let body = json!({ "email": "new@x.example", "password": PASSWORD, "organization": "Second" });
        let fresh = Browser::new(&world.url).post("/api/auth/sign_up", &body).await?;
        assert_eq!((fresh.status, fresh.text()), (200, known.text()), "the answer does not tell who is known");
        let token = mail.token_to("new@x.example", 1).await?;
        let mut new = Browser::new(&world.url);
        assert_eq!(new.post("/api/auth/email/verify", &json!({ "token": token })).await?.status, 200);
        assert_eq!(new.post("/api/auth/email/verify", &json!({ "token": token })).await?.status, 400, "once");
        let mut new = Browser::signed_in(&world.url, "new@x.example", PASSWORD).await?;
        assert_eq!(new.me().await?["email_verified"], json!(true));
        assert_eq!(new.post(KEYS, &json!({ "name": "first" })).await?.status, 200);
        // A second organization, by invite: from now on the header chooses.
        let mut owner = Browser::signed_in(&world.url, OWNER, OWNERS).await?;
        let invite = json!({ "email": "new@x.example", "role": "owner" });
        assert_eq!(owner.post("/v1/organization/invites", &invite).await?.status, 200);
        let token = mail.token_to("new@x.example", 2).await?;
        assert_eq!(new.post("/api/invites/accept", &json!({ "token": token })).await?.status, 200);
        assert_eq!(new.post(KEYS, &json!({ "name": "x" })).await?.refusal(), (400, "organization_required".to_owned()));
        for slug in ["acme", "second"] {
            slug.clone_into(&mut new.organization);
            assert_eq!(new.post(KEYS, &json!({ "name": slug })).await?.status, 200);
        }
        // A forgotten password: by mail, once, and every session ends.
        let forgot = json!({ "email": "new@x.example" });
        assert_eq!(new.post("/api/auth/password/forgot", &forgot).await?.status, 200);
        let token = mail.token_to("new@x.example", 3).await?;
        let reset = json!({ "token": token, "password": "yellow ducks 17 pond" });
        assert_eq!(Browser::new(&world.url).post("/api/auth/password/reset", &reset).await?.status, 200);
        assert_eq!(new.get("/api/me").await?.refusal(), (401, "session_required".to_owned()));
        Browser::signed_in(&world.url, "new@x.example", "yellow ducks 17 pond").await?;
    }
    Ok(())
}
