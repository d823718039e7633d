//! Writing a key and its secrets: a new one whole, a changed one by its difference.
//!
//! A key's secrets have numbers of their own, but a text that was lost and issued again has that of the secret it was: it is
//! stored under a number below zero, from which its own follows, so it also comes behind all others.
//!
//! Last uses are not written here: they move without the key's lock, and only forwards.

use crate::door::{Tx, both};
use crate::error::Error;
use crate::key_policy;
use crate::key_row::parts;
use crate::statements::statements;
use claviger_domain::key::{EndReason, Key, StoredSecret};
use claviger_domain::right::Role;
use claviger_domain::time::Timestamp;

statements! {
    INSERT_KEY = "INSERT INTO api_key (org_id, id, environment_id, class, is_test, is_canary, name, source_tag, owner, \
        role, state, expires_at, policy, stored_in, created_at, created_by, version) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'enabled', $11, $12, $13, $14, $15, CAST(1 AS BIGINT))";
    UPDATE_KEY = "UPDATE api_key SET name = $3, source_tag = $4, owner = $5, role = $6, state = $7, state_at = $8, \
        state_by = $9, state_reason = $10, expires_at = $11, policy = $12, stored_in = $13, exposed_at = $14, \
        rotation_due_since = $15 WHERE org_id = $1 AND id = $2";
    INSERT_SECRET = "INSERT INTO secret (org_id, id, key_id, number, digest, pepper_version, recipe, redacted, \
        created_at, created_by, reissue_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    UPDATE_SECRET = "UPDATE secret SET digest = $2, pepper_version = $3, recipe = $4, redacted = $5, \
        reissue_until = $6, ends_at = $7, quiet_hours = $8, at_deadline = $9, ended_at = $10, end_reason = $11, \
        created_at = $12, created_by = $13 WHERE id = $1";
}

/// Writes a key that was not there.
pub(super) async fn insert(tx: &mut Tx<'_>, key: &Key) -> Result<(), Error> {
    both!(tx, c => {
        sqlx::query(INSERT_KEY)
            .bind(key.organization.to_string())
            .bind(key.id.to_string())
            .bind(key.environment.to_string())
            .bind(key.class.name())
            .bind(key.is_test)
            .bind(key.is_canary)
            .bind(&key.name)
            .bind(key.source_tag.as_deref())
            .bind(key.owner.map(|owner| owner.to_string()))
            .bind(key.role.map(Role::name))
            .bind(micros(key.expires_at))
            .bind(key_policy::cell(&key.policy))
            .bind(key.stored_in.as_deref())
            .bind(key.created_at.0)
            .bind(&key.created_by)
            .execute(c)
            .await?;
    });
    for secret in &key.secrets {
        insert_secret(tx, key, secret).await?;
    }
    Ok(())
}

/// Writes what has become of a key.
pub(super) async fn save(tx: &mut Tx<'_>, former: &Key, next: &Key) -> Result<(), Error> {
    let (state, at, reason) = parts(next.state);
    let changed = next.state_changed.as_ref();
    both!(tx, c => {
        sqlx::query(UPDATE_KEY)
            .bind(next.organization.to_string())
            .bind(next.id.to_string())
            .bind(&next.name)
            .bind(next.source_tag.as_deref())
            .bind(next.owner.map(|owner| owner.to_string()))
            .bind(next.role.map(Role::name))
            .bind(state)
            .bind(at.or(changed.map(|change| change.at.0)))
            .bind(changed.map(|change| change.by.clone()))
            .bind(reason.or(changed.and_then(|change| change.reason.as_deref())))
            .bind(micros(next.expires_at))
            .bind(key_policy::cell(&next.policy))
            .bind(next.stored_in.as_deref())
            .bind(micros(next.exposed_at))
            .bind(micros(next.rotation_due_since))
            .execute(c)
            .await?;
    });
    for secret in &next.secrets {
        if former.secrets.iter().any(|candidate| candidate.id == secret.id) {
            update_secret(tx, secret).await?;
        } else {
            insert_secret(tx, next, secret).await?;
        }
    }
    Ok(())
}

async fn insert_secret(tx: &mut Tx<'_>, key: &Key, secret: &StoredSecret) -> Result<(), Error> {
    both!(tx, c => {
        sqlx::query(INSERT_SECRET)
            .bind(key.organization.to_string())
            .bind(secret.id.to_string())
            .bind(key.id.to_string())
            .bind(stored_number(key, secret))
            .bind(secret.digest.as_bytes().as_slice())
            .bind(i64::from(secret.pepper_version))
            .bind(secret.recipe.name())
            .bind(&secret.redacted)
            .bind(secret.created_at.0)
            .bind(&secret.created_by)
            .bind(micros(secret.reissue_until))
            .execute(c)
            .await?;
    });
    if secret.ended_at.is_some() {
        update_secret(tx, secret).await?;
    }
    Ok(())
}

/// Lost texts of one number: far more than [`claviger_domain::limits::REISSUES`].
const LOST: i64 = 1_000_000;

/// The number that a row has.
fn stored_number(key: &Key, secret: &StoredSecret) -> i64 {
    let number = i64::from(secret.number);
    if !secret.is_lost() {
        return number;
    }
    let of_same = key.secrets.iter().filter(|other| other.is_lost() && other.number == secret.number);
    let place = of_same.take_while(|other| other.id != secret.id).count();
    number.saturating_mul(LOST).saturating_add(i64::try_from(place).unwrap_or(0)).saturating_neg()
}

/// The number that a secret has.
pub(crate) const fn number_of(stored: i64) -> i64 {
    if stored < 0 { stored.saturating_neg().saturating_div(LOST) } else { stored }
}

async fn update_secret(tx: &mut Tx<'_>, secret: &StoredSecret) -> Result<(), Error> {
    both!(tx, c => {
        sqlx::query(UPDATE_SECRET)
            .bind(secret.id.to_string())
            .bind(secret.digest.as_bytes().as_slice())
            .bind(i64::from(secret.pepper_version))
            .bind(secret.recipe.name())
            .bind(&secret.redacted)
            .bind(micros(secret.reissue_until))
            .bind(micros(secret.ends_at))
            .bind(secret.finish_when_quiet_hours.map(i64::from))
            .bind(secret.at_deadline.name())
            .bind(micros(secret.ended_at))
            .bind(secret.end_reason.map(EndReason::name))
            .bind(secret.created_at.0)
            .bind(&secret.created_by)
            .execute(c)
            .await?;
    });
    Ok(())
}

fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(|at| at.0)
}
