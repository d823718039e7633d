//! Immutable price versions; their id is a hash of their content, so saving one again changes nothing.

use crate::audit::{AuditEvent, append};
use crate::cells::{Cells as _, corrupt};
use crate::door::{Linked, Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Attribution, Chain};
use claviger_domain::id::PriceVersionId;
use claviger_domain::price::PriceSheet;
use claviger_domain::time::{Now, Timestamp};

statements! {
    INSERT = "INSERT INTO price_version (id, model, body, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    FIND = "SELECT body FROM price_version WHERE id = $1";
}

impl Store {
    /// Keeps price versions for ever, so that every charge can be re-rated.
    ///
    /// # Errors
    /// The database's; nothing was saved.
    pub async fn save_price_versions(&self, sheets: &[PriceSheet], now: Now) -> Result<(), Error> {
        let rows = rows_of(sheets);
        self.act(async move |tx: &mut Tx<'_>| insert(tx, &rows, now.wall).await).await
    }

    /// The same for a configuration that is read again, with the record of it in the instance's audit chain.
    ///
    /// # Errors
    /// Those of writing: it must not be put in force. `OutcomeUnknown`: a repetition may record it twice.
    pub async fn save_reload(&self, sheets: &[PriceSheet], event: AuditEvent, by: &Attribution) -> Result<(), Error> {
        let (rows, by) = (rows_of(sheets), by.clone());
        self.act(async move |tx: &mut Tx<'_>| {
            insert(tx, &rows, by.at).await?;
            append(tx, Chain::Instance, &by, &event).await
        })
        .await
    }

    /// One price version.
    ///
    /// # Errors
    /// Those of reading; `Corrupt` when the stored text is not the version its id names.
    pub async fn find_price_version(&self, id: PriceVersionId) -> Result<Option<PriceSheet>, Error> {
        find(&mut self.reader().await?, id).await
    }
}

/// Version, model and canonical text of each.
fn rows_of(sheets: &[PriceSheet]) -> Vec<(String, String, String)> {
    sheets.iter().map(|sheet| (sheet.version.to_string(), sheet.model.clone(), sheet.canonical())).collect()
}

async fn insert(tx: &mut Tx<'_>, rows: &[(String, String, String)], at: Timestamp) -> Result<(), Error> {
    for (id, model, body) in rows {
        both!(tx, c => {
            sqlx::query(INSERT).bind(id).bind(model).bind(body).bind(at.0).execute(c).await?;
        });
    }
    Ok(())
}

pub(crate) async fn find(linked: &mut impl Linked, id: PriceVersionId) -> Result<Option<PriceSheet>, Error> {
    let text = id.to_string();
    let body = both!(linked, c => {
        sqlx::query(FIND).bind(&text).fetch_optional(c).await?.map(|row| row.text("body")).transpose()?
    });
    let Some(body) = body else { return Ok(None) };
    let sheet = PriceSheet::from_canonical(&body).map_err(|_| corrupt("price_version", &text))?;
    if sheet.version == id { Ok(Some(sheet)) } else { Err(corrupt("price_version", &text)) }
}
