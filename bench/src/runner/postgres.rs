//! Databases of a running Postgres, by Debian's psql: made for one measurement, and dropped behind it.

use std::process::Command;

use anyhow::{Context, ensure};

/// A database that goes with this value.
#[derive(Debug)]
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes a database on a server, whose URL names none.
    pub(crate) fn create(server: &str, name: &str) -> anyhow::Result<Self> {
        let database = Self { server: server.trim_end_matches('/').to_owned(), name: name.to_owned() };
        run(&format!("{}/postgres", database.server), &format!("CREATE DATABASE {name}"))?;
        Ok(database)
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// Runs a text of SQL and gives what it prints, values alone.
    pub(crate) fn run(&self, text: &str) -> anyhow::Result<String> {
        run(&self.url(), text)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let dropped = run(&format!("{}/postgres", self.server), &format!("DROP DATABASE {} WITH (FORCE)", self.name));
        if let Err(error) = dropped {
            eprintln!("the database {} stays: {error:#}", self.name);
        }
    }
}

fn run(url: &str, text: &str) -> anyhow::Result<String> {
    let words = ["-X", "-q", "-t", "-A", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text];
    let output = Command::new("psql").args(words).output().context("running psql")?;
    ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
