//! `claviger users …`, `claviger members …`, `claviger setup-link`.

use super::arguments::{Global, MembersCommand, UsersCommand};
use super::output::{Output, say, text, time, words};
use super::transport::Transport;
use super::{Failure, Kind};
use serde_json::{Value, json};
use std::process::ExitCode;

const USERS: &str = "/api/operator/users";
const MEMBERS: &str = "/v1/organization/users";

/// Prints a new set-up link.
pub(super) async fn setup_link(transport: &Transport, output: &Output, force: bool) -> Result<ExitCode, Failure> {
    let link = transport.post("/api/operator/setup_link", &json!({ "force": force })).await?.body;
    if !output.json(&link) {
        say(format_args!("{}", text(&link, "url")));
    }
    Ok(ExitCode::SUCCESS)
}

/// People of the instance.
pub(super) async fn users(
    transport: &Transport,
    output: &Output,
    global: &Global,
    command: UsersCommand,
) -> Result<ExitCode, Failure> {
    let (email, tail, body) = match command {
        UsersCommand::List => return list_users(transport, output).await,
        UsersCommand::Create { email } => {
            let made = transport.post(USERS, &json!({ "email": email })).await?.body;
            return Ok(print_user(output, &made));
        }
        UsersCommand::ResetPassword { email } => (email, "/reset_password", json!({})),
        UsersCommand::MakeOwner { email } => {
            let organization = global.organization.as_deref().unwrap_or_default();
            if organization.is_empty() {
                return Err(Failure::new(Kind::Usage, "make-owner needs --organization SLUG"));
            }
            (email, "/make_owner", json!({ "organization": organization }))
        }
        UsersCommand::MakeOperator { email } => (email, "", json!({ "operator": true })),
        UsersCommand::EndSessions { email } => (email, "/end_sessions", json!({})),
    };
    let target = format!("{USERS}?email={}", crate::percent::encoded(&email));
    let found = transport.get(&target).await?.body;
    let Some(id) = found["data"][0]["id"].as_str() else {
        return Err(Failure::new(Kind::NotFound, format!("nobody has the address {email}")).next("claviger users list"));
    };
    let changed = transport.post(&format!("{USERS}/{id}{tail}"), &body).await?.body;
    Ok(print_user(output, &changed))
}

fn print_user(output: &Output, user: &Value) -> ExitCode {
    if !output.json(user) {
        say(format_args!("{}  {}", text(user, "id"), text(user, "email")));
        if let Some(url) = user["url"].as_str() {
            say(format_args!("Password link (once)  {url}"));
        }
    }
    ExitCode::SUCCESS
}

async fn list_users(transport: &Transport, output: &Output) -> Result<ExitCode, Failure> {
    let rows = super::keys::pages(transport, &format!("{USERS}?limit=100"), usize::MAX).await?;
    let columns = [words("ID"), words("EMAIL"), words("STATE"), words("OPERATOR"), words("CREATED")];
    output.rows(&rows, &columns, |row| {
        vec![
            text(row, "id").to_owned(),
            text(row, "email").to_owned(),
            text(row, "state").to_owned(),
            if row["operator"] == json!(true) { "yes" } else { "no" }.to_owned(),
            time(&row["created_at"]),
        ]
    });
    Ok(ExitCode::SUCCESS)
}

/// Members of the organization.
pub(super) async fn members(
    transport: &Transport,
    output: &Output,
    global: &Global,
    command: MembersCommand,
) -> Result<ExitCode, Failure> {
    match command {
        MembersCommand::List => {
            let rows = all_members(transport).await?;
            let columns = [words("ID"), words("EMAIL"), words("ROLE"), words("ADDED")];
            output.rows(&rows, &columns, |row| {
                let of = |name| text(row, name).to_owned();
                vec![of("id"), of("email"), our_role(row).to_owned(), time(&row["added_at"])]
            });
        }
        MembersCommand::Invite { email, role } => {
            let body = json!({ "email": email, "role": role });
            let invite = transport.post("/v1/organization/invites", &body).await?.body;
            if !output.json(&invite) {
                say(format_args!("Invited {} as {}", text(&invite, "email"), our_role(&invite)));
                if let Some(url) = invite["url"].as_str() {
                    say(format_args!("Link (once)  {url}"));
                }
            }
        }
        MembersCommand::Remove { member } => {
            let rows = all_members(transport).await?;
            let found = rows.iter().find(|row| text(row, "id") == member || text(row, "email") == member);
            let Some(found) = found else {
                return Err(
                    Failure::new(Kind::NotFound, format!("there is no member {member}")).next("claviger members list")
                );
            };
            if !global.yes {
                super::keys::confirm(&format!("Remove {}?", text(found, "email")))?;
            }
            let gone = transport.post(&format!("{MEMBERS}/{}/remove", text(found, "id")), &json!({})).await?.body;
            if !output.json(&gone) {
                say(format_args!("Removed {}", text(found, "email")));
                for key in gone["keys"].as_array().into_iter().flatten() {
                    let due = if key["rotation_due"] == json!(true) { "   rotate it" } else { "" };
                    say(format_args!("  {}  {}  {}{due}", text(key, "id"), text(key, "name"), text(key, "done")));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A role in the words of the command line; the Administration API has OpenAI's.
fn our_role(row: &Value) -> &str {
    match text(row, "role") {
        "member" => "developer",
        "reader" => "viewer",
        other => other,
    }
}

async fn all_members(transport: &Transport) -> Result<Vec<Value>, Failure> {
    super::keys::pages(transport, &format!("{MEMBERS}?limit=100"), usize::MAX).await
}
