//! Seeded bugs of revocation (`reliability.md` §2.4), each caught by its name on real processes; and that the protocol as it
//! ships passes the very same trial. `docs/seeded-bugs.md` lists them.
//!
//! Partitions are wires that fall silent, hosts that hang are SIGSTOP; clocks that run too fast or too slow are a switch
//! of the same build, since no test can change the rate of one process's clock from outside.

use crate::cluster::Node;
use crate::{S, call, everywhere, plan, text};
use claviger_e2e::{Client, Engine, Plan, Result, World, eventually, now};
use serde_json::json;
use std::time::Duration;

async fn bugged(bug: &str) -> Result<(World, Node, String, String)> {
    let world = plan().start().await?;
    let node = Node::made(&world, "bugged", Some(bug)).await?;
    let created = world.create_key(&json!({ "name": "k" })).await?;
    Ok((world, node, text(&created["id"]), text(&created["value"])))
}

/// Whether a call that is sent now, after the answer, is served within the time.
pub(crate) async fn slips_within(client: &Client, key: &str, time: Duration) -> Result<bool> {
    let begun = now();
    while begun.elapsed() < time {
        let answer = tokio::time::timeout(Duration::from_secs(2), call(client, key)).await;
        if matches!(answer, Ok(Ok(200))) {
            return Ok(true);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(false)
}

/// A poll that was sent just before the network went away is answered a quarter of a lease later.
async fn a_slow_then_silent_network(bug: &str) -> Result<bool> {
    let world = Plan::default().on(Engine::Postgres).more("validity_lease = \"2s\"\n").start().await?;
    let mut node = Node::made(&world, "bugged", Some(bug)).await?;
    node.start()?;
    node.ready().await?;
    for _ in 0..6 {
        let created = world.create_key(&json!({ "name": "k" })).await?;
        let (id, key) = (text(&created["id"]), text(&created["value"]));
        everywhere(std::slice::from_ref(&node.client), &key, 200).await?;
        node.wire.delay(Duration::from_millis(450));
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let asked = node.wire.questions();
        eventually(10, "a poll passes", async || Ok((node.wire.questions() > asked).then_some(()))).await?;
        tokio::time::sleep(Duration::from_millis(15)).await;
        node.wire.stall();
        world.revoke(&id).await?;
        let has_slipped = slips_within(&node.client, &key, Duration::from_millis(600)).await?;
        node.wire.heal();
        if has_slipped {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn a_paused_node(bug: &str) -> Result<bool> {
    let (world, mut node, id, key) = bugged(bug).await?;
    node.start()?;
    node.ready().await?;
    everywhere(std::slice::from_ref(&node.client), &key, 200).await?;
    node.pause().await?;
    let revoked = world.revoke(&id).await;
    tokio::time::sleep(S / 4).await;
    node.resume().await?;
    revoked?;
    slips_within(&node.client, &key, Duration::from_secs(2)).await
}

async fn a_node_that_joins_meanwhile(bug: &str) -> Result<bool> {
    let (world, mut node, id, key) = bugged(bug).await?;
    node.start()?;
    // It reads its snapshot within the first second, and with the bug it registers three seconds later.
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    world.revoke(&id).await?;
    node.ready().await?;
    slips_within(&node.client, &key, Duration::from_secs(1)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_from_reply_refused_renewal_ignored_and_joins_after_snapshot_are_caught() -> Result<()> {
    assert!(!a_slow_then_silent_network("").await?, "the protocol as it ships");
    assert!(a_slow_then_silent_network("lease_from_reply").await?, "lease_from_reply");
    assert!(!a_paused_node("").await?, "the protocol as it ships");
    assert!(a_paused_node("refused_renewal_ignored").await?, "refused_renewal_ignored");
    assert!(!a_node_that_joins_meanwhile("").await?, "the protocol as it ships");
    assert!(a_node_that_joins_meanwhile("joins_after_snapshot").await?, "joins_after_snapshot");
    Ok(())
}

/// Two clocks that are off by two hundredths in opposite directions, and a network that falls silent right behind a poll:
/// the node's lease outlasts the same time on the observer's clock.
async fn clocks_of_different_rates(bug: &str) -> Result<bool> {
    let lease = Plan::default().on(Engine::Postgres).more("validity_lease = \"4s\"\n");
    let world = lease.with_bug(bug).clock_rate(1_020).start().await?;
    let mut node = Node::made(&world, "slow", Some("")).await?;
    node.clock_rate(980);
    node.start()?;
    node.ready().await?;
    for _ in 0..3 {
        let created = world.create_key(&json!({ "name": "k" })).await?;
        let (id, key) = (text(&created["id"]), text(&created["value"]));
        everywhere(std::slice::from_ref(&node.client), &key, 200).await?;
        let asked = node.wire.questions();
        eventually(10, "a poll passes", async || Ok((node.wire.questions() > asked).then_some(()))).await?;
        // Its answer arrives.
        tokio::time::sleep(Duration::from_millis(15)).await;
        node.wire.stall();
        world.revoke(&id).await?;
        let has_slipped = slips_within(&node.client, &key, Duration::from_millis(300)).await?;
        node.wire.heal();
        if has_slipped {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A revocation that is overtaken by another change between its number and its commit.
async fn a_revocation_that_is_overtaken(bug: &str) -> Result<bool> {
    let world = plan().with_bug(bug).start().await?;
    let node = Node::added_to(&world, "second").await?;
    for round in 0..6 {
        let created = world.create_key(&json!({ "name": "k" })).await?;
        let (id, key) = (text(&created["id"]), text(&created["value"]));
        everywhere(std::slice::from_ref(&node.client), &key, 200).await?;
        // Of another organization: acts of one wait for each other at the head of its audit chain.
        let name = format!("Other{round}");
        let create = ["organizations", "create", name.as_str()];
        let overtake = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            world.claviger(&create).await
        };
        let (revoked, overtook) = tokio::join!(world.revoke(&id), overtake);
        revoked?;
        overtook?;
        if slips_within(&node.client, &key, Duration::from_millis(300)).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_clock_rate_margin_is_caught() -> Result<()> {
    let (ships, bug) =
        tokio::try_join!(clocks_of_different_rates(""), clocks_of_different_rates("no_clock_rate_margin"))?;
    assert!(!ships, "the protocol as it ships");
    assert!(bug, "no_clock_rate_margin");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn epoch_from_a_sequence_is_caught() -> Result<()> {
    assert!(!a_revocation_that_is_overtaken("").await?, "the protocol as it ships");
    assert!(a_revocation_that_is_overtaken("epoch_from_a_sequence").await?, "epoch_from_a_sequence");
    Ok(())
}
