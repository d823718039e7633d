//! Who owns keys, as lists of keys show them: people by their names, agents by theirs, and whether they are still here.

use crate::cells::{Cells, known};
use crate::door::both;
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::key::Owner;
use claviger_domain::right::Role;
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;

statements! {
    /// Whoever left is known by name still, and has no role.
    PERSON = "SELECT u.name, u.email, u.created_at, m.role FROM users u \
        LEFT JOIN membership m ON m.user_id = u.id AND m.org_id = $1 WHERE u.id = $2";
    AGENT = "SELECT g.name, g.created_at, g.state, g.role FROM agent g WHERE g.org_id = $1 AND g.id = $2";
}

/// An owner of keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyOwner {
    /// Who.
    pub owner: Owner,
    /// Their name.
    pub name: String,
    /// A person's address.
    pub email: Option<String>,
    /// What they are in the organization now.
    pub role: Option<Role>,
    /// Since when there is such a person or agent.
    pub created_at: Timestamp,
    /// Whether they are a member, or an agent that has not ended.
    pub is_here: bool,
}

impl Store {
    /// These owners, each once, as far as they are known.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn describe_owners(
        &self,
        scope: TenantScope,
        owners: impl Iterator<Item = Owner> + Send,
    ) -> Result<Vec<KeyOwner>, Error> {
        let mut reader = self.reader().await?;
        let organization = scope.0.to_string();
        let mut found: Vec<KeyOwner> = Vec::new();
        for owner in owners {
            // A page of keys has few owners, each of them often.
            if found.iter().any(|known| known.owner == owner) {
                continue;
            }
            let (sql, id) = match owner {
                Owner::User(id) => (PERSON, id.to_string()),
                Owner::Agent(id) => (AGENT, id.to_string()),
            };
            let read: Option<KeyOwner> = both!(&mut reader, c => {
                let row = sqlx::query(sql).bind(&organization).bind(&id).fetch_optional(c).await?;
                row.map(|row| key_owner(owner, &row)).transpose()?
            });
            found.extend(read);
        }
        Ok(found)
    }
}

fn key_owner<R: Cells>(owner: Owner, row: &R) -> Result<KeyOwner, Error> {
    let role = row.text_or_none("role")?;
    let role = role.map(|role| known(Role::from_name(&role), "role", &role)).transpose()?;
    let (email, is_here) = match owner {
        Owner::User(_) => (Some(row.text("email")?), role.is_some()),
        Owner::Agent(_) => (None, row.text("state")? == "active"),
    };
    let created_at = Timestamp(row.int("created_at")?);
    Ok(KeyOwner { owner, name: row.text("name")?, email, role, created_at, is_here })
}
