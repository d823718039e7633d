//! Passwords: what one may be, its argon2id hash (m = 19 MiB, t = 2, p = 1), and the check of one (`keys.md` §7).
//!
//! Hashing happens off the async threads, two at once; thirty-two wait, more are refused. An unknown person costs the same
//! work as a known one.

mod guessable;

use crate::respond::Refusal;
use crate::serve::Control;
use argon2::password_hash::{PasswordHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use claviger_domain::error::Code;
use claviger_domain::limits;
use claviger_domain::person::EmailAddress;
use claviger_domain::secret::Secret;
use tokio::sync::{Semaphore, SemaphorePermit};

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes at once, a process.
static POOL: Semaphore = Semaphore::const_new(limits::PASSWORD_HASHES);
/// Hashes at once and waiting, a process.
static QUEUE: Semaphore = Semaphore::const_new(limits::PASSWORD_HASHES + limits::PASSWORD_QUEUE);

/// The hash of a password that nobody has, under today's parameters: what an unknown person's password is checked
/// against.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlz$uz0TUEqHhjAVoVyyXXVsGOPbPOSfMe3yi/mhS9QZzsk";

/// How a check ended.
#[derive(Debug)]
pub(crate) enum Checked {
    /// It is not the password.
    Wrong,
    /// It is.
    Right {
        /// A hash under today's parameters, if the stored one is under weaker ones.
        better: Option<Secret<String>>,
    },
}

/// Refuses a password that is too short, too long, common, or the person's own address.
pub(crate) fn check_choice(control: &Control, password: &Secret<String>, email: &EmailAddress) -> Result<(), Refusal> {
    let least = control.settings().people.password_characters_min.max(limits::PASSWORD_CHARACTERS_MIN);
    let most = limits::PASSWORD_CHARACTERS_MAX;
    let text = password.expose();
    if !(least..=most).contains(&text.chars().count()) {
        return Err(Refusal::invalid("password", format_args!("{least} to {most} characters")));
    }
    let lower = text.to_lowercase();
    let is_address = lower.contains(email.as_str()) || guessable::stem(&lower) == guessable::stem(email.local_part());
    if is_address || guessable::is_common(&lower) {
        return Err(Refusal::invalid("password", "something that is not on every list of common passwords"));
    }
    Ok(())
}

/// Hashes a password that was chosen; the PHC text.
pub(crate) async fn hash(control: &Control, password: Secret<String>) -> Result<Secret<String>, Refusal> {
    let salt = salt(control);
    let _permits = permits().await?;
    #[expect(clippy::disallowed_methods, reason = "bounded by the pool above, and awaited here")]
    let hashed = tokio::task::spawn_blocking(move || phc(&password, &salt)).await;
    match hashed {
        Ok(Some(text)) => Ok(Secret::new(text)),
        _ => {
            tracing::error!("a password could not be hashed");
            Err(Code::InternalError.into())
        }
    }
}

/// Checks a password against a stored hash; against nobody's if there is none, which is never right but takes as long.
pub(crate) async fn check(
    control: &Control,
    password: Secret<String>,
    stored: Option<Secret<String>>,
) -> Result<Checked, Refusal> {
    let salt = salt(control);
    let _permits = permits().await?;
    #[expect(clippy::disallowed_methods, reason = "bounded by the pool above, and awaited here")]
    let checked = tokio::task::spawn_blocking(move || {
        let is_nobodys = stored.is_none();
        let stored = stored.unwrap_or_else(|| Secret::new(NOBODYS.to_owned()));
        let is_right = matches(&password, stored.expose()) && !is_nobodys;
        let better = (is_right && is_outdated(stored.expose())).then(|| phc(&password, &salt)).flatten();
        if is_right { Checked::Right { better: better.map(Secret::new) } } else { Checked::Wrong }
    });
    checked.await.map_err(|_panicked| Code::InternalError.into())
}

fn salt(control: &Control) -> [u8; 16] {
    let mut salt = [0_u8; 16];
    control.draw(|random| random.fill(&mut salt));
    salt
}

/// A place in the queue, then one in the pool; a full queue is refused at once.
async fn permits() -> Result<(SemaphorePermit<'static>, SemaphorePermit<'static>), Refusal> {
    let place = QUEUE.try_acquire().map_err(|_full| {
        Refusal::because(Code::RateLimitExceeded, "Too many people sign in at this moment. Please try again in 1s.")
    })?;
    let turn = POOL.acquire().await.map_err(|_closed| Code::InternalError)?;
    Ok((place, turn))
}

fn phc(password: &Secret<String>, salt: &[u8; 16]) -> Option<String> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).ok()?;
    let salt = SaltString::encode_b64(salt).ok()?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Some(hasher.hash_password(password.expose().as_bytes(), &salt).ok()?.to_string())
}

fn matches(password: &Secret<String>, stored: &str) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else { return false };
    Argon2::default().verify_password(password.expose().as_bytes(), &stored).is_ok()
}

/// Whether a hash was made under weaker parameters than today's.
fn is_outdated(stored: &str) -> bool {
    let Ok(stored) = PasswordHash::new(stored) else { return false };
    let Ok(params) = Params::try_from(&stored) else { return true };
    stored.algorithm != Algorithm::Argon2id.ident()
        || params.m_cost() < MEMORY_KIB
        || params.t_cost() < PASSES
        || params.p_cost() < LANES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret<String> {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_hash_names_its_parameters() {
        let text = phc(&secret("correct horse battery"), &[7; 16]).unwrap_or_default();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert!(matches(&secret("correct horse battery"), &text) && !matches(&secret("correct horse batter"), &text));
        assert!(!is_outdated(&text));
    }

    #[test]
    fn a_hash_under_weaker_parameters_is_outdated() {
        let weak = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8192, 1, 1, None).expect("lawful"));
        let salt = SaltString::encode_b64(&[7; 16]).expect("a salt");
        let text = weak.hash_password(b"correct horse battery", &salt).expect("hashed").to_string();
        assert!(is_outdated(&text) && matches(&secret("correct horse battery"), &text));
    }

    #[test]
    fn nobodys_hash_costs_what_a_persons_does() {
        assert!(PasswordHash::new(NOBODYS).is_ok() && !is_outdated(NOBODYS));
        assert!(!matches(&secret("anything at all"), NOBODYS));
    }
}
