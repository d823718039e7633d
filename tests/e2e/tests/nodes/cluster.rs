//! Further nodes of a world: processes of their own, with data directories of their own, on the same Postgres.

use crate::wire::Wire;
use anyhow::{Context, Result, ensure};
use claviger_e2e::{Client, Program, World, binary, eventually, free_address};
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// One more node.
pub(crate) struct Node {
    /// Its process.
    pub(crate) server: Program,
    /// A client of its API.
    pub(crate) client: Client,
    /// What lies between it and the database.
    pub(crate) wire: Wire,
    folder: PathBuf,
    binary: PathBuf,
    bug: Option<String>,
    clock_rate: Option<u32>,
    listen: String,
    private: String,
}

impl Node {
    /// Adds a node of the binary that ships to a world.
    pub(crate) async fn added_to(world: &World, name: &str) -> Result<Self> {
        let mut node = Self::made(world, name, None).await?;
        node.start()?;
        node.ready().await?;
        Ok(node)
    }

    /// A node with a seeded bug, or without, that is not started yet.
    pub(crate) async fn made(world: &World, name: &str, bug: Option<&str>) -> Result<Self> {
        let own = world.folder.path();
        let folder = own.join(name);
        let data = folder.join("data");
        std::fs::create_dir_all(&data)?;
        make_private(&data, 0o700)?;
        for file in ["pepper", "audit-key"] {
            std::fs::copy(own.join("data").join(file), data.join(file)).with_context(|| file.to_owned())?;
            make_private(&data.join(file), 0o600)?;
        }
        let text = std::fs::read_to_string(own.join("claviger.toml"))?;
        let server = database_of(&text).context("the world is not on Postgres")?;
        let wire = Wire::to(&server).await?;
        std::fs::write(folder.join("claviger.toml"), text.replace(&server, wire.address()))?;
        let (listen, private) = (free_address()?, free_address()?);
        let binary = binary(if bug.is_some() { "claviger-bugs" } else { "claviger" })?;
        Ok(Node {
            server: Program::start(Command::new("true"), &folder.join("server.log"))?,
            client: Client::new(&format!("http://{listen}")),
            wire,
            folder,
            binary,
            bug: bug.map(str::to_owned),
            clock_rate: None,
            listen,
            private,
        })
    }

    /// Its clock runs at this many thousandths of the true rate, from its next start.
    pub(crate) fn clock_rate(&mut self, thousandths: u32) {
        self.clock_rate = Some(thousandths);
    }

    /// Starts its process; it may not be ready yet.
    pub(crate) fn start(&mut self) -> Result<()> {
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.folder).env("NO_COLOR", "1");
        if std::env::var_os("CLAVIGER_EVIDENCE").is_some() {
            command.env("CLAVIGER_TELEMETRY_LEVEL", "trace");
        }
        if let Some(bug) = &self.bug {
            command.env("CLAVIGER_BUG", bug);
        }
        if let Some(rate) = self.clock_rate {
            command.env("CLAVIGER_CLOCK_RATE", rate.to_string());
        }
        command.args(["serve", "--data", "data", "--config", "claviger.toml", "--listen", &self.listen]);
        command.args(["--private-listen", &self.private]);
        self.server = Program::start(command, &self.folder.join("server.log"))?;
        Ok(())
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let probe = Client::new(&format!("http://{}", self.private));
        let server = &mut self.server;
        eventually(30, "the node is ready", async || {
            server.ensure_running()?;
            let answer = probe.send("GET", "/readyz", &[], b"").await;
            Ok(answer.ok().filter(|answer| answer.status == 200).map(drop))
        })
        .await
    }

    /// Stops every step of it, as a host that hangs does.
    pub(crate) async fn pause(&self) -> Result<()> {
        self.signal("-STOP").await
    }

    /// Lets it go on.
    pub(crate) async fn resume(&self) -> Result<()> {
        self.signal("-CONT").await
    }

    async fn signal(&self, signal: &str) -> Result<()> {
        let id = self.server.id().context("the node has ended")?;
        let sent = Command::new("kill").args([signal, &id.to_string()]).status().await?;
        ensure!(sent.success(), "{signal} was not sent");
        Ok(())
    }
}

/// Host and port of the database in a configuration.
fn database_of(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("database_url = \"postgres://")?;
    let (url, _) = rest.split_once('"')?;
    let (authority, _) = url.split_once('/')?;
    Some(authority.rsplit_once('@').map_or(authority, |(_, address)| address).to_owned())
}

fn make_private(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?)
}
