//! docs/getting-started.md, taken at its word: its blocks are read from the page and run in order.

use anyhow::Context as _;
use claviger_e2e::{Client, Program, Result, Upstream, binary, eventually, free_address, python, workspace_root};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tokio::process::Command;

/// The fenced blocks of one language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    page.split(&opening).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

/// Runs lines of the page in `folder`, with the program of this build first on the path.
async fn shell(folder: &Path, lines: &str) -> Result<String> {
    let program = binary("claviger")?;
    let programs = program.parent().context("no folder")?;
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    let output = Command::new("bash").args(["-euc", lines]).current_dir(folder).env("PATH", path).output().await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{lines}\nended with {}:\n{printed}\n{errors}", output.status);
    Ok(printed)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_works_as_written() -> Result<()> {
    let page = std::fs::read_to_string(workspace_root().join("docs/getting-started.md"))?;
    let (lines, tables, scripts) = (blocks(&page, "sh"), blocks(&page, "toml"), blocks(&page, "python"));
    let block = |word: &str| lines.iter().find(|block| block.contains(word)).cloned().context(word.to_owned());
    let folder = tempfile::tempdir()?;
    let folder = folder.path();

    let key_file = folder.join("house-key");
    std::fs::write(&key_file, "sk-house")?;
    std::fs::set_permissions(&key_file, std::fs::Permissions::from_mode(0o600))?;
    let upstream = Upstream::start(folder, "upstream", "vllm", &key_file, None).await?;
    let table = tables.first().context("the configuration")?.replace("http://127.0.0.1:8000", upstream.url());
    std::fs::write(folder.join("claviger.toml"), table)?;
    assert!(shell(folder, &block("claviger setup")?).await?.contains("admin_key"));

    let (listen, private) = (free_address()?, free_address()?);
    let mut serve = Command::new(binary("claviger")?);
    serve.args(["serve", "--listen", &listen, "--private-listen", &private]).current_dir(folder);
    let mut server = Program::start(serve, &folder.join("server.log"))?;
    let probe = Client::new(&format!("http://{private}"));
    eventually(20, "the server is ready", async || {
        server.ensure_running()?;
        Ok(probe.send("GET", "/readyz", &[], b"").await.ok().filter(|answer| answer.status == 200))
    })
    .await?;

    let key = shell(folder, &block("claviger keys create")?).await?.trim().to_owned();
    let script = scripts.first().context("the script")?.replace("127.0.0.1:8080", &listen).replace("clv_…", &key);
    let script_file = folder.join("call.py");
    std::fs::write(&script_file, script)?;
    let said = python("openai-3", script_file.to_str().context("a path")?)?.text().await?;
    assert_eq!(said, "Say hello");

    let requests = shell(folder, "claviger requests list --json").await?;
    let at = requests.find("req_").context("no request id")?;
    let request: String = requests[at..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    let printed = shell(folder, &block("claviger credits")?.replace("req_…", &request)).await?;
    for word in ["checkout", "9.99999", "complete", &request] {
        assert!(printed.contains(word), "{word} is not in\n{printed}");
    }
    let refused = Client::new(&format!("http://{listen}")).get("/v1/models", &key).await?;
    assert_eq!(refused.refusal(), (401, "key_revoked".to_owned()));
    shell(folder, &block("claviger ledger verify")?).await?;
    Ok(())
}
