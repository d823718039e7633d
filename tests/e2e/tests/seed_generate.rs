//! Seed checks about generating a key, as far as the command line goes: the words one looks for, the text once, and that
//! it is copied before it is gone. The ids in the names are those of the seed checks.

use claviger_e2e::{Ran, Result, World, binary, text};
use tokio::process::Command;

/// The command on a terminal of its own.
async fn on_a_terminal(world: &World, line: &str) -> Result<Ran> {
    let mut command = Command::new("script");
    let line = format!("{} {line} --data data --config claviger.toml", binary("claviger")?.display());
    command.args(["-qec", &line, "/dev/null"]).current_dir(world.folder.path());
    Ran::of(command, "").await
}

#[tokio::test(flavor = "multi_thread")]
async fn s0_3_s2_4_s4_2_a_key_is_created_by_the_words_one_looks_for_and_labelled_while_it_can_be_copied() -> Result<()>
{
    let world = World::usual().await?;
    // S0-3, S4-2: the noun is where one looks, in either number, and says how.
    for words in [&["help", "keys"][..], &["help", "key"], &["keys", "--help"]] {
        let ran = world.run(words, "").await?;
        assert!(ran.code == 0 && ran.out.to_lowercase().contains("create"), "{words:?}: {}{}", ran.out, ran.err);
    }
    let unnamed = world.run(&["keys", "create"], "").await?;
    assert!(unnamed.code == 2 && unnamed.err.contains("<NAME>"), "{}", unnamed.err);

    // S2-4: on a terminal the text is labelled as shown once, and the list has it no more.
    let ran = on_a_terminal(&world, "keys create 'local dev'").await?;
    assert!(ran.code == 0 && ran.out.contains("local dev") && ran.out.contains("shown once"), "{}", ran.out);
    let value = ran.out.split_whitespace().find(|word| word.starts_with("clv_")).unwrap_or_default().to_owned();
    assert_eq!(world.ask(&value, "free/echo").await?.status, 200);
    let listed = world.claviger(&["keys", "list", "--json"]).await?;
    assert!(listed.contains("local dev") && !listed.contains(&value), "{listed}");

    // Whoever missed it gets another for ten minutes, and only while nobody used it.
    let missed = world.create_key(&serde_json::json!({ "name": "missed" })).await?;
    let again = world.run(&["keys", "reissue", "missed"], "").await?;
    assert_eq!(world.ask(again.out.trim(), "free/echo").await?.status, 200, "{}", again.err);
    assert_eq!(world.ask(&text(&missed["value"]), "free/echo").await?.status, 401);
    Ok(())
}
