//! Set-up: the first organization gets its name, its owner, its first keys and credit, in one transaction.

use crate::audit::record;
use crate::cells::Cells as _;
use crate::door::{Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::keys::{self, CreateKeyOutcome};
use crate::ledger::{self, Grant};
use crate::people::{self, NewUser};
use crate::standing::Demand;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::OrganizationId;
use claviger_domain::key::NewKey;
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::right::Role;
use claviger_domain::tenancy::{OrganizationState, TenantScope};

statements! {
    LOCK = "UPDATE organization SET version = version + 1 WHERE id = $1";
    NAME = "UPDATE organization SET name = $2, slug = $3, state = $4 WHERE id = $1";
    FIND_OWNER = "SELECT user_id FROM membership WHERE org_id = $1 AND role = 'owner'";
    INSERT_MEMBER = "INSERT INTO membership (org_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)";
}

/// Everything that set-up makes.
#[derive(Clone, Debug)]
pub struct SetUp {
    /// The organization of the first start.
    pub organization: OrganizationId,
    /// Its name.
    pub name: String,
    /// Its slug.
    pub slug: String,
    /// Its owner.
    pub owner: NewUser,
    /// The owner's admin key, for those who set up without a browser.
    pub admin_key: Option<NewKey>,
    /// An inference key.
    pub key: Option<NewKey>,
    /// Credit to begin with.
    pub grant: Option<Grant>,
}

/// How set-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetUpOutcome {
    /// It is done, now or by an earlier call with the same owner id.
    Done(Epoch),
    /// Another owner exists; nothing was changed.
    AlreadySetUp,
}

impl Store {
    /// Names the first organization and gives it an owner, keys and credit; all or nothing.
    ///
    /// # Errors
    /// `Conflict` when the slug, the e-mail or an id is taken, or the organization does not exist. `OutcomeUnknown`:
    /// repeat with the same ids.
    pub async fn set_up(&self, act: SetUp, by: &Attribution) -> Result<SetUpOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| run(tx, &act, &by).await).await
    }
}

async fn run(tx: &mut Tx<'_>, act: &SetUp, by: &Attribution) -> Result<SetUpOutcome, Error> {
    let (organization, owner) = (act.organization.to_string(), act.owner.id.to_string());
    // The lock of the row comes first, so that two set-ups at once see each other.
    let locked = both!(tx, c => sqlx::query(LOCK).bind(&organization).execute(c).await?.rows_affected());
    if locked == 0 {
        return Err(Error::Conflict("no such organization"));
    }
    let former = both!(tx, c => {
        sqlx::query(FIND_OWNER).bind(&organization).fetch_optional(c).await?.map(|row| row.text("user_id")).transpose()?
    });
    if let Some(former) = former {
        let is_same = former == owner;
        return Ok(if is_same { SetUpOutcome::Done(current_epoch(tx).await?) } else { SetUpOutcome::AlreadySetUp });
    }
    both!(tx, c => {
        let query = sqlx::query(NAME).bind(&organization).bind(&act.name).bind(&act.slug);
        query.bind(OrganizationState::Active.name()).execute(c).await?;
    });
    people::insert(tx, &act.owner, by.at).await?;
    both!(tx, c => {
        sqlx::query(INSERT_MEMBER)
            .bind(&organization)
            .bind(&owner)
            .bind(Role::Owner.name())
            .bind(by.at.0)
            .execute(c)
            .await?;
    });
    record(tx, act.organization, by, Action::OrganizationUpdated, &organization, &[]).await?;
    record(tx, act.organization, by, Action::UserAdded, &owner, &[]).await?;
    let mut epoch = publish(tx, act.organization, &Change::Organization, by.at).await?;
    let scope = TenantScope(act.organization);
    for key in act.admin_key.iter().chain(&act.key) {
        // Whoever opens the set-up link is nobody yet.
        match keys::create(tx, scope, key, Demand::Nothing, by).await? {
            CreateKeyOutcome::Created { epoch: later, .. } => epoch = later,
            _ => return Err(Error::Conflict("key")),
        }
    }
    if let Some(grant) = &act.grant {
        epoch = ledger::grant(tx, scope, grant, by).await?;
    }
    Ok(SetUpOutcome::Done(epoch))
}
