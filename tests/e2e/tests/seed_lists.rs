//! Seed checks about making keys and looking at them: names, tags, the limit, what a list shows, what a key was used for.
//! The ids in the names are those of the seed checks.

use claviger_e2e::{Engine, Plan, Result, World, chat, eventually, text, token_cost};
use futures_util::future::join_all;
use serde_json::{Value, json};

const KEYS: &str = "/v1/organization/api_keys";

async fn list(world: &World, query: &str) -> Result<Vec<Value>> {
    let answer = world.client.get(&format!("{KEYS}{query}"), &world.admin_key).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    Ok(answer.json()["data"].as_array().cloned().unwrap_or_default())
}

fn names(keys: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = keys.iter().map(|key| text(&key["name"])).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_4_s4_3_a_name_is_kept_as_it_was_written_and_a_bad_one_is_refused_by_its_field() -> Result<()> {
    for engine in Engine::ALL {
        let world = Plan::default().on(engine).start().await?;
        let longest = "å".repeat(100);
        for name in ["production backend", "Production Server", "生产服务器 🗝", "a\"b'c<d>&%", &longest] {
            let made = world.create_key(&json!({ "name": name })).await?;
            assert_eq!(made["name"], name);
            assert!(list(&world, "").await?.iter().any(|key| key["name"] == name), "{name}");
        }
        let too_long = "å".repeat(101);
        for name in ["", "   ", "two\nlines", "\u{202e}evil", &too_long] {
            let answer = world.client.post(KEYS, &world.admin_key, &json!({ "name": name })).await?;
            assert_eq!(answer.refusal(), (400, "invalid_name".to_owned()), "{name:?}");
            let error = &answer.json()["error"];
            assert_eq!(error["param"], "name");
            assert!(error["message"].as_str().is_some_and(|message| message.contains("100")), "{error}");
        }
        let answer = world.client.post(KEYS, &world.admin_key, &json!({})).await?;
        assert_eq!(answer.refusal(), (400, "missing_required_parameter".to_owned()));
        let ran = world.run(&["keys", "create", ""], "").await?;
        assert!(ran.code == 2 && ran.err.contains("invalid_name"), "{}", ran.err);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_5_a_source_tag_is_optional_and_shown_in_list_and_api() -> Result<()> {
    let world = World::usual().await?;
    world.create_key(&json!({ "name": "tagged", "source_tag": "data pipeline" })).await?;
    world.create_key(&json!({ "name": "plain" })).await?;
    let all = list(&world, "").await?;
    let tag = |name: &str| all.iter().find(|key| key["name"] == name).map(|key| key["source_tag"].clone());
    assert_eq!((tag("tagged"), tag("plain")), (Some(json!("data pipeline")), Some(Value::Null)));
    assert_eq!(names(&list(&world, "?source_tag=data%20pipeline").await?), ["tagged"]);
    let shown = world.claviger(&["keys", "list", "--tag", "data pipeline", "--plain"]).await?;
    assert!(shown.contains("\tdata pipeline\t") && !shown.contains("plain\t\u{2026}"), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_5_s3_11_s4_9_the_list_has_name_partial_key_and_dates_of_the_living_only() -> Result<()> {
    let world = World::usual().await?;
    let made = world.create_key(&json!({ "name": "living" })).await?;
    let gone = world.create_key(&json!({ "name": "gone" })).await?;
    world.revoke(&text(&gone["id"])).await?;
    let value = text(&made["value"]);
    assert!(!names(&list(&world, "").await?).contains(&"gone".to_owned()));
    assert!(names(&list(&world, "?state=active,revoked").await?).contains(&"gone".to_owned()), "kept for history");
    let all = list(&world, "").await?;
    let row = all.iter().find(|key| key["name"] == "living").cloned().unwrap_or_default();
    // Never more than prefix and the last four characters.
    assert_eq!(row["redacted_value"], format!("clv_\u{2026}{}", &value[value.len() - 4..]));
    assert!(row["created_at"].as_i64().is_some_and(|at| at > 1_700_000_000));
    assert!(row.as_object().is_some_and(|members| members.contains_key("last_used_at")));

    let shown = world.claviger(&["keys", "list"]).await?;
    let title = shown.lines().next().unwrap_or_default();
    for column in ["NAME", "KEY", "CREATED", "LAST USED"] {
        assert!(title.contains(column), "{shown}");
    }
    let row = shown.lines().find(|line| line.contains("living")).unwrap_or_default();
    assert!(row.contains(&format!("clv_\u{2026}{}", &value[value.len() - 4..])) && row.contains("Z"), "{row}");
    assert!(!shown.contains("gone"), "{shown}");
    assert!(world.claviger(&["keys", "list", "--all"]).await?.contains("gone"));
    for place in [&["keys", "list", "--json"][..], &["audit", "list", "--json"], &["audit", "export"]] {
        let printed = world.claviger(place).await?;
        assert!(!printed.contains(&value[17..37]), "{place:?} gives the secret");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s1_14_the_number_of_keys_is_limited_and_revoking_frees_a_place() -> Result<()> {
    for engine in Engine::ALL {
        let world = Plan::default().on(engine).keys("max_per_organization = 6").start().await?;
        let living = list(&world, "").await?.len();
        // Of many at once, exactly as many are made as there are places.
        let bodies: Vec<Value> = (0..15).map(|number| json!({ "name": format!("n{number}") })).collect();
        let answers = join_all(bodies.iter().map(|body| world.client.post(KEYS, &world.admin_key, body))).await;
        let answers: Vec<_> = answers.into_iter().collect::<Result<_>>()?;
        let made = answers.iter().filter(|answer| answer.status == 200).count();
        assert_eq!(made, 6 - living);
        for refused in answers.iter().filter(|answer| answer.status != 200) {
            assert_eq!(refused.refusal(), (400, "key_limit_reached".to_owned()));
            assert!(refused.text().contains("This organization has 6 of 6 API keys;"), "{}", refused.text());
        }
        let ran = world.run(&["keys", "create", "one more"], "").await?;
        assert_eq!((ran.code, ran.err.contains("6 of 6")), (6, true), "{}", ran.err);
        let victim = answers.iter().find(|answer| answer.status == 200).map(|answer| text(&answer.json()["id"]));
        world.revoke(&victim.unwrap_or_default()).await?;
        world.key("in its place").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s2_9_s3_17_s4_11_each_keys_use_is_told_apart_and_adds_up() -> Result<()> {
    let world = World::usual().await?;
    let (one, two) = (
        world.create_key(&json!({ "name": "website" })).await?,
        world.create_key(&json!({ "name": "batch job" })).await?,
    );
    let idle = world.create_key(&json!({ "name": "idle" })).await?;
    for (key, calls) in [(&one, 3), (&two, 1)] {
        for _ in 0..calls {
            let answer = world.client.post("/v1/chat/completions", &text(&key["value"]), &chat("paid/echo")).await?;
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
    }
    let refused = world.client.post("/v1/chat/completions", &text(&two["value"]), &chat("unpriced/echo")).await?;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let cost = |calls: i64| calls * token_cost(4, 1_000_000_000, 3, 2_000_000_000);
    let amount = |nanos: i64| format!("0.{nanos:09}");

    let now = std::time::UNIX_EPOCH.elapsed().map(|since| since.as_secs()).unwrap_or_default();
    let path = format!("/v1/organization/usage/completions?start_time={}&group_by=api_key_id&limit=31", now - 86_400);
    for (key, calls, errors) in [(&one, 3, 0), (&two, 1, 1), (&idle, 0, 0)] {
        let id = text(&key["id"]);
        let records = eventually(15, "every record is there", async || {
            let path = format!("/v1/organization/requests?api_key_id={id}&limit=100");
            let found = world.client.get(&path, &world.admin_key).await?.json();
            let found = found["data"].as_array().cloned().unwrap_or_default();
            Ok((found.len() == calls + errors).then_some(found))
        })
        .await?;
        let failed = records.iter().filter(|record| record["error_code"].is_string()).count();
        assert_eq!(failed, errors, "{records:?}");
        let page = world.client.get(&path, &world.admin_key).await?.json();
        let rows = page["data"].as_array().into_iter().flatten().flat_map(|bucket| bucket["results"].as_array());
        let rows: Vec<&Value> = rows.flatten().filter(|row| row["api_key_id"] == id.as_str()).collect();
        let sum = |member: &str| rows.iter().filter_map(|row| row[member].as_u64()).sum::<u64>();
        let calls = u64::try_from(calls)?;
        assert_eq!((sum("input_tokens"), sum("output_tokens")), (4 * calls, 3 * calls), "{rows:?}");
        if calls > 0 {
            assert_eq!(rows[0]["charge"], amount(cost(i64::try_from(calls)?)), "{rows:?}");
            let printed = world.claviger(&["usage", "--by", "key", "--key", &id, "--json"]).await?;
            assert!(printed.contains(&amount(cost(i64::try_from(calls)?))), "{printed}");
        }
    }
    // Last uses are written every ten seconds.
    eventually(20, "both last uses are shown", async || {
        let all = list(&world, "").await?;
        let used = |name: &str| all.iter().any(|key| key["name"] == name && key["last_used_at"].is_i64());
        assert!(!used("idle"));
        Ok((used("website") && used("batch job")).then_some(()))
    })
    .await?;
    // One integration ends, the other goes on.
    assert_eq!(world.client.delete(&format!("{KEYS}/{}", text(&one["id"])), &world.admin_key).await?.status, 200);
    assert_eq!(world.client.get("/v1/models", &text(&one["value"])).await?.status, 401);
    assert_eq!(world.client.get("/v1/models", &text(&two["value"])).await?.status, 200);
    Ok(())
}

/// Sets keys back in time, in the database of a server that is down.
async fn aged(world: &mut World, days: i64) -> Result<()> {
    world.server.stop().await?;
    let back = days * 86_400 * 1_000_000;
    let text = format!(
        "UPDATE api_key SET created_at = created_at - {back}; UPDATE secret SET created_at = created_at - {back}, \
         first_used_at = first_used_at - {back}, last_used_at = last_used_at - {back};"
    );
    let output =
        tokio::process::Command::new("sqlite3").arg(world.data().join("claviger.db")).arg(text).output().await?;
    anyhow::ensure!(output.status.success(), "sqlite3: {}", String::from_utf8_lossy(&output.stderr));
    world.restart().await
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_20_s1_16_s4_14_age_and_idleness_are_shown_and_a_rotation_makes_a_key_young() -> Result<()> {
    let mut world = World::usual().await?;
    let old = world.create_key(&json!({ "name": "old", "source_tag": "etl", "limits": { "rpm": 60 } })).await?;
    aged(&mut world, 366).await?;
    world.create_key(&json!({ "name": "young", "expires_in_seconds": 86_400 })).await?;
    let flags = async |name: &str| -> Result<Vec<String>> {
        let all = list(&world, "").await?;
        let found = all.iter().find(|key| key["name"] == name).map(|key| key["flags"].clone()).unwrap_or_default();
        Ok(found.as_array().into_iter().flatten().map(text).collect())
    };
    assert!(flags("old").await?.contains(&"old".to_owned()), "warned at 365 days: {:?}", flags("old").await?);
    assert!(flags("young").await?.contains(&"expiring".to_owned()), "expiry is optional, and shown");
    let quiet = |arguments: &'static [&'static str]| world.claviger(arguments);
    let unused = quiet(&["keys", "list", "--unused", "90d"]).await?;
    assert!(unused.contains("old") && !unused.contains("young"), "{unused}");
    assert_eq!(names(&list(&world, "?unused_days=90&class=inference").await?), ["old"]);
    let aged = quiet(&["keys", "list", "--older-than", "365d"]).await?;
    assert!(aged.contains("old") && !aged.contains("young"), "{aged}");
    let expiring = quiet(&["keys", "list", "--expiring", "14d"]).await?;
    assert!(expiring.contains("young") && !expiring.contains("etl"), "{expiring}");

    let text_of_new = quiet(&["keys", "rotate", "old"]).await?;
    assert!(!flags("old").await?.contains(&"old".to_owned()), "the new text is young");
    let id = text(&old["id"]);
    let after = world.client.get(&format!("{KEYS}/{id}"), &world.admin_key).await?.json();
    for member in ["id", "name", "source_tag", "limits", "policy", "environment_id"] {
        assert_eq!(after[member], old[member], "a rotation keeps {member}");
    }
    assert_eq!(after["secrets"].as_array().map(Vec::len), Some(2));
    assert_eq!(world.client.get("/v1/models", text_of_new.trim()).await?.status, 200);
    assert_eq!(world.client.get("/v1/models", &text(&old["value"])).await?.status, 200, "the overlap");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn s4_13_a_new_client_of_a_grown_key_is_flagged_and_stands_in_the_audit_log() -> Result<()> {
    let mut world = World::usual().await?;
    let key = world.create_key(&json!({ "name": "grown" })).await?;
    assert_eq!(world.ask(&text(&key["value"]), "free/echo").await?.status, 200);
    aged(&mut world, 2).await?;
    let answer = world.ask_from(&text(&key["value"]), &[("user-agent", "evil/1 of nobody")]).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let found = eventually(25, "the record of a new caller", async || {
        let path = "/v1/organization/audit_logs?event_types[]=api_key.new_caller";
        let page = world.client.get(path, &world.admin_key).await?.json();
        Ok(page["data"].as_array().filter(|data| !data.is_empty()).cloned())
    });
    let found = found.await?;
    assert_eq!((found.len(), &found[0]["api_key.new_caller"]["id"]), (1, &key["id"]), "{found:?}");
    let told = found[0].to_string();
    assert!(told.contains("evil/1") && told.contains("127.0.0.0/24"), "{told}");
    let shown = world.client.get(&format!("{KEYS}/{}", text(&key["id"])), &world.admin_key).await?.json();
    assert!(shown["flags"].to_string().contains("new_caller"), "{shown}");
    assert!(world.claviger(&["audit", "verify"]).await?.starts_with("audit verify ok"));
    Ok(())
}
