//! docs/getting-started.md and docs/keys.md, taken at their word: their blocks are read from the page and run in order.

use anyhow::Context as _;
use claviger_e2e::{Client, Program, Result, World, binary, eventually, free_address, python, workspace_root};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The fenced blocks of one language, in order.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let opening = format!("```{language}\n");
    page.split(&opening).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

/// Runs lines of the page in `folder`, with the program of this build first on the path.
async fn shell(folder: &Path, lines: &str) -> Result<String> {
    let output = command(folder, lines)?.kill_on_drop(true).output().await?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{lines}\nended with {}:\n{printed}\n{errors}", output.status);
    Ok(printed)
}

fn command(folder: &Path, lines: &str) -> Result<Command> {
    let program = binary("claviger")?;
    let programs = program.parent().context("no folder")?;
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display());
    let mut command = Command::new("bash");
    command.args(["-euc", lines]).current_dir(folder).env("PATH", path).env("HOME", folder);
    Ok(command)
}

/// The page's blocks, each to be taken once and in order.
struct Walk {
    blocks: std::vec::IntoIter<String>,
    home: tempfile::TempDir,
    listen: String,
    upstream: String,
    private: String,
}

impl Walk {
    /// The next block, which must hold `word`, with addresses that are free here.
    fn next(&mut self, word: &str) -> Result<String> {
        let block = self.blocks.next().with_context(|| format!("no block with {word}"))?;
        anyhow::ensure!(block.contains(word), "{word} is not in\n{block}");
        let serve = format!("claviger serve --listen {} --private-listen {}", self.listen, self.private);
        let block = block.replace("127.0.0.1:8080", &self.listen).replace("127.0.0.1:9100", &self.upstream);
        Ok(block
            .replace("claviger serve", &format!("exec {serve}"))
            .replace("claviger simulate", "exec claviger simulate"))
    }

    /// The directory that the page makes.
    fn folder(&self) -> PathBuf {
        self.home.path().join("claviger-walk")
    }

    /// Runs a block that holds its terminal, until what it serves answers.
    async fn terminal(&self, folder: &Path, lines: &str, probe: &str) -> Result<Program> {
        let mut program = Program::start(command(folder, lines)?, &self.home.path().join("output"))?;
        let (client, path) = probe.split_once('/').context("a path")?;
        let (client, path) = (Client::new(&format!("http://{client}")), format!("/{path}"));
        eventually(20, "the terminal's program is ready", async || {
            program.ensure_running()?;
            Ok(client.send("GET", &path, &[], b"").await.ok().filter(|answer| answer.status == 200))
        })
        .await?;
        Ok(program)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_works_as_written() -> Result<()> {
    let page = std::fs::read_to_string(workspace_root().join("docs/getting-started.md"))?;
    let mut walk = Walk {
        blocks: blocks(&page, "sh").into_iter(),
        home: tempfile::tempdir()?,
        listen: free_address()?,
        upstream: free_address()?,
        private: free_address()?,
    };
    let (home, folder) = (walk.home.path().to_path_buf(), walk.folder());
    let ready = format!("{}/readyz", walk.private);
    walk.next("cargo install")?;
    let lines = walk.next("mkdir")?;
    let mut server = walk.terminal(&home, &lines, &ready).await?;
    eventually(5, "the first block says how to set up", async || {
        Ok(server.output().contains("  Set up   claviger setup --organization").then_some(()))
    })
    .await?;
    let said = shell(&home, &walk.next("claviger setup")?).await?;
    assert!(said.contains("Admin key     clv_"), "{said}");

    let lines = walk.next("claviger simulate")?;
    let _upstream = walk.terminal(&folder, &lines, &format!("{}/_sim/stats", walk.upstream)).await?;
    shell(&folder, &walk.next("claviger.toml")?).await?;
    server.stop().await?;
    let lines = walk.next("claviger serve")?;
    let _server = walk.terminal(&folder, &lines, &ready).await?;
    let said = shell(&folder, &walk.next("claviger doctor")?).await?;
    assert!(said.contains("house accepts connections"), "{said}");

    let lines = format!("{}\nprintf '\\n%s' \"$OPENAI_API_KEY\"", walk.next("claviger keys create")?);
    let said = shell(&folder, &lines).await?;
    let (answer, key) = said.rsplit_once('\n').context("no key")?;
    assert!(answer.contains("\"content\":\"Say hello\""), "{answer}");
    let script_file = home.join("call.py");
    std::fs::write(&script_file, blocks(&page, "python").concat())?;
    let script = python("openai-3", script_file.to_str().context("a path")?)?.env("OPENAI_API_KEY", key);
    let script = script.env("OPENAI_BASE_URL", &format!("http://{}/v1", walk.listen));
    assert_eq!(script.text().await?, "Say hello");

    let said = shell(&folder, &walk.next("claviger credits")?).await?;
    for word in ["checkout", "9.99999", "complete", "req_"] {
        assert!(said.contains(word), "{word} is not in\n{said}");
    }
    let refused = Client::new(&format!("http://{}", walk.listen)).get("/v1/models", key).await?;
    assert_eq!(refused.refusal(), (401, "key_revoked".to_owned()));
    shell(&folder, &walk.next("claviger ledger verify")?).await?;
    assert_eq!(walk.blocks.next(), None, "every block was run");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_keys_works_as_written() -> Result<()> {
    let page = std::fs::read_to_string(workspace_root().join("docs/keys.md"))?;
    let world = World::usual().await?;
    let folder = world.data().parent().context("no folder")?.to_path_buf();
    // What the page leaves to its reader: where the server is, who asks, the yes to what is asked, and that a refusal is one.
    let reader = format!(
        "claviger() {{ command claviger \"$@\" --data data --config claviger.toml -y; }}\n\
         curl() {{ command curl -sS --fail-with-body \"$@\"; }}\n\
         CLAVIGER=http://{} ADMIN_KEY={}\n",
        world.address(),
        world.admin_key
    );
    let mut blocks = blocks(&page, "sh").into_iter();
    let mut next = |word: &str| {
        let block = blocks.next().with_context(|| format!("no block with {word}"))?;
        anyhow::ensure!(block.contains(word), "{word} is not in\n{block}");
        Ok::<_, anyhow::Error>(block)
    };
    let said = shell(&folder, &format!("{reader}{}", next("keys create")?)).await?;
    let key = said.split_whitespace().find(|word| word.starts_with("clv_")).context("no key was shown")?.to_owned();
    let id = format!("key_{}", key.get(4..16).context("a short key")?);
    let reader = format!("{reader}KEY_ID={id} PRESENTED={key}\n");
    let run = async |block: String| shell(&folder, &format!("{reader}{block}")).await;
    let said = run(next("policy")?).await?;
    assert!(said.contains("acme/*") && said.contains("10.0.0.0/8"), "{said}");
    run(next("keys callers")?).await?;
    run(next("keys rotate")?).await?;
    let object = async || {
        Ok::<_, anyhow::Error>(
            world.client.get(&format!("/v1/organization/api_keys/{id}"), &world.admin_key).await?.json(),
        )
    };
    let read = object().await?;
    assert_eq!(read["secrets"].as_array().map(Vec::len), Some(2), "{read}");
    assert!(!read["secrets"][1]["ended_at"].is_null(), "the first text has ended: {read}");
    run(next("keys revoke")?).await?;
    assert_eq!(object().await?["state"], "revoked");
    let said = run(next("keys/verify")?).await?;
    assert!(said.contains("\"valid\":false"), "{said}");
    assert_eq!(blocks.next(), None, "every block was run");
    Ok(())
}
