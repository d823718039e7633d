//! Agents: list, make (with a first key if one is asked for), change, end with their keys; and whose role bounds a key.

use crate::audit::record;
use crate::cells::{Cells, corrupt, known};
use crate::door::{Linked, Tx, both};
use crate::environments::{self, Edited};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::key_ends::{self, Of};
use crate::keys::{self, CreateKeyOutcome, change};
use crate::keyset::{self, walked};
use crate::page::{Page, PageRequest};
use crate::replay::{self, Former, Once};
use crate::standing::{Demand, Judge};
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{AgentId, EnvironmentId};
use claviger_domain::key::{Key, NewKey, Owner};
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::right::{Permission, Role};
use claviger_domain::tenancy::{Agent, TenantScope};
use claviger_domain::time::Timestamp;

/// What every reading selects.
macro_rules! agent_columns {
    () => {
        "SELECT id, environment_id, name, role, created_at, ended_at, version FROM agent"
    };
}

statements! {
    FIND = concat!(agent_columns!(), " WHERE org_id = $1 AND id = $2");
    LOCK = "UPDATE organization SET version = version + 1 WHERE id = $1";
    INSERT = "INSERT INTO agent (org_id, id, environment_id, name, role, state, created_at, created_by, version) \
        VALUES ($1, $2, $3, $4, $5, 'active', $6, $7, CAST(1 AS BIGINT))";
    UPDATE = "UPDATE agent SET name = $3, role = $4, version = version + 1 WHERE org_id = $1 AND id = $2";
    END = "UPDATE agent SET state = 'ended', ended_at = $3, version = version + 1 WHERE org_id = $1 AND id = $2";
    ROLE_OF_AGENT = "SELECT role FROM agent WHERE org_id = $1 AND id = $2 AND state = 'active'";
    ROLE_OF_USER = "SELECT m.role FROM membership m JOIN users u ON u.id = m.user_id \
        WHERE m.org_id = $1 AND m.user_id = $2 AND u.state = 'active'";
}

/// Live ones; of one environment, if it is named.
const LIVE: keyset::List = keyset::of(
    "agent",
    agent_columns!(),
    "AND state = 'active' AND (CAST($5 AS TEXT) IS NULL OR environment_id = CAST($5 AS TEXT))",
);

/// An agent to be made.
#[derive(Clone, Debug)]
pub struct NewAgent {
    /// Its id.
    pub id: AgentId,
    /// Where it lives.
    pub environment: EnvironmentId,
    /// Its name.
    pub name: String,
    /// What bounds its admin keys.
    pub role: Option<Role>,
    /// Its first key.
    pub key: Option<NewKey>,
}

/// How making an agent ended.
#[derive(Clone, Debug)]
pub enum CreateAgentOutcome {
    /// It is stored, with its first key if one was asked for, and the epoch that brings that into force.
    Created(Agent, Option<Key>, Epoch),
    /// It was made before under the same Idempotency-Key; what its key's text was is not known any more.
    Repeated(Agent, Option<Key>),
    /// The Idempotency-Key was used with another body.
    OtherBody,
    /// The key could not be made, and so nothing was.
    NoKey(CreateKeyOutcome),
    /// The organization has no such active environment.
    UnknownEnvironment,
}

impl Store {
    /// A page of the organization's live agents, of one environment if it is named, by (creation, id). `None` = the
    /// cursor is no agent of this organization.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn page_agents(
        &self,
        scope: TenantScope,
        environment: Option<EnvironmentId>,
        page: &PageRequest,
    ) -> Result<Option<Page<Agent>>, Error> {
        let environment = environment.map(|id| id.to_string());
        walked!(self, LIVE, Some(scope.0.to_string()), page, agent, environment)
    }

    /// One agent, ended ones included.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_agent(&self, scope: TenantScope, id: AgentId) -> Result<Option<Agent>, Error> {
        find(&mut self.reader().await?, scope, id).await
    }

    /// The role of a key's owner now: a member's, or what an agent was given. `None` = gone, or an agent without one.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn role_of_owner(&self, scope: TenantScope, owner: Owner) -> Result<Option<Role>, Error> {
        role_of(&mut self.reader().await?, scope, owner).await
    }

    /// Makes an agent, and its first key in the same transaction. Repeating it with the same ids changes nothing.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeat with the same ids. `Beyond`: whoever makes it may not, now, or not one of this role.
    pub async fn create_agent(
        &self,
        scope: TenantScope,
        new: NewAgent,
        once: Option<Once>,
        by: &Attribution,
    ) -> Result<CreateAgentOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| create(tx, scope, &new, once.as_ref(), &by).await).await
    }

    /// Changes an agent's name or role. `Refused` = it is ended.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe. `Beyond`: its role, or the one it shall have, may more than whoever acts.
    pub async fn update_agent(
        &self,
        scope: TenantScope,
        id: AgentId,
        name: Option<String>,
        role: Option<Option<Role>>,
        expected: Option<i64>,
        by: &Attribution,
    ) -> Result<Edited<Agent>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), id.to_string());
            both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
            let Some(former) = find(tx, scope, id).await? else { return Ok(Edited::Unknown) };
            if expected.is_some_and(|version| version != former.version) {
                return Ok(Edited::Stale);
            }
            if former.ended_at.is_some() {
                return Ok(Edited::Refused);
            }
            let next = Agent {
                name: name.clone().unwrap_or_else(|| former.name.clone()),
                role: role.unwrap_or(former.role),
                version: former.version.saturating_add(1),
                ..former.clone()
            };
            if (&next.name, next.role) == (&former.name, former.role) {
                return Ok(Edited::Done(former, current_epoch(tx).await?));
            }
            if next.role != former.role {
                let judge = Judge::of(tx, scope, &by).await?;
                for role in [former.role, next.role].into_iter().flatten() {
                    judge.require_role(role)?;
                }
            }
            both!(tx, c => {
                let query = sqlx::query(UPDATE).bind(&organization).bind(&text).bind(&next.name);
                query.bind(next.role.map(Role::name)).execute(c).await?;
            });
            let word = |role: Option<Role>| role.map(|role| role.name().to_owned());
            let changes = [
                change("name", Some(former.name), Some(next.name.clone())),
                change("role", word(former.role), word(next.role)),
            ];
            record(tx, scope.0, &by, Action::ServiceAccountUpdated, &text, &changes).await?;
            let epoch = publish(tx, scope.0, &Change::Organization, by.at).await?;
            Ok(Edited::Done(next, epoch))
        })
        .await
    }

    /// Ends an agent for ever, and revokes its keys with it. `None` = the organization has none of this id; repeating it
    /// changes nothing.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe. `Beyond`: it, or an admin key of it, may more than whoever acts.
    pub async fn end_agent(&self, scope: TenantScope, id: AgentId, by: &Attribution) -> Result<Option<Epoch>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), id.to_string());
            both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
            let Some(former) = find(tx, scope, id).await? else { return Ok(None) };
            if former.ended_at.is_some() {
                return current_epoch(tx).await.map(Some);
            }
            let judge = Judge::of(tx, scope, &by).await?;
            judge.require(Permission::AgentsManage)?;
            if let Some(role) = former.role {
                judge.require_role(role)?;
            }
            key_ends::revoke(tx, scope, Of::Agent(id), &judge, &by).await?;
            both!(tx, c => { sqlx::query(END).bind(&organization).bind(&text).bind(by.at.0).execute(c).await?; });
            let changes = [change("state", Some("active".to_owned()), Some("ended".to_owned()))];
            record(tx, scope.0, &by, Action::ServiceAccountDeleted, &text, &changes).await?;
            publish(tx, scope.0, &Change::Organization, by.at).await.map(Some)
        })
        .await
    }
}

async fn create(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    new: &NewAgent,
    once: Option<&Once>,
    by: &Attribution,
) -> Result<CreateAgentOutcome, Error> {
    let (organization, text) = (scope.0.to_string(), new.id.to_string());
    both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
    match replay::find(tx, once, by.at).await? {
        Former::None => {}
        Former::OtherBody => return Ok(CreateAgentOutcome::OtherBody),
        Former::Same(made) => return made_before(tx, scope, &made).await,
    }
    let found = environments::find(tx, scope, new.environment).await?;
    if found.is_none_or(|found| found.archived_at.is_some()) {
        return Ok(CreateAgentOutcome::UnknownEnvironment);
    }
    require_maker(tx, scope, new, by).await?;
    let mut key = None;
    let mut epoch = None;
    if let Some(first) = &new.key {
        match keys::create(tx, scope, first, Demand::to_make(first.class), by).await? {
            CreateKeyOutcome::Created { key: made, epoch: since } => (key, epoch) = (Some(made), Some(since)),
            refused => return Ok(CreateAgentOutcome::NoKey(refused)),
        }
    }
    if let Some(existing) = find(tx, scope, new.id).await? {
        let epoch = current_epoch(tx).await?;
        return Ok(CreateAgentOutcome::Created(existing, key, epoch));
    }
    let made = new.key.as_ref().map_or_else(|| text.clone(), |key| format!("{text} {}", key.id));
    replay::save(tx, once, &made).await?;
    let (kind, actor) = by.actor.parts();
    both!(tx, c => {
        sqlx::query(INSERT)
            .bind(&organization)
            .bind(&text)
            .bind(new.environment.to_string())
            .bind(&new.name)
            .bind(new.role.map(Role::name))
            .bind(by.at.0)
            .bind(format!("{kind}:{actor}"))
            .execute(c)
            .await?;
    });
    let changes = [
        change("name", None, Some(new.name.clone())),
        change("role", None, new.role.map(|role| role.name().to_owned())),
        change("environment_id", None, Some(new.environment.to_string())),
    ];
    record(tx, scope.0, by, Action::ServiceAccountCreated, &text, &changes).await?;
    let epoch = match epoch {
        Some(epoch) => epoch,
        None => publish(tx, scope.0, &Change::Organization, by.at).await?,
    };
    let agent = Agent {
        id: new.id,
        environment: new.environment,
        name: new.name.clone(),
        role: new.role,
        created_at: by.at,
        ended_at: None,
        version: 1,
    };
    Ok(CreateAgentOutcome::Created(agent, key, epoch))
}

/// Refuses whoever may not, now, make an agent, or not one of this role.
async fn require_maker(tx: &mut Tx<'_>, scope: TenantScope, new: &NewAgent, by: &Attribution) -> Result<(), Error> {
    let judge = Judge::of(tx, scope, by).await?;
    judge.require(Permission::AgentsManage)?;
    new.role.map_or(Ok(()), |role| judge.require_role(role))
}

/// The agent and its first key that an act made, as it noted them.
async fn made_before(tx: &mut Tx<'_>, scope: TenantScope, made: &str) -> Result<CreateAgentOutcome, Error> {
    let (agent, key) = made.split_once(' ').unwrap_or((made, ""));
    let agent = match agent.parse() {
        Ok(id) => find(tx, scope, id).await?,
        Err(_) => None,
    };
    let agent = agent.ok_or_else(|| corrupt("replay.object", made))?;
    let key = match key.parse() {
        Ok(id) => keys::find_anywhere(tx, id).await?,
        Err(_) => None,
    };
    Ok(CreateAgentOutcome::Repeated(agent, key))
}

pub(crate) async fn role_of(linked: &mut impl Linked, scope: TenantScope, owner: Owner) -> Result<Option<Role>, Error> {
    let organization = scope.0.to_string();
    let (text, id) = match owner {
        Owner::User(id) => (ROLE_OF_USER, id.to_string()),
        Owner::Agent(id) => (ROLE_OF_AGENT, id.to_string()),
    };
    both!(linked, c => {
        let row = sqlx::query(text).bind(&organization).bind(&id).fetch_optional(c).await?;
        match row.map(|row| row.text_or_none("role")).transpose()?.flatten() {
            None => Ok(None),
            Some(role) => known(Role::from_name(&role), "role", &role).map(Some),
        }
    })
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    LIVE.built()
}

pub(crate) async fn find(linked: &mut impl Linked, scope: TenantScope, id: AgentId) -> Result<Option<Agent>, Error> {
    let (organization, id) = (scope.0.to_string(), id.to_string());
    both!(linked, c => {
        let row = sqlx::query(FIND).bind(&organization).bind(&id).fetch_optional(c).await?;
        row.map(|row| agent(&row)).transpose()
    })
}

fn agent<R: Cells>(row: &R) -> Result<Agent, Error> {
    let role = row.text_or_none("role")?;
    Ok(Agent {
        id: row.parsed("id")?,
        environment: row.parsed("environment_id")?,
        name: row.text("name")?,
        role: role.map(|role| known(Role::from_name(&role), "agent.role", &role)).transpose()?,
        created_at: Timestamp(row.int("created_at")?),
        ended_at: row.int_or_none("ended_at")?.map(Timestamp),
        version: row.int("version")?,
    })
}
