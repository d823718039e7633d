//! `claviger setup`: the first organization, its owner, an admin key; unattended.

use super::arguments::SetupOptions;
use super::output::{Output, say, text};
use super::secret_out::Place;
use super::transport::Transport;
use super::{Failure, Kind};
use serde_json::{Value, json};
use std::io::Read as _;
use std::process::ExitCode;

/// The most a password file may hold.
const PASSWORD_BYTES_MAX: u64 = 4096;

/// Sets up and prints what must be kept.
pub(super) async fn run(
    transport: &Transport,
    output: &Output,
    options: &SetupOptions,
    organization: Option<&str>,
) -> Result<ExitCode, Failure> {
    let organization = organization.ok_or_else(|| Failure::new(Kind::Usage, "setup needs --organization NAME"))?;
    let password = password(&options.password_file)?;
    let mut place = Place::open(options.to_file.as_deref(), None)?;
    let mut body = json!({ "organization": organization, "email": options.email, "password": password });
    for (name, value) in [("credit", &options.credit), ("key_name", &options.key_name)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    let mut reply = transport.post("/api/operator/setup", &body).await?.body;
    if !place.is_stdout() {
        place.take(text(&reply["key"], "value"), text(&reply["key"], "id"))?;
        if let Some(key) = reply["key"].as_object_mut() {
            key.remove("value");
        }
    }
    if let Some(members) = reply.as_object_mut() {
        members.remove("object");
        // The server names the console's address already; there is nothing to see at it yet.
        members.remove("console");
    }
    if !output.json(&reply) {
        print(&reply, options.to_file.as_deref());
    }
    Ok(ExitCode::SUCCESS)
}

fn print(reply: &Value, file: Option<&std::path::Path>) {
    say(format_args!("Organization  {}  {}", text(&reply["organization"], "id"), text(&reply["organization"], "slug")));
    say(format_args!("Owner         {}  {}", text(&reply["owner"], "id"), text(&reply["owner"], "email")));
    say(format_args!("Admin key     {}   (shown once)", text(&reply["admin_key"], "value")));
    match (reply["key"].is_object(), file) {
        (true, None) => say(format_args!("Key           {}   (shown once)", text(&reply["key"], "value"))),
        (true, Some(file)) => say(format_args!("Key           {}, in {}", text(&reply["key"], "id"), file.display())),
        (false, _) => {}
    }
    if let Some(credit) = reply["credit"].as_str() {
        say(format_args!("Credit        {credit}"));
    }
}

/// The first line of the file, or of standard input for `-`.
fn password(file: &std::path::Path) -> Result<String, Failure> {
    let cannot =
        |error: std::io::Error| Failure::new(Kind::Usage, format!("{} cannot be read: {error}", file.display()));
    let mut bytes = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().take(PASSWORD_BYTES_MAX).read_to_string(&mut bytes).map_err(cannot)?;
    } else {
        std::fs::File::open(file)
            .map_err(cannot)?
            .take(PASSWORD_BYTES_MAX)
            .read_to_string(&mut bytes)
            .map_err(cannot)?;
    }
    let line = bytes.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(Failure::new(Kind::Usage, format!("{} holds no password", file.display())));
    }
    Ok(line.to_owned())
}
