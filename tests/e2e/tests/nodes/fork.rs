//! A database that lost what its nodes had seen, as an asynchronous standby does: the nodes bring revocations back.

use crate::bugs::slips_within;
use crate::cluster::Node;
use crate::{call, everywhere, plan, text};
use anyhow::{Context, ensure};
use claviger_e2e::{Result, World, eventually};
use serde_json::json;
use std::time::Duration;
use tokio::process::Command;

/// Keeps every table as it is now.
const REMEMBER: &str = "CREATE SCHEMA past; DO $$ DECLARE t text; BEGIN \
    FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP \
        EXECUTE format('CREATE TABLE past.%I AS TABLE public.%I', t, t); \
    END LOOP; END $$";

/// Puts every table back at once, past all triggers.
const GO_BACK: &str = "DO $$ DECLARE t text; BEGIN SET LOCAL session_replication_role = replica; \
    FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'past' LOOP \
        EXECUTE format('DELETE FROM public.%I', t); \
        EXECUTE format('INSERT INTO public.%I SELECT * FROM past.%I', t, t); \
    END LOOP; END $$";

async fn sql(world: &World, statement: &str) -> Result<String> {
    let text = std::fs::read_to_string(world.folder.path().join("claviger.toml"))?;
    let url = text.split_once("database_url = \"").and_then(|(_, rest)| rest.split_once('"'));
    let (url, _) = url.context("the world is not on Postgres")?;
    let mut psql = Command::new("psql");
    psql.args(["--quiet", "--no-psqlrc", "--tuples-only", "--no-align", "--dbname", url, "--command", statement]);
    let output = psql.output().await.context("psql did not start")?;
    ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Once more when the nodes' own writing stood in the way: the server then ends one of both, and nothing of it has happened.
async fn go_back(world: &World) -> Result<()> {
    for _ in 0..4 {
        match sql(world, GO_BACK).await {
            Err(error) if error.to_string().contains("deadlock detected") => {}
            done => return done.map(drop),
        }
    }
    sql(world, GO_BACK).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_the_database_lost_is_made_again_by_the_nodes() -> Result<()> {
    let world = plan().start().await?;
    let second = Node::added_to(&world, "second").await?;
    let clients = [world.client.clone(), second.client.clone()];
    let created = world.create_key(&json!({ "name": "k" })).await?;
    let (id, key) = (text(&created["id"]), text(&created["value"]));
    everywhere(&clients, &key, 200).await?;
    sql(&world, REMEMBER).await?;
    world.revoke(&id).await?;
    for client in &clients {
        assert_eq!(call(client, &key).await?, 401);
    }
    let state = format!("SELECT state FROM api_key WHERE id = '{id}'");
    go_back(&world).await?;
    // The key is alive in the database now; on no node is it ever.
    let time = Duration::from_secs(3);
    let slips = tokio::try_join!(slips_within(&clients[0], &key, time), slips_within(&clients[1], &key, time))?;
    assert_eq!(slips, (false, false));
    let again = eventually(20, "the revocation is made again", async || {
        let state = sql(&world, &state).await?;
        Ok((state == "revoked").then_some(state))
    });
    again.await?;
    let logs = world.server.output() + &second.server.output();
    assert!(logs.contains("history_fork"), "it is said");
    // Everything goes on in the history that there is.
    let created = world.create_key(&json!({ "name": "after" })).await?;
    let (id, key) = (text(&created["id"]), text(&created["value"]));
    everywhere(&clients, &key, 200).await?;
    let revoked = world.revoke(&id).await?;
    assert_eq!(revoked["confirmation"]["nodes"].as_array().map(Vec::len), Some(2), "{revoked}");
    world.verify_ledger().await
}
