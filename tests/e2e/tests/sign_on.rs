//! People on the real program: signed in by an identity provider over HTTP, a command line signed in by consent, and the
//! operator's commands about people.

use claviger_e2e::{
    Browser, Client, Engine, Issuer, Plan, Program, Ran, Result, World, binary, eventually, issuer, text,
};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use tempfile::TempDir;
use tokio::process::Command;

const OWNER: &str = "li@acme.example";
const OWNERS: &str = "correct horse battery staple";

/// A world that believes the provider, and the directory of the secret that it has there.
async fn world(engine: Engine, provider: &Issuer) -> Result<(World, TempDir)> {
    let folder = tempfile::Builder::new().prefix("claviger-e2e-").tempdir()?;
    let file = folder.path().join("oidc.secret");
    let mut options = fs::OpenOptions::new();
    std::io::Write::write_all(
        &mut options.write(true).create_new(true).mode(0o600).open(&file)?,
        issuer::CLIENT.1.as_bytes(),
    )?;
    let lines = format!(
        "[[oidc]]\nname = \"acme\"\nissuer = \"{}\"\nclient_id = \"{}\"\nclient_secret_file = \"{}\"\n",
        provider.url,
        issuer::CLIENT.0,
        file.display()
    );
    Ok((Plan::default().on(engine).more(&lines).start().await?, folder))
}

/// Walks there and back as a browser does, and gives the page it ends on.
async fn sign_on(world: &World, browser: &mut Browser) -> Result<String> {
    let out = browser.get("/api/auth/oidc/acme/start?return_to=/o/acme").await?;
    assert_eq!(out.status, 303, "{}", out.text());
    let location = out.header("location");
    let (provider, path) = location.split_at(location.find("/authorize").unwrap_or_default());
    let consented = Client::new(provider).send("GET", path, &[], b"").await?;
    assert_eq!(consented.status, 302, "{location}");
    let back = consented.header("location");
    let path = back.strip_prefix(&world.url).unwrap_or_default().to_owned();
    Ok(browser.get(&path).await?.header("location").to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_of_an_identity_provider_opens_its_invite_and_signs_in() -> Result<()> {
    for engine in Engine::ALL {
        let provider = Issuer::start().await?;
        let (world, _secret) = world(engine, &provider).await?;
        let mut owner = Browser::signed_in(&world.url, OWNER, OWNERS).await?;
        let options = owner.get("/api/auth/options").await?.json();
        assert_eq!(text(&options["oidc"][0]["button"]), "Continue with acme", "{options}");
        provider.says(json!({ "sub": "7", "email": "mo@acme.example", "email_verified": true, "name": "Mo" })).await;
        let stranger = sign_on(&world, &mut Browser::new(&world.url)).await?;
        assert_eq!(stranger, format!("{}/sign-in#error=sign_up_closed", world.url));
        let invite = json!({ "email": "mo@acme.example", "role": "developer" });
        assert_eq!(owner.post("/v1/organization/invites", &invite).await?.status, 200);
        let mut mo = Browser::new(&world.url);
        assert_eq!(sign_on(&world, &mut mo).await?, format!("{}/o/acme", world.url));
        let me = mo.me().await?;
        assert_eq!(
            (text(&me["email"]), text(&me["organizations"][0]["role"])),
            ("mo@acme.example".to_owned(), "developer".to_owned())
        );
        // The same account again, whatever its address is now; the owner's address opens nothing.
        provider.says(json!({ "sub": "7", "email": OWNER, "email_verified": true })).await;
        let mut again = Browser::new(&world.url);
        assert_eq!(sign_on(&world, &mut again).await?, format!("{}/o/acme", world.url));
        assert_eq!(again.me().await?["id"], me["id"]);
        provider.says(json!({ "sub": "8", "email": OWNER, "email_verified": true })).await;
        let thief = sign_on(&world, &mut Browser::new(&world.url)).await?;
        assert_eq!(thief, format!("{}/sign-in#error=sign_up_closed", world.url));
    }
    Ok(())
}

/// The command line of somebody without a data directory, with a home of their own.
fn client(home: &TempDir, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(binary("claviger")?);
    command.args(arguments).current_dir(home.path()).env("XDG_CONFIG_HOME", home.path()).env("NO_COLOR", "1");
    Ok(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_line_is_signed_in_by_consent_acts_as_its_person_and_signs_out() -> Result<()> {
    let world = World::usual().await?;
    let home = tempfile::Builder::new().prefix("claviger-e2e-").tempdir()?;
    let nobody = Ran::of(client(&home, &["whoami"])?, "").await?;
    assert_eq!(nobody.code, 4, "{}", nobody.err);
    let log = home.path().join("login.log");
    let mut login = Program::start(client(&home, &["login", "--url", &world.url])?, &log)?;
    let code = eventually(15, "a code to compare", async || {
        login.ensure_running()?;
        Ok(login.output().split("the code: ").nth(1).and_then(|rest| rest.get(..9)).map(str::to_owned))
    })
    .await?;
    assert!(login.output().contains(&format!("{}/device#{code}", world.url)), "{}", login.output());
    let mut owner = Browser::signed_in(&world.url, OWNER, OWNERS).await?;
    let approve = json!({ "user_code": code, "decision": "approve" });
    let approved = owner.post("/api/auth/device/approve", &approve).await?;
    assert_eq!(approved.status, 200, "{}", approved.text());
    let key_file = home.path().join("claviger/profiles/default.key");
    let key = eventually(15, "the key in its file", async || Ok(fs::read_to_string(&key_file).ok())).await?;
    assert_eq!(fs::metadata(&key_file)?.permissions().mode() & 0o777, 0o600);
    eventually(15, "the words of the login", async || Ok(login.output().contains("in acme at").then_some(()))).await?;
    assert!(!login.output().contains(key.trim()), "a key is never printed");

    let who = Ran::of(client(&home, &["whoami", "--json"])?, "").await?;
    assert_eq!((who.code, text(&who.json()["email"])), (0, OWNER.to_owned()), "{}", who.err);
    for arguments in [&["members", "list", "-q"][..], &["members", "list", "-q", "--url", world.url.as_str()][..]] {
        let members = Ran::of(client(&home, arguments)?, "").await?;
        assert_eq!((members.code, members.out.trim().starts_with("usr_")), (0, true), "{}", members.err);
    }
    let out = Ran::of(client(&home, &["logout"])?, "").await?;
    assert_eq!(out.code, 0, "{}", out.err);
    assert!(!key_file.exists());
    let refused = world.client.get("/v1/organization/users", key.trim()).await?;
    assert_eq!(refused.refusal(), (401, "key_revoked".to_owned()));
    assert_eq!(Ran::of(client(&home, &["whoami"])?, "").await?.code, 4);
    Ok(())
}

fn token(printed: &str) -> String {
    let behind = printed.split('#').nth(1).unwrap_or_default();
    behind.chars().take_while(|character| character.is_ascii_alphanumeric() || *character == '-').collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_and_members_are_made_helped_and_removed_by_the_command_line() -> Result<()> {
    let world = World::usual().await?;
    let known = "tulip radio 94 mast";
    let reset = async |printed: &str| {
        let body = json!({ "token": token(printed), "password": known });
        Browser::new(&world.url).post("/api/auth/password/reset", &body).await
    };
    let made = world.claviger(&["users", "create", "ann@acme.example"]).await?;
    assert!(made.contains("usr_") && made.contains("Password link (once)"), "{made}");
    assert_eq!(reset(&made).await?.status, 200);
    assert_eq!(reset(&made).await?.refusal(), (400, "invalid_link".to_owned()), "once");
    let mut ann = Browser::signed_in(&world.url, "ann@acme.example", known).await?;
    assert_eq!(ann.me().await?["organizations"], json!([]));
    world.claviger(&["users", "make-owner", "ann@acme.example", "--organization", "acme"]).await?;
    let mut ann = Browser::signed_in(&world.url, "ann@acme.example", known).await?;
    assert_eq!(text(&ann.me().await?["organizations"][0]["role"]), "owner");
    world.claviger(&["users", "make-operator", "ann@acme.example"]).await?;
    assert_eq!(ann.get("/api/me").await?.status, 401, "the next sign-in has the new right");
    let mut ann = Browser::signed_in(&world.url, "ann@acme.example", known).await?;
    assert_eq!(ann.me().await?["operator"], json!(true));
    world.claviger(&["users", "end-sessions", "ann@acme.example"]).await?;
    assert_eq!(ann.get("/api/me").await?.status, 401);
    let link = world.claviger(&["users", "reset-password", "ann@acme.example"]).await?;
    assert_eq!(reset(&link).await?.status, 200);
    let listed = world.claviger(&["users", "list"]).await?;
    assert!(listed.contains("ann@acme.example") && listed.contains(OWNER), "{listed}");
    let unknown = world.run(&["users", "reset-password", "nobody@acme.example"], "").await?;
    assert_eq!(unknown.code, 3, "{}", unknown.err);

    let invited = world.claviger(&["members", "invite", "mo@acme.example", "--role", "viewer"]).await?;
    let accept = json!({ "token": token(&invited), "password": known });
    let mut mo = Browser::new(&world.url);
    assert_eq!(mo.post("/api/invites/accept", &accept).await?.status, 200, "{invited}");
    let listed = world.claviger(&["members", "list"]).await?;
    assert!(listed.contains("mo@acme.example") && listed.contains("viewer"), "{listed}");
    let removed = world.claviger(&["members", "remove", "mo@acme.example", "-y"]).await?;
    assert!(removed.contains("Removed mo@acme.example"), "{removed}");
    assert!(!world.claviger(&["members", "list"]).await?.contains("mo@acme.example"));
    let last = world.run(&["members", "remove", "nobody@acme.example", "-y"], "").await?;
    assert_eq!(last.code, 3, "{}", last.err);

    // There is an owner: a set-up link needs force, adds one, and the newer one kills the older.
    let refused = world.run(&["setup-link"], "").await?;
    assert_ne!(refused.code, 0, "{}", refused.out);
    let older = world.claviger(&["setup-link", "--force"]).await?;
    let link = world.claviger(&["setup-link", "--force"]).await?;
    let set_up = async |code: String| {
        let body = json!({ "code": code, "organization": "Acme", "email": "eve@acme.example", "password": known });
        Browser::new(&world.url).post("/api/setup", &body).await
    };
    assert_eq!(set_up(token(&older)).await?.status, 400);
    let done = set_up(token(&link)).await?;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(text(&done.json()["organizations"][0]["role"]), "owner");
    assert_eq!(set_up(token(&link)).await?.status, 400, "once");
    Ok(())
}
