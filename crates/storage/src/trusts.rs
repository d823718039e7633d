//! Trusts of agents: list, make, end with their keys; and who is meant by a token. What they become is
//! `keys/exchange.rs`.

use crate::agents;
use crate::audit::record;
use crate::cells::{Cells, corrupt};
use crate::door::{Linked, Tx, both};
use crate::epochs::{current_epoch, publish};
use crate::error::Error;
use crate::key_ends::{self, Of};
use crate::key_policy;
use crate::keys::change;
use crate::keyset::{self, walked};
use crate::page::{Page, PageRequest};
use crate::standing::Judge;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Attribution};
use claviger_domain::id::{AgentId, TrustId};
use claviger_domain::limits;
use claviger_domain::revocation::{Change, Epoch};
use claviger_domain::tenancy::TenantScope;
use claviger_domain::time::Timestamp;
use claviger_domain::trust::Trust;
use std::time::Duration;

/// What every reading selects.
macro_rules! trust_columns {
    () => {
        "SELECT id, org_id, agent_id, issuer, audience, subject, claims, ttl_seconds, is_single_use, source_tag, policy, \
         created_at, created_by FROM trust"
    };
}

statements! {
    FIND = concat!(trust_columns!(), " WHERE org_id = $1 AND id = $2");
    /// Those whose subject is meant, by what `SubjectPattern` says: exact, or the beginning before a `*`.
    MEANT = concat!(trust_columns!(), " WHERE issuer = $1 AND audience = $2 AND (subject = CAST($3 AS TEXT) \
        OR (subject LIKE '%*' AND SUBSTR(CAST($3 AS TEXT), 1, LENGTH(subject) - 1) = \
            SUBSTR(subject, 1, LENGTH(subject) - 1))) ORDER BY created_at, id LIMIT CAST($4 AS BIGINT)");
    OF_AUDIENCE = concat!(trust_columns!(), " WHERE issuer = $1 AND audience = $2 \
        ORDER BY created_at, id LIMIT CAST($3 AS BIGINT)");
    COUNT = "SELECT CAST(COUNT(*) AS BIGINT) AS trusts FROM trust WHERE org_id = $1 AND agent_id = $2";
    LOCK = "UPDATE organization SET version = version + 1 WHERE id = $1";
    INSERT = "INSERT INTO trust (org_id, id, agent_id, issuer, audience, subject, claims, ttl_seconds, is_single_use, \
        source_tag, policy, created_at, created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    DELETE = "DELETE FROM trust WHERE org_id = $1 AND id = $2";
    DELETE_USES = "DELETE FROM trust_use WHERE trust_id = $1";
}

/// An agent's.
const OF_AGENT: keyset::List = keyset::of("trust", trust_columns!(), "AND agent_id = CAST($5 AS TEXT)");

/// How making a trust ended.
#[derive(Clone, Debug, PartialEq)]
pub enum CreateTrustOutcome {
    /// It is stored.
    Created,
    /// The organization has no such agent.
    UnknownAgent,
    /// The agent is ended.
    AgentEnded,
    /// The agent has as many as it may.
    TooMany,
}

/// Whom a token may mean: trusts of any organization, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Meant {
    /// Those whose issuer, audience and subject it has.
    pub trusts: Vec<Trust>,
    /// Where there is none, some whose issuer and audience it has: they are told of it.
    pub missed: Vec<Trust>,
}

impl Store {
    /// A page of an agent's trusts, by (creation, id). `None` = the cursor is no trust of this organization.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn page_trusts(
        &self,
        scope: TenantScope,
        agent: AgentId,
        page: &PageRequest,
    ) -> Result<Option<Page<Trust>>, Error> {
        walked!(self, OF_AGENT, Some(scope.0.to_string()), page, trust, agent.to_string())
    }

    /// One trust.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_trust(&self, scope: TenantScope, id: TrustId) -> Result<Option<Trust>, Error> {
        find(&mut self.reader().await?, scope, id).await
    }

    /// Whom a token means. Not scoped: which organization's it is, is what is asked.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn find_meant_trusts(&self, issuer: &str, audiences: &[String], subject: &str) -> Result<Meant, Error> {
        let mut reader = self.reader().await?;
        let mut meant = Meant::default();
        for audience in audiences.iter().take(limits::TOKEN_AUDIENCES) {
            let most = i64::from(limits::TRUSTS_OF_TOKEN);
            let found: Vec<Trust> = both!(&mut reader, c => {
                let query = sqlx::query(MEANT).bind(issuer).bind(audience).bind(subject).bind(most);
                query.fetch_all(c).await?.iter().map(trust).collect::<Result<_, Error>>()?
            });
            meant.trusts.extend(found);
        }
        if meant.trusts.is_empty() {
            for audience in audiences.iter().take(limits::TOKEN_AUDIENCES) {
                let found: Vec<Trust> = both!(&mut reader, c => {
                    let query = sqlx::query(OF_AUDIENCE).bind(issuer).bind(audience).bind(1_i64);
                    query.fetch_all(c).await?.iter().map(trust).collect::<Result<_, Error>>()?
                });
                meant.missed.extend(found);
            }
        }
        Ok(meant)
    }

    /// Makes a trust. Repeating it with the same id changes nothing.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeat with the same id.
    pub async fn create_trust(
        &self,
        scope: TenantScope,
        new: Trust,
        by: &Attribution,
    ) -> Result<CreateTrustOutcome, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| create(tx, scope, &new, &by).await).await
    }

    /// Ends a trust, and revokes the keys that came from it. `None` = the organization has none of this id.
    ///
    /// # Errors
    /// `OutcomeUnknown`: a repetition may answer `None` for what the first call did.
    pub async fn delete_trust(
        &self,
        scope: TenantScope,
        id: TrustId,
        by: &Attribution,
    ) -> Result<Option<Epoch>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let (organization, text) = (scope.0.to_string(), id.to_string());
            both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
            let Some(former) = find(tx, scope, id).await? else { return Ok(None) };
            let judge = Judge::of(tx, scope, &by).await?;
            let revoked = key_ends::revoke(tx, scope, Of::Trust(id), &judge, &by).await?;
            both!(tx, c => { sqlx::query(DELETE_USES).bind(&text).execute(c).await?; });
            both!(tx, c => { sqlx::query(DELETE).bind(&organization).bind(&text).execute(c).await?; });
            let changes = [change("subject", Some(former.subject.to_string()), None)];
            record(tx, scope.0, &by, Action::TrustDeleted, &text, &changes).await?;
            match revoked {
                Some(epoch) => Ok(Some(epoch)),
                None => current_epoch(tx).await.map(Some),
            }
        })
        .await
    }
}

async fn create(
    tx: &mut Tx<'_>,
    scope: TenantScope,
    new: &Trust,
    by: &Attribution,
) -> Result<CreateTrustOutcome, Error> {
    let (organization, text, agent) = (scope.0.to_string(), new.id.to_string(), new.agent.to_string());
    both!(tx, c => { sqlx::query(LOCK).bind(&organization).execute(c).await?; });
    if find(tx, scope, new.id).await?.is_some() {
        return Ok(CreateTrustOutcome::Created);
    }
    match agents::find(tx, scope, new.agent).await? {
        None => return Ok(CreateTrustOutcome::UnknownAgent),
        Some(agent) if agent.ended_at.is_some() => return Ok(CreateTrustOutcome::AgentEnded),
        Some(_) => {}
    }
    let count = both!(tx, c => {
        sqlx::query(COUNT).bind(&organization).bind(&agent).fetch_one(c).await?.int("trusts")?
    });
    if count >= i64::from(limits::TRUSTS_PER_AGENT) {
        return Ok(CreateTrustOutcome::TooMany);
    }
    let claims = serde_json::to_string(&new.claims).map_err(|_| Error::Conflict("trust.claims"))?;
    both!(tx, c => {
        sqlx::query(INSERT)
            .bind(&organization)
            .bind(&text)
            .bind(&agent)
            .bind(&new.issuer)
            .bind(&new.audience)
            .bind(new.subject.as_str())
            .bind(&claims)
            .bind(i64::try_from(new.ttl.as_secs()).unwrap_or(i64::MAX))
            .bind(new.is_single_use)
            .bind(new.source_tag.as_deref())
            .bind(key_policy::cell(&new.policy))
            .bind(new.created_at.0)
            .bind(&new.created_by)
            .execute(c)
            .await?;
    });
    let changes = [
        change("service_account_id", None, Some(agent)),
        change("issuer", None, Some(new.issuer.clone())),
        change("audience", None, Some(new.audience.clone())),
        change("subject", None, Some(new.subject.to_string())),
        change("claims", None, Some(claims)),
        change("ttl_seconds", None, Some(new.ttl.as_secs().to_string())),
        change("single_use", None, Some(new.is_single_use.to_string())),
        change("source_tag", None, new.source_tag.clone()),
        change("policy", None, key_policy::cell(&new.policy)),
    ];
    let changes: Vec<_> = changes.into_iter().filter(|change| change.to.is_some()).collect();
    record(tx, scope.0, by, Action::TrustCreated, &text, &changes).await?;
    // No node knows trusts: what they let in are keys, and those have events of their own.
    publish(tx, scope.0, &Change::Organization, by.at).await?;
    Ok(CreateTrustOutcome::Created)
}

/// The texts that are made at run time.
pub(crate) fn built() -> Vec<(&'static str, String)> {
    OF_AGENT.built()
}

pub(crate) async fn find(linked: &mut impl Linked, scope: TenantScope, id: TrustId) -> Result<Option<Trust>, Error> {
    let (organization, id) = (scope.0.to_string(), id.to_string());
    both!(linked, c => {
        let row = sqlx::query(FIND).bind(&organization).bind(&id).fetch_optional(c).await?;
        row.map(|row| trust(&row)).transpose()
    })
}

fn trust<R: Cells>(row: &R) -> Result<Trust, Error> {
    let (claims, subject) = (row.text("claims")?, row.text("subject")?);
    Ok(Trust {
        id: row.parsed("id")?,
        organization: row.parsed("org_id")?,
        agent: row.parsed("agent_id")?,
        issuer: row.text("issuer")?,
        audience: row.text("audience")?,
        subject: subject.parse().map_err(|_| corrupt("trust.subject", &subject))?,
        claims: serde_json::from_str(&claims).map_err(|_| corrupt("trust.claims", &claims))?,
        ttl: Duration::from_secs(u64::try_from(row.int("ttl_seconds")?).unwrap_or(0)),
        is_single_use: row.flag("is_single_use")?,
        source_tag: row.text_or_none("source_tag")?,
        policy: key_policy::policy(row.text_or_none("policy")?.as_deref())?,
        created_at: Timestamp(row.int("created_at")?),
        created_by: row.text("created_by")?,
    })
}
