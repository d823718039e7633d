//! Notices and the outbox of mails.
//!
//! [`notify`] runs inside any act: what happened and who hears of it are one commit with the act itself. Delivery claims
//! due mails for a while, so a round that dies gives them to the next; a mail may arrive twice, never not at all. A mail
//! that carries a link has no token here: the round that delivers it draws one.

use crate::cells::{Cells, known};
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::id::{OrganizationId, UserId};
use claviger_domain::limits;
use claviger_domain::notice::{MailKind, Notice};
use claviger_domain::person::EmailAddress;
use claviger_domain::time::Timestamp;
use sha2::{Digest as _, Sha256};

statements! {
    INSERT_NOTICE = "INSERT INTO notice (org_id, id, kind, object, detail, at) VALUES ($1, $2, $3, $4, $5, $6) \
        ON CONFLICT DO NOTHING";
    INSERT_MAILS = "INSERT INTO mail (id, kind, recipient, user_id, org_id, object, detail, created_at, due_at, tries) \
        SELECT $2 || u.id, 'notice', u.email, u.id, $1, $3, $4, $5, $5, CAST(0 AS BIGINT) \
        FROM users u WHERE u.state = 'active' AND (u.id = $6 \
            OR EXISTS (SELECT 1 FROM membership m WHERE m.org_id = $1 AND m.user_id = u.id AND m.role = 'owner')) \
        ON CONFLICT DO NOTHING";
    INSERT_MAIL = "INSERT INTO mail (id, kind, recipient, user_id, org_id, object, detail, created_at, due_at, tries) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, CAST(0 AS BIGINT)) ON CONFLICT DO NOTHING";
    CLAIM = "UPDATE mail SET due_at = $2, tries = tries + 1 WHERE delivered_at IS NULL AND given_up_at IS NULL \
        AND due_at <= $1 AND id IN (SELECT d.id FROM mail d WHERE d.delivered_at IS NULL AND d.given_up_at IS NULL \
        AND d.due_at <= $1 ORDER BY d.due_at, d.id LIMIT CAST($3 AS BIGINT)) \
        RETURNING id, kind, recipient, user_id, org_id, object, detail, created_at, tries";
    DELIVERED = "UPDATE mail SET delivered_at = $2, last_error = NULL WHERE id = $1";
    PUT_OFF = "UPDATE mail SET due_at = $2, last_error = $3 WHERE id = $1";
    GIVE_UP = "UPDATE mail SET given_up_at = $2, last_error = $3 WHERE id = $1";
    BACKLOG = "SELECT CAST(COUNT(*) AS BIGINT) AS waiting FROM mail WHERE delivered_at IS NULL AND given_up_at IS NULL";
    FORGET = "DELETE FROM mail WHERE COALESCE(delivered_at, given_up_at) < $1";
}

/// A mail to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMail {
    /// Its id: the same id is sent once.
    pub id: String,
    /// What it is.
    pub kind: MailKind,
    /// To whom.
    pub recipient: EmailAddress,
    /// Who that is, if they are known.
    pub user: Option<UserId>,
    /// Whose, if it is about an organization.
    pub organization: Option<OrganizationId>,
    /// The id of what it is about: an invite, a key; for a notice the name of its kind.
    pub object: String,
    /// What the template shows; a JSON object, never a secret.
    pub detail: String,
    /// When.
    pub at: Timestamp,
}

/// A mail that a round of delivery has for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedMail {
    /// The mail.
    pub mail: NewMail,
    /// How often it has been tried, this time included.
    pub tries: i64,
}

/// How sending a mail ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The server took it, or there was nothing left to send.
    Delivered,
    /// Not this time; try again then.
    PutOff {
        /// When.
        until: Timestamp,
        /// Why, for the operator.
        why: String,
    },
    /// Never.
    GivenUp {
        /// Why, for the operator.
        why: String,
    },
}

impl Store {
    /// Puts a mail into the outbox. The same id counts once.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn post_mail(&self, mail: NewMail) -> Result<(), Error> {
        self.act(async move |tx: &mut Tx<'_>| post(tx, &mail).await).await
    }

    /// Writes a notice by itself, for jobs that found something out.
    ///
    /// # Errors
    /// `OutcomeUnknown`: repeating is safe.
    pub async fn save_notice(&self, notice: Notice) -> Result<(), Error> {
        self.act(async move |tx: &mut Tx<'_>| notify(tx, &notice).await).await
    }

    /// Takes mails that are due, oldest first, for [`limits::MAIL_CLAIM`].
    ///
    /// # Errors
    /// The database's; nothing is lost, the claim passes.
    pub async fn claim_mails(&self, now: Timestamp) -> Result<Vec<ClaimedMail>, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            let until = now.plus(limits::MAIL_CLAIM);
            let mut claimed: Vec<ClaimedMail> = both!(tx, c => {
                let query = sqlx::query(CLAIM).bind(now.0).bind(until.0).bind(i64::from(limits::MAIL_BATCH));
                query.fetch_all(c).await?.iter().map(mail).collect::<Result<_, Error>>()?
            });
            claimed.sort_by(|left, right| (left.mail.at, &left.mail.id).cmp(&(right.mail.at, &right.mail.id)));
            Ok(claimed)
        })
        .await
    }

    /// Writes down how sending a mail ended.
    ///
    /// # Errors
    /// The database's; the mail is then sent again.
    pub async fn finish_mail(&self, id: &str, delivery: Delivery, now: Timestamp) -> Result<(), Error> {
        let id = id.to_owned();
        self.act(async move |tx: &mut Tx<'_>| {
            both!(tx, c => {
                let query = match &delivery {
                    Delivery::Delivered => sqlx::query(DELIVERED).bind(&id).bind(now.0),
                    Delivery::PutOff { until, why } => sqlx::query(PUT_OFF).bind(&id).bind(until.0).bind(why),
                    Delivery::GivenUp { why } => sqlx::query(GIVE_UP).bind(&id).bind(now.0).bind(why),
                };
                query.execute(c).await?;
            });
            Ok(())
        })
        .await
    }

    /// How many mails wait.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn mail_backlog(&self) -> Result<i64, Error> {
        let mut reader = self.reader().await?;
        both!(&mut reader, c => sqlx::query(BACKLOG).fetch_one(c).await?.int("waiting"))
    }

    /// Forgets mails that ended before `before`.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget_mails(&self, before: Timestamp) -> Result<u64, Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            Ok(both!(tx, c => sqlx::query(FORGET).bind(before.0).execute(c).await?.rows_affected()))
        })
        .await
    }
}

/// Writes a notice and a mail for each active owner and for whom it concerns. The same fact counts once, so an act may be
/// run again.
pub(crate) async fn notify(tx: &mut Tx<'_>, notice: &Notice) -> Result<(), Error> {
    let organization = notice.organization.to_string();
    let id = notice_id(notice);
    both!(tx, c => {
        sqlx::query(INSERT_NOTICE)
            .bind(&organization)
            .bind(&id)
            .bind(notice.kind.name())
            .bind(&notice.object)
            .bind(&notice.detail)
            .bind(notice.at.0)
            .execute(c)
            .await?;
    });
    both!(tx, c => {
        sqlx::query(INSERT_MAILS)
            .bind(&organization)
            .bind(format!("{id}:"))
            .bind(notice.kind.name())
            .bind(&notice.detail)
            .bind(notice.at.0)
            .bind(notice.also.map(|user| user.to_string()).unwrap_or_default())
            .execute(c)
            .await?;
    });
    Ok(())
}

/// Puts a mail into the outbox, inside any act.
pub(crate) async fn post(tx: &mut Tx<'_>, mail: &NewMail) -> Result<(), Error> {
    both!(tx, c => {
        sqlx::query(INSERT_MAIL)
            .bind(&mail.id)
            .bind(mail.kind.name())
            .bind(mail.recipient.as_str())
            .bind(mail.user.map(|id| id.to_string()))
            .bind(mail.organization.map(|id| id.to_string()))
            .bind(&mail.object)
            .bind(&mail.detail)
            .bind(mail.at.0)
            .execute(c)
            .await?;
    });
    Ok(())
}

/// The id of a notice follows from what it says.
fn notice_id(notice: &Notice) -> String {
    let mut hash = Sha256::new();
    let at = notice.at.0.to_string();
    for part in [notice.kind.name(), &notice.organization.to_string(), &notice.object, &notice.detail, &at] {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let symbols = claviger_domain::base62::encode_256(&digest);
    format!("ntc_{}", symbols.iter().take(22).map(|symbol| char::from(*symbol)).collect::<String>())
}

fn mail<R: Cells>(row: &R) -> Result<ClaimedMail, Error> {
    let kind = row.text("kind")?;
    let user = row.text_or_none("user_id")?;
    let organization = row.text_or_none("org_id")?;
    Ok(ClaimedMail {
        mail: NewMail {
            id: row.text("id")?,
            kind: known(MailKind::from_name(&kind), "mail.kind", &kind)?,
            recipient: row.parsed("recipient")?,
            user: user.map(|id| known(id.parse().ok(), "mail.user_id", &id)).transpose()?,
            organization: organization.map(|id| known(id.parse().ok(), "mail.org_id", &id)).transpose()?,
            object: row.text("object")?,
            detail: row.text("detail")?,
            at: Timestamp(row.int("created_at")?),
        },
        tries: row.int("tries")?,
    })
}
