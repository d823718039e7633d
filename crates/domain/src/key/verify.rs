//! What others ask about a key that was presented to them, and what a node says of it (`keys.md` §4, *verify*).
//!
//! Who may ask, and whether the organization has credit, is not known here: a node answers from its memory.

use super::policy::Owner;
use crate::audit::Attribution;
use crate::endpoint::EndpointName;
use crate::error::Code;
use crate::gcra::Reading;
use crate::id::{EnvironmentId, KeyId, OrganizationId};
use crate::right::words;
use crate::time::Timestamp;
use std::net::IpAddr;

words! {
    /// The answer in one word, as Unkey has them (W45).
    Verdict {
        /// It may be used for what was asked.
        Valid = "VALID";
        /// Nobody's, another organization's, or revoked.
        NotFound = "NOT_FOUND";
        /// Disabled, reversibly.
        Disabled = "DISABLED";
        /// Its time is over.
        Expired = "EXPIRED";
        /// Not from this address, or its organization is suspended.
        Forbidden = "FORBIDDEN";
        /// Its class, endpoints, models or permissions do not reach that far.
        InsufficientPermissions = "INSUFFICIENT_PERMISSIONS";
        /// Too fast.
        RateLimited = "RATE_LIMITED";
        /// There is no credit.
        UsageExceeded = "USAGE_EXCEEDED";
    }
}

impl Verdict {
    /// The word for a refusal; `None` = it is about the server and not about the key.
    pub const fn of(refused: Option<Code>) -> Option<Self> {
        let Some(code) = refused else { return Some(Self::Valid) };
        Some(match code {
            Code::KeyRevoked | Code::InvalidApiKey => Self::NotFound,
            Code::KeyDisabled => Self::Disabled,
            Code::KeyExpired => Self::Expired,
            Code::OrganizationSuspended | Code::IpNotAllowed | Code::ClientIpUnknown => Self::Forbidden,
            Code::InferenceKeyRequired
            | Code::EndpointNotAllowed
            | Code::ModelNotAllowed
            | Code::ModelNotFound
            | Code::ModelNotPriced
            | Code::PermissionDenied => Self::InsufficientPermissions,
            Code::RateLimitExceeded => Self::RateLimited,
            Code::InsufficientQuota => Self::UsageExceeded,
            _ => return None,
        })
    }

    /// Where the refusal stands in the order of checks (`keys.md` §2.1): of two, the earlier one is told.
    pub const fn step(self) -> u8 {
        match self {
            Self::NotFound | Self::Expired | Self::Disabled => 6,
            Self::Forbidden => 8,
            Self::InsufficientPermissions => 9,
            Self::RateLimited => 10,
            Self::UsageExceeded => 14,
            Self::Valid => u8::MAX,
        }
    }
}

/// A key that was presented to somebody, and what for.
#[derive(Clone, Copy, Debug)]
pub struct VerifyAsk<'a> {
    /// What was presented.
    pub text: &'a [u8],
    /// Whose keys are told about; every other one is unknown.
    pub organization: OrganizationId,
    /// The only environment whose keys are told about.
    pub environment: Option<EnvironmentId>,
    /// The model that it is to be used for.
    pub model: Option<&'a str>,
    /// The endpoints that it is to be used for.
    pub endpoints: &'a [EndpointName],
    /// Where its user comes from; without it no address is judged.
    pub address: Option<IpAddr>,
    /// Whether it counts as a use: one request of its rate, and its last use.
    pub is_counted: bool,
    /// Who asks: told to the owners of bait that is presented.
    pub by: &'a Attribution,
}

/// What a node says.
#[derive(Clone, Debug)]
pub enum Verified {
    /// No key of that organization.
    Unknown,
    /// One of its keys.
    Known(Box<KnownKey>),
}

/// A key that was recognised.
#[derive(Clone, Debug)]
pub struct KnownKey {
    /// Its id.
    pub id: KeyId,
    /// Its name.
    pub name: String,
    /// Whether it is neither disabled nor revoked.
    pub is_enabled: bool,
    /// When what was presented ends by itself.
    pub expires_at: Option<Timestamp>,
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its billing label.
    pub source_tag: Option<String>,
    /// Whose it is.
    pub owner: Option<Owner>,
    /// Whether what was asked costs nothing: a test key, or a free model.
    pub is_free: bool,
    /// Why it may not be used.
    pub refused: Option<Code>,
    /// Its tightest limit on requests.
    pub requests: Option<Reading>,
    /// Its tightest limit on tokens.
    pub tokens: Option<Reading>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_of_a_key_has_a_word_and_ours_have_none() {
        for (code, word) in [
            (Code::KeyRevoked, Some("NOT_FOUND")),
            (Code::KeyDisabled, Some("DISABLED")),
            (Code::KeyExpired, Some("EXPIRED")),
            (Code::IpNotAllowed, Some("FORBIDDEN")),
            (Code::ModelNotAllowed, Some("INSUFFICIENT_PERMISSIONS")),
            (Code::RateLimitExceeded, Some("RATE_LIMITED")),
            (Code::InsufficientQuota, Some("USAGE_EXCEEDED")),
            (Code::AuthorizationStale, None),
            (Code::InternalError, None),
        ] {
            assert_eq!(Verdict::of(Some(code)).map(Verdict::name), word, "{}", code.text());
        }
        assert_eq!(Verdict::of(None), Some(Verdict::Valid));
        assert!(Verdict::Expired.step() < Verdict::RateLimited.step());
    }
}
