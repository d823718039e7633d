//! The yardstick: Debian's nginx as a reverse proxy that checks a key against a map and replaces the credential.
//!
//! It neither meters nor parses nor charges: it is the floor of the work, not a rival.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddrV4;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// Where Debian puts it; daemons are often not in a user's search path.
const PROGRAM: &str = "/usr/sbin/nginx";

/// The program, installed from Debian if it is missing and we are root.
pub(crate) fn find_or_install() -> anyhow::Result<PathBuf> {
    let program = PathBuf::from(PROGRAM);
    if !program.exists() {
        eprintln!("nginx is missing: installing Debian's package");
        // The run level keeps the package from starting a server of its own on port 80.
        let apt = |words: &[&str]| Command::new("apt-get").args(words).env("RUNLEVEL", "1").status();
        apt(&["update", "-q"]).context("apt-get update")?;
        apt(&["install", "-q", "-y", "--no-install-recommends", "nginx"]).context("apt-get install nginx")?;
    }
    ensure!(program.exists(), "{PROGRAM} is missing: apt-get install nginx");
    Ok(program)
}

/// What `nginx -v` says of itself.
pub(crate) fn version(program: &Path) -> String {
    let output = Command::new(program).arg("-v").output().map(|output| output.stderr).unwrap_or_default();
    String::from_utf8_lossy(&output).trim().trim_start_matches("nginx version: ").to_owned()
}

/// Writes the configuration into `dir` and returns the arguments that start it in the foreground.
pub(crate) fn configure(
    dir: &Path,
    listen: SocketAddrV4,
    upstream: SocketAddrV4,
    keys: &[String],
    credential: &str,
) -> anyhow::Result<Vec<String>> {
    fs::create_dir_all(dir.join("temporary"))?;
    let mut known = String::new();
    for key in keys {
        writeln!(known, "    \"Bearer {key}\" 1;")?;
    }
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path temporary/{kind};\n"))
        .concat();
    let text = format!(
        r#"worker_processes 1;
worker_rlimit_nofile 20000;
daemon off;
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
  access_log off;
{temporary}  map_hash_bucket_size 256;
  map_hash_max_size 16384;
  map $http_authorization $is_known {{
    default 0;
{known}  }}
  upstream provider {{
    server {upstream};
    keepalive 512;
    keepalive_requests 100000000;
  }}
  server {{
    listen {listen} backlog=8192;
    keepalive_requests 100000000;
    client_max_body_size 32m;
    client_body_buffer_size 4m;
    location / {{
      if ($is_known = 0) {{ return 401; }}
      proxy_pass http://provider;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Authorization "Bearer {credential}";
      proxy_buffering off;
      proxy_read_timeout 300s;
    }}
  }}
}}
"#
    );
    let file = dir.join("nginx.conf");
    fs::write(&file, text)?;
    let words = ["-p", &dir.to_string_lossy(), "-c", &file.to_string_lossy(), "-e", "stderr"];
    Ok(words.map(str::to_owned).to_vec())
}
