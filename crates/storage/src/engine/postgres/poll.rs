//! The poll of a node as one statement: what it renews and what it reads are one point in time.

use crate::cells::{Cells as _, corrupt, parse};
use crate::epochs::change_of;
use crate::error::Error;
use crate::nodes::{PollAsk, Polled};
use claviger_domain::limits;
use claviger_domain::revocation::{Answered, Epoch, RightsEvent, Standing};
use claviger_domain::time::Timestamp;
use sqlx::PgConnection;

/// The database's own clock, in microseconds. It decides whether a laggard is renewed and, beside the node's, whether a
/// time limit holds; never whether a node is silent.
const POLL: &str = "WITH late AS (\
        SELECT EXISTS (SELECT 1 FROM rights_event WHERE epoch > $2 \
            AND mark < CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) - $3) AS is_late\
    ), renewed AS (\
        UPDATE node SET applied_epoch = GREATEST(applied_epoch, $2), renewals = renewals + 1, renewed_at = $4 \
        FROM late WHERE node.id = $1 AND NOT late.is_late RETURNING node.id\
    ) SELECT (SELECT value FROM epoch WHERE id = 1) AS epoch, \
        (SELECT mark FROM rights_event WHERE epoch = $2) AS mark, \
        (SELECT COUNT(*) FROM renewed) AS renewed, \
        (SELECT COUNT(*) FROM node WHERE id = $1) AS known, \
        (SELECT COUNT(*) FROM node) AS nodes, \
        CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS clock, \
        COALESCE((SELECT draining FROM node WHERE id = $1), 0) AS draining, \
        COALESCE((SELECT JSON_AGG(JSON_BUILD_ARRAY(e.epoch, e.mark, e.org_id, e.kind, e.object, e.amount) \
            ORDER BY e.epoch) FROM (SELECT * FROM rights_event WHERE epoch > $2 ORDER BY epoch LIMIT $5) e)::TEXT, '[]') \
            AS events, \
        COALESCE((SELECT STRING_AGG(w.org_id, ',') FROM \
            (SELECT org_id FROM wallet WHERE recall > 0 LIMIT 1000) w), '') AS recalled";

/// An event as the statement writes it.
type Written = (i64, i64, String, String, Option<String>, Option<i64>);

/// Runs one poll.
///
/// # Errors
/// Those of the statement; nothing is known of the renewal then.
pub(crate) async fn poll(connection: &mut PgConnection, ask: &PollAsk) -> Result<Polled, Error> {
    let applied = ask.applied.epoch.0;
    let row = sqlx::query(POLL)
        .bind(ask.id.to_string())
        .bind(applied)
        .bind(i64::try_from(ask.validity.as_micros()).unwrap_or(i64::MAX))
        .bind(ask.at.0)
        .bind(i64::from(limits::POLL_EVENTS))
        .fetch_one(connection)
        .await?;
    let standing = match (row.int("renewed")?, row.int("known")?) {
        (0, 0) => Standing::Unknown,
        (0, _) => Standing::Refused,
        _ => Standing::Renewed,
    };
    let text = row.text("events")?;
    let written: Vec<Written> = serde_json::from_str(&text).map_err(|_| corrupt("rights_event", "poll"))?;
    let events = written.into_iter().map(event).collect::<Result<_, Error>>()?;
    let recalled = row.text("recalled")?;
    let recalled = recalled.split(',').filter(|id| !id.is_empty());
    Ok(Polled {
        answer: Answered { standing, epoch: Epoch(row.int("epoch")?), mark: row.int_or_none("mark")?, events },
        recalled: recalled.map(|id| parse("wallet.org_id", id)).collect::<Result<_, Error>>()?,
        is_draining: row.int("draining")? > 0,
        nodes: row.int("nodes")?,
        clock: Some(Timestamp(row.int("clock")?)),
    })
}

fn event((epoch, mark, organization, kind, object, amount): Written) -> Result<RightsEvent, Error> {
    Ok(RightsEvent {
        epoch: Epoch(epoch),
        mark,
        organization: parse("rights_event.org_id", &organization)?,
        change: change_of(&kind, object.as_deref(), amount)?,
    })
}

/// For the test that prepares every text.
pub(crate) fn statements() -> Vec<(&'static str, String)> {
    vec![("poll", POLL.to_owned()), ("take seat", super::TAKE_SEAT.to_owned())]
}
