//! Passwords become argon2id hashes here: m = 19 MiB, t = 2, p = 1 (`keys.md` §7).

use crate::respond::Refusal;
use crate::serve::Control;
use argon2::password_hash::{PasswordHasher, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use claviger_domain::error::Code;
use claviger_domain::secret::Secret;
use tokio::sync::Semaphore;

/// Characters of a password (`decisions.md` §8, 16).
const CHARACTERS: std::ops::RangeInclusive<usize> = 12..=256;
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
/// Hashes at once, a process: each costs 19 MiB and some 20 ms.
static POOL: Semaphore = Semaphore::const_new(2);

/// Checks the length and hashes off the async threads; the PHC text.
pub(crate) async fn hash(control: &Control, password: Secret<String>) -> Result<Secret<String>, Refusal> {
    if !CHARACTERS.contains(&password.expose().chars().count()) {
        return Err(Refusal::invalid("password", "12 to 256 characters"));
    }
    let mut salt = [0_u8; 16];
    control.draw(|random| random.fill(&mut salt));
    let _permit = POOL.acquire().await.map_err(|_closed| Code::InternalError)?;
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

fn phc(password: &Secret<String>, salt: &[u8; 16]) -> Option<String> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).ok()?;
    let salt = SaltString::encode_b64(salt).ok()?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    Some(hasher.hash_password(password.expose().as_bytes(), &salt).ok()?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_names_its_parameters() {
        let text = phc(&Secret::new("correct horse battery".to_owned()), &[7; 16]).unwrap_or_default();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
    }
}
