//! Links that prove who somebody is: to an address, or to a new password.
//!
//! Each is one transaction with its record. Whoever proves an address for the first time takes the account over as it
//! stands, but not the ways in that somebody else left there: anybody may have signed up with an address that is not
//! theirs, and waited.

use crate::audit::record_for_instance;
use crate::door::{Tx, both};
use crate::error::Error;
use crate::people::{self, record_for_person};
use crate::sessions::{self, NewToken};
use crate::statements::statements;
use crate::store::Store;
use claviger_domain::audit::{Action, Actor, Attribution};
use claviger_domain::id::UserId;
use claviger_domain::person::session::SessionEnd;
use claviger_domain::person::token::TokenKind;
use claviger_domain::secret::{Digest, Secret};

statements! {
    LOCK = "UPDATE users SET state = state WHERE id = $1";
    DROP_PASSKEYS = "DELETE FROM passkey WHERE user_id = $1";
    DROP_IDENTITIES = "DELETE FROM identity WHERE user_id = $1";
}

impl Store {
    /// Stores a link that the operator made, with its record: where its person belongs, or in the instance's chain.
    ///
    /// # Errors
    /// `Conflict`: the same token exists.
    pub async fn make_link(&self, new: NewToken, by: &Attribution) -> Result<(), Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            sessions::save_token(tx, &new).await?;
            match new.user {
                Some(user) => record_for_person(tx, user, &by, Action::PasswordLinkCreated).await,
                None => record_for_instance(tx, &by, Action::SetUpLinkCreated, new.kind.name(), &[]).await,
            }
        })
        .await
    }

    /// Marks the address as proved that a link was mailed to, and uses the link up: both or neither. `None` = the link
    /// opens nothing any more.
    ///
    /// # Errors
    /// The database's; then the link is as good as before. `OutcomeUnknown`: it may be used up; ask for another.
    pub async fn verify_email(&self, link: Digest, by: &Attribution) -> Result<Option<UserId>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let taken = sessions::take_token(tx, TokenKind::Verify, &link, by.at).await?;
            let Some(user) = taken.and_then(|taken| taken.user) else { return Ok(None) };
            let by = Attribution { actor: Actor::User(user.to_string()), ..by.clone() };
            people::verify_email(tx, user, &by).await?;
            Ok(Some(user))
        })
        .await
    }

    /// Sets the password of whoever a link is for, and uses the link up. Every session ends. With `is_mailed` the link
    /// came by mail and proves the address; at the first proof the ways in besides the password, which somebody else may
    /// have left, are taken away. `None` = the link opens nothing any more.
    ///
    /// # Errors
    /// `OutcomeUnknown`: the link may be used up; ask for another.
    pub async fn reset_password(
        &self,
        link: Digest,
        password_hash: Secret<String>,
        is_mailed: bool,
        by: &Attribution,
    ) -> Result<Option<UserId>, Error> {
        let by = by.clone();
        self.act(async move |tx: &mut Tx<'_>| {
            let taken = sessions::take_token(tx, TokenKind::Reset, &link, by.at).await?;
            let Some(user) = taken.and_then(|taken| taken.user) else { return Ok(None) };
            let text = user.to_string();
            both!(tx, c => { sqlx::query(LOCK).bind(&text).execute(c).await?; });
            let Some(person) = people::find(tx, user).await? else { return Ok(None) };
            people::set_password(tx, user, &password_hash, by.at).await?;
            sessions::end_all(tx, user, None, SessionEnd::RightsChanged, by.at).await?;
            record_for_person(tx, user, &by, Action::PasswordChanged).await?;
            if is_mailed && person.email_verified_at.is_none() {
                shut_out(tx, user, &by).await?;
                people::verify_email(tx, user, &by).await?;
            }
            Ok(Some(user))
        })
        .await
    }
}

/// Takes away every way in but the password.
async fn shut_out(tx: &mut Tx<'_>, user: UserId, by: &Attribution) -> Result<(), Error> {
    let text = user.to_string();
    for (statement, action) in [(DROP_PASSKEYS, Action::PasskeyDeleted), (DROP_IDENTITIES, Action::IdentityUnlinked)] {
        let rows = both!(tx, c => sqlx::query(statement).bind(&text).execute(c).await?.rows_affected());
        if rows > 0 {
            record_for_person(tx, user, by, action).await?;
        }
    }
    Ok(())
}
