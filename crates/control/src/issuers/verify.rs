//! A token is believed, or not: the signature by a key of its issuer, in an accepted algorithm; then what it says.
//!
//! The time is an argument, so the library's own look at the clock is switched off and `domain::id_token` judges the
//! times. `none` and the algorithms of shared secrets are never accepted, and what a token's header says about where keys
//! are to be found is not read.

use super::Issuer;
use super::documents::Endpoints;
use crate::ports::AskIssuers;
use crate::respond::Refusal;
use crate::serve::Control;
use claviger_domain::error::Code;
use claviger_domain::id_token::{Claims, Untrusted};
use claviger_domain::limits;
use claviger_domain::time::Now;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

/// Signatures of agents' tokens; people's are the first two of these (`keys.md` §4, §7).
pub(crate) const ALGORITHMS: &[Algorithm] = &[Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// Why a token is not believed now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Disbelief {
    /// It never will be.
    Untrusted(Untrusted),
    /// Its issuer cannot be asked; the same token may be good later.
    Unavailable(String),
}

impl Disbelief {
    pub(super) fn unavailable(issuer: &Issuer, why: &str) -> Self {
        Self::Unavailable(format!("{}: {why}", issuer.issuer))
    }

    /// For the log and the audit record of whom it concerns.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Untrusted(why) => why.name(),
            Self::Unavailable(_) => "issuer_unavailable",
        }
    }
}

impl From<Untrusted> for Disbelief {
    fn from(why: Untrusted) -> Self {
        Self::Untrusted(why)
    }
}

/// Which of the reasons it was is not for whoever presents a token.
impl From<Disbelief> for Refusal {
    fn from(why: Disbelief) -> Self {
        tracing::info!(target: "claviger::security", why = why.reason(), "a token was not believed");
        match why {
            Disbelief::Untrusted(_) => Code::InvalidToken.into(),
            Disbelief::Unavailable(_) => Self::because(
                Code::ServiceUnavailable,
                "The issuer of the token cannot be asked now. Please try again.",
            ),
        }
    }
}

/// The issuer that a token names, before anything of it is believed: to find out whose keys to ask for.
pub(crate) fn issuer_named(token: &str) -> Result<String, Untrusted> {
    if token.len() > limits::TOKEN_BYTES {
        return Err(Untrusted::Malformed);
    }
    let claims: Map<String, Value> =
        jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| Untrusted::Malformed)?;
    claims.get("iss").and_then(Value::as_str).map(str::to_owned).ok_or(Untrusted::Malformed)
}

/// What a token of this issuer says, if it is signed by a key of theirs in one of `algorithms`, is for `audience` and
/// holds now. Its subject still has to be somebody here.
pub(crate) async fn verify(
    control: &Control,
    issuer: &Issuer,
    token: &str,
    algorithms: &[Algorithm],
    audience: &str,
    now: Now,
) -> Result<Claims, Disbelief> {
    let claims = signed(control, issuer, token, algorithms, now).await?;
    claims.check(&issuer.issuer, audience, now.wall)?;
    Ok(claims)
}

/// What a token says that a key of this issuer signed, in one of `algorithms`. For whom it is and when it holds is still
/// to be asked.
pub(crate) async fn signed(
    control: &Control,
    issuer: &Issuer,
    token: &str,
    algorithms: &[Algorithm],
    now: Now,
) -> Result<Claims, Disbelief> {
    if token.len() > limits::TOKEN_BYTES {
        return Err(Untrusted::Malformed.into());
    }
    let header = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
        // `none`, and whatever else the library has no name for.
        jsonwebtoken::errors::ErrorKind::Json(_) => Untrusted::Algorithm,
        _ => Untrusted::Malformed,
    })?;
    if !algorithms.contains(&header.alg) {
        return Err(Untrusted::Algorithm.into());
    }
    // An extension that must be understood, and that we do not (RFC 7515 §4.1.11).
    if header.crit.is_some() {
        return Err(Untrusted::Malformed.into());
    }
    let ask = asking(control, issuer)?;
    let keys = control.documents().keys(issuer, ask, header.kid.as_deref(), now).await?;
    let fitting: Vec<&Jwk> = keys.iter().filter(|key| fits(key, header.alg)).collect();
    if fitting.is_empty() {
        return Err(if keys.is_empty() { Untrusted::Signature } else { Untrusted::Algorithm }.into());
    }
    let members = fitting.iter().find_map(|key| signed_by(token, key, header.alg)).ok_or(Untrusted::Signature)?;
    let claims = Claims::read(members)?;
    if claims.issuer == issuer.issuer { Ok(claims) } else { Err(Untrusted::Issuer.into()) }
}

/// Where the issuer is asked for what.
pub(crate) async fn endpoints(control: &Control, issuer: &Issuer, now: Now) -> Result<Endpoints, Disbelief> {
    control.documents().endpoints(issuer, asking(control, issuer)?, now).await
}

fn asking<'a>(control: &'a Control, issuer: &Issuer) -> Result<&'a dyn AskIssuers, Disbelief> {
    let ask = control.settings().issuers.ask.as_deref();
    ask.ok_or_else(|| Disbelief::unavailable(issuer, "there is no way out"))
}

/// Whether a key is of the kind, and meant for the algorithm, that the token says it is signed with.
fn fits(key: &Jwk, algorithm: Algorithm) -> bool {
    let is_meant = key.common.key_algorithm.is_none_or(|own| own.to_string() == format!("{algorithm:?}"));
    let is_kind = match (&key.algorithm, algorithm) {
        (AlgorithmParameters::RSA(_), Algorithm::RS256) => true,
        (AlgorithmParameters::EllipticCurve(key), Algorithm::ES256) => key.curve == EllipticCurve::P256,
        (AlgorithmParameters::OctetKeyPair(key), Algorithm::EdDSA) => key.curve == EllipticCurve::Ed25519,
        _ => false,
    };
    is_meant && is_kind
}

/// The members of the payload, if the key made the signature.
fn signed_by(token: &str, key: &Jwk, algorithm: Algorithm) -> Option<Map<String, Value>> {
    let key = DecodingKey::from_jwk(key).ok()?;
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    jsonwebtoken::decode::<Map<String, Value>>(token, &key, &validation).ok().map(|read| read.claims)
}
