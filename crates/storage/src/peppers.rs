//! Checks of peppers: enough to recognise one, useless to find it.

use crate::cells::{Cells as _, corrupt};
use crate::door::{Tx, both};
use crate::error::Error;
use crate::statements::statements;
use crate::store::Store;

statements! {
    LIST = "SELECT version, check_bytes FROM pepper_check ORDER BY version";
    INSERT = "INSERT INTO pepper_check (version, check_bytes) VALUES ($1, $2) ON CONFLICT DO NOTHING";
}

impl Store {
    /// The checks of every pepper version this database was used with.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn pepper_checks(&self) -> Result<Vec<(u16, [u8; 8])>, Error> {
        let mut reader = self.reader().await?;
        both!(&mut reader, c => {
            let mut checks = Vec::new();
            for row in sqlx::query(LIST).fetch_all(c).await? {
                let version = row.int("version")?;
                let version = u16::try_from(version).map_err(|_| corrupt("pepper_check", &version.to_string()))?;
                let bytes = row.bytes("check_bytes")?;
                let bytes = bytes.as_slice().try_into().map_err(|_| corrupt("pepper_check", &version.to_string()))?;
                checks.push((version, bytes));
            }
            Ok(checks)
        })
    }

    /// Keeps the check of a pepper version; a stored one is never replaced.
    ///
    /// # Errors
    /// `Conflict` when this version is known with another check: it is another pepper.
    pub async fn save_pepper_check(&self, version: u16, check: [u8; 8]) -> Result<(), Error> {
        self.act(async move |tx: &mut Tx<'_>| {
            both!(tx, c => {
                sqlx::query(INSERT).bind(i64::from(version)).bind(check.as_slice()).execute(c).await?;
            });
            Ok(())
        })
        .await?;
        let is_kept = self.pepper_checks().await?.contains(&(version, check));
        if is_kept { Ok(()) } else { Err(Error::Conflict("pepper version")) }
    }
}
