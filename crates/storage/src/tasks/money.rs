//! The movements of a task's hold: taken at its beginning, captured or released at its end, corrected once at most.

use super::KeptTask;
use super::TaskResult;
use super::rows;
use crate::cells::Cells as _;
use crate::door::{Linked, Tx, both};
use crate::epochs::publish;
use crate::error::Error;
use crate::leases::account_of;
use crate::record::{AbsorbRow, RecordRow, Rows, cell_of};
use crate::rollups::lock_nameless_seat;
use crate::statements::statements;
use claviger_domain::id::SeatId;
use claviger_domain::ledger::{Account, TransferId, TransferKind};
use claviger_domain::meter::Meter;
use claviger_domain::money::Nano;
use claviger_domain::request::RequestRecord;
use claviger_domain::revocation::Change;
use claviger_domain::task::{Late, Task};
use claviger_domain::time::Timestamp;

statements! {
    TAKE_OF_WALLET = "UPDATE wallet SET balance = balance - $2, seq = seq + 1 WHERE org_id = $1 AND balance >= $2 \
        RETURNING seq";
    TAKE_OF_LEASE = "UPDATE credit_lease SET settled = settled + $3 WHERE org_id = $1 AND seat = $2 \
        AND settled + returned + $3 <= granted";
    GIVE_BACK = "UPDATE wallet SET balance = balance + $2, seq = seq + 1 WHERE org_id = $1 RETURNING seq";
    REFUND = "UPDATE wallet SET balance = balance + $2, funded = funded + $2, seq = seq + 1 WHERE org_id = $1 \
        RETURNING seq";
    BOOK = "INSERT INTO transfer \
        (kind, ref, id, org_id, debit, credit, amount, price_version, wallet_seq, at, detail) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    RECORD = "INSERT INTO request (org_id, id, environment_id, key_id, source_tag, model, completed_at, outcome, charge, \
        delivery, m_input_token, m_cached_input_token, m_cache_write_token, m_cache_write_1h_token, m_image_input_token, \
        m_audio_input_token, m_character, m_audio_second, m_search_unit, m_request, m_output_token, m_reasoning_token, \
        m_image_output_token, m_audio_output_token, m_image, m_video_second, m_tool_call, detail, account, body) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, \
        $24, $25, $26, $27, '', $28, $29)";
}

/// Takes the hold out of the wallet, or where nodes share it, out of this seat's lease.
pub(super) async fn take(tx: &mut Tx<'_>, task: &Task, lease: Option<SeatId>) -> Result<(), Error> {
    let (org, hold) = (task.organization.to_string(), task.hold);
    if hold <= Nano::ZERO {
        return Ok(());
    }
    let (debit, sequence) = match lease {
        None => {
            let row = both!(tx, c => {
                let row = sqlx::query(TAKE_OF_WALLET).bind(&org).bind(hold.0).fetch_optional(c).await?;
                row.map(|row| row.int("seq")).transpose()?
            });
            let sequence = row.ok_or(Error::Conflict("the wallet has less"))?;
            tx.funded.push((task.organization, Nano(hold.0.saturating_neg())));
            (Account::Wallet.name().to_owned(), Some(sequence))
        }
        Some(seat) => {
            let rows = both!(tx, c => {
                let query = sqlx::query(TAKE_OF_LEASE).bind(&org).bind(seat.to_string()).bind(hold.0);
                query.execute(c).await?.rows_affected()
            });
            if rows != 1 {
                return Err(Error::Conflict("the lease has less"));
            }
            (account_of(seat), None)
        }
    };
    let booked = Booked::of(TransferKind::TaskHold, &task.id.to_string(), hold);
    book(tx, task, Booked { debit, credit: account(task), sequence, ..booked }, task.created_at).await
}

/// Ends an open task; `false` when it had ended before.
pub(super) async fn end(
    tx: &mut Tx<'_>,
    task: &Task,
    record: &RequestRecord,
    (is_written, result): (bool, Option<&TaskResult>),
) -> Result<bool, Error> {
    if !rows::save(tx, task).await? {
        return Ok(false);
    }
    let charge = record.charge;
    if charge > task.hold || task.state.is_open() || (charge > Nano::ZERO && is_written) {
        return Err(Error::Conflict("a task is charged at most its hold, at its end"));
    }
    rows::keep(tx, task, record, result).await?;
    if !is_written {
        let rows = Rows::of_record(record, None);
        lock_nameless_seat(tx).await?;
        write_record(tx, &rows.record, (charge > Nano::ZERO).then(|| account(task))).await?;
        if let Some(absorbed) = &rows.absorb {
            absorb(tx, task, absorbed).await?;
        }
    }
    let rest = task.hold.saturating_sub(charge);
    let at = task.completed_at.unwrap_or(task.created_at);
    if rest > Nano::ZERO {
        let booked = Booked::of(TransferKind::TaskRelease, &task.id.to_string(), rest);
        give(tx, task, GIVE_BACK, Booked { debit: account(task), ..booked }, at).await?;
    }
    Ok(true)
}

/// Books what follows from another verdict of the upstream; `false` when that was done before.
pub(super) async fn correct(tx: &mut Tx<'_>, kept: &KeptTask, absorbed: Nano, at: Timestamp) -> Result<bool, Error> {
    let KeptTask { task, record, .. } = kept;
    if !rows::correct(tx, task).await? {
        return Ok(false);
    }
    match task.late {
        Some(Late::Refunded) if record.charge > Nano::ZERO => {
            // By the request, so that its charge is given back once, whoever finds a reason.
            let booked = Booked::of(TransferKind::Refund, &record.id.to_string(), record.charge);
            let detail =
                serde_json::json!({ "reason": "the upstream says that it failed", "task": task.id.to_string() });
            give(tx, task, REFUND, Booked { detail: detail.to_string(), ..booked }, at).await?;
        }
        Some(Late::Absorbed) if absorbed > Nano::ZERO => {
            let lost = RequestRecord { absorbed, charge: Nano::ZERO, completed_at: at, ..record.clone() };
            if let Some(row) = &Rows::of_record(&lost, None).absorb {
                absorb(tx, task, row).await?;
            }
        }
        _ => {}
    }
    Ok(true)
}

/// Credit comes back to the wallet, and every node is told.
async fn give(tx: &mut Tx<'_>, task: &Task, sql: &'static str, booked: Booked, at: Timestamp) -> Result<(), Error> {
    let (org, amount) = (task.organization.to_string(), booked.amount);
    let sequence = both!(tx, c => {
        let row = sqlx::query(sql).bind(&org).bind(amount.0).fetch_optional(c).await?;
        row.map(|row| row.int("seq")).transpose()?
    });
    let sequence = Some(sequence.ok_or(Error::Conflict("no such wallet"))?);
    tx.funded.push((task.organization, amount));
    book(tx, task, Booked { sequence, ..booked }, at).await?;
    publish(tx, task.organization, &Change::Funding(amount), at).await.map(drop)
}

/// The account of a task's hold.
fn account(task: &Task) -> String {
    format!("{}:{}", Account::Task.name(), task.id)
}

struct Booked {
    kind: TransferKind,
    reference: String,
    debit: String,
    credit: String,
    amount: Nano,
    sequence: Option<i64>,
    detail: String,
}

impl Booked {
    /// Between the accounts of its kind.
    fn of(kind: TransferKind, reference: &str, amount: Nano) -> Self {
        let (debit, credit) = kind.accounts();
        Self {
            kind,
            reference: reference.to_owned(),
            debit: debit.name().to_owned(),
            credit: credit.name().to_owned(),
            amount,
            sequence: None,
            detail: "{}".to_owned(),
        }
    }
}

async fn book(tx: &mut Tx<'_>, task: &Task, booked: Booked, at: Timestamp) -> Result<(), Error> {
    let id = TransferId::of(booked.kind, &booked.reference).to_string();
    both!(tx, c => {
        sqlx::query(BOOK)
            .bind(booked.kind.name())
            .bind(&booked.reference)
            .bind(&id)
            .bind(task.organization.to_string())
            .bind(&booked.debit)
            .bind(&booked.credit)
            .bind(booked.amount.0)
            .bind(None::<String>)
            .bind(booked.sequence)
            .bind(at.0)
            .bind(&booked.detail)
            .execute(c)
            .await?;
    });
    Ok(())
}

async fn absorb(tx: &mut Tx<'_>, task: &Task, row: &AbsorbRow) -> Result<(), Error> {
    let (debit, credit) = TransferKind::Absorb.accounts();
    both!(tx, c => {
        sqlx::query(BOOK)
            .bind(TransferKind::Absorb.name())
            .bind(&*row.reference)
            .bind(&*row.id)
            .bind(task.organization.to_string())
            .bind(debit.name())
            .bind(credit.name())
            .bind(row.amount)
            .bind(row.price_version.as_deref())
            .bind(None::<i64>)
            .bind(row.at)
            .bind(&*row.detail)
            .execute(c)
            .await?;
    });
    Ok(())
}

async fn write_record(linked: &mut impl Linked, row: &RecordRow, account: Option<String>) -> Result<(), Error> {
    both!(linked, c => {
        let mut query = sqlx::query(RECORD)
            .bind(&*row.organization)
            .bind(&*row.id)
            .bind(&*row.environment)
            .bind(&*row.key)
            .bind(row.source_tag.as_deref())
            .bind(&*row.model)
            .bind(row.completed_at)
            .bind(&*row.outcome)
            .bind(row.charge)
            .bind(&*row.delivery);
        for meter in Meter::ALL {
            query = query.bind(cell_of(&row.meters, *meter));
        }
        query.bind(account).bind(&row.body).execute(c).await?;
    });
    Ok(())
}
