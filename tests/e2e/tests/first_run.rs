//! The first minute: an empty directory, one command, a block on the terminal whose `curl` works as pasted.

use claviger_e2e::{Client, Program, Result, binary, eventually, free_address};
use serde_json::Value;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn the_block_of_the_first_start_works_as_pasted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (listen, private) = (free_address()?, free_address()?);
    let mut command = Command::new(binary("claviger")?);
    command.args(["serve", "--listen", &listen, "--private-listen", &private]);
    command.current_dir(folder.path());
    let mut server = Program::start(command, &folder.path().join("output"))?;
    let block = eventually(20, "the first-run block is printed", async || {
        server.ensure_running()?;
        let output = server.output();
        Ok(output.contains("sim-echo").then_some(output))
    })
    .await?;
    assert!(block.contains(&format!(" http://{listen}/v1 ")), "{block}");
    let export = block.lines().find(|line| line.trim().starts_with("export ")).unwrap_or_default().trim();
    assert!(
        export.contains(&format!("OPENAI_BASE_URL=http://{listen}/v1")) && export.contains("OPENAI_API_KEY=clv_test_")
    );
    let start = block.lines().position(|line| line.trim().starts_with("curl ")).unwrap_or_default();
    let curl: String = block.lines().skip(start).take(2).collect::<Vec<_>>().join("\n");
    let pasted = Command::new("bash").args(["-c", &format!("{export}\n{curl}")]).output().await?;
    let reply: Value = serde_json::from_slice(&pasted.stdout)?;
    assert_eq!(reply["choices"][0]["message"]["content"], "Say hello", "{reply}");
    assert_eq!(reply["usage"]["total_tokens"], 7, "{reply}");

    let key = export.rsplit('=').next().unwrap_or_default().to_owned();
    server.stop().await?;
    let mut command = Command::new(binary("claviger")?);
    command.args(["serve", "--listen", &listen, "--private-listen", &private]);
    command.current_dir(folder.path());
    let mut again = Program::start(command, &folder.path().join("second"))?;
    let client = Client::new(&format!("http://{listen}"));
    eventually(20, "the second start serves", async || {
        again.ensure_running()?;
        Ok(client.get("/v1/models", &key).await.ok().filter(|answer| answer.status == 200))
    })
    .await?;
    assert!(!again.output().contains(&key), "the key is printed once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_address_without_tls_is_refused_with_the_reason() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let port = address.rsplit(':').next().unwrap_or_default();
    let output = Command::new(binary("claviger")?)
        .args(["serve", "--listen", &format!("0.0.0.0:{port}"), "--private-listen", &free_address()?])
        .current_dir(folder.path())
        .kill_on_drop(true)
        .output()
        .await?;
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("plain"), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_directory_is_refused() -> Result<()> {
    let world = claviger_e2e::World::usual().await?;
    let output = Command::new(binary("claviger")?)
        .args(["serve", "--data", "data", "--listen", &free_address()?, "--private-listen", &free_address()?])
        .current_dir(world.folder.path())
        .kill_on_drop(true)
        .output()
        .await?;
    assert!(!output.status.success());
    assert_eq!(world.client.get("/v1/models", &world.key("still").await?).await?.status, 200);
    Ok(())
}
