//! The one catalogue of public errors (`wire.md` W32).
//!
//! An entry has a stable code, a type, whose fault it is and whether a retry is safe. A cause becomes an entry in the
//! `respond.rs` of its plane; bytes and headers are made by `wire/error_body.rs`. Internal text never enters here.

use std::borrow::Cow;
use std::time::Duration;

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request is wrong; repeating it is useless.
    Caller,
    /// The credential is missing, wrong or too weak.
    Credential,
    /// Credit or a budget is used up.
    Credit,
    /// A rate or concurrency limit.
    Limit,
    /// The model server.
    Upstream,
    /// Claviger.
    Ours,
}

/// What a client may do with the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No header: the status says enough.
    Unsaid,
    /// `x-should-retry: false`.
    Never,
    /// `x-should-retry: true`.
    Always,
    /// `Retry-After` (whole seconds, up) and `retry-after-ms`; at most 60 s (W26).
    After(Duration),
    /// `retry-after-ms` and `Retry-After` as above, without a promise that it then passes.
    AfterMilliseconds(u32),
    /// The same with `x-should-retry: true`: what is waited for comes (W27).
    AlwaysAfter(u32),
}

macro_rules! catalogue {
    ($($name:ident = $code:literal, $status:literal, $kind:literal, $fault:ident, $retry:expr, $summary:literal;)*) => {
        /// A stable public error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $summary] $name,)* }

        impl Code {
            /// Every code of the catalogue.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code's text; never renamed.
            pub const fn text(self) -> &'static str {
                match self { $(Code::$name => $code,)* }
            }

            /// The HTTP status on OpenAI-shaped endpoints; 0 for errors that only occur inside a stream.
            pub const fn status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }

            /// The `type` member of OpenAI's shape.
            pub const fn kind(self) -> &'static str {
                match self { $(Code::$name => $kind,)* }
            }

            /// Whose fault it is.
            pub const fn fault(self) -> Fault {
                match self { $(Code::$name => Fault::$fault,)* }
            }

            /// What a client may do, unless the refusal says otherwise.
            pub const fn retry(self) -> Retry {
                match self { $(Code::$name => $retry,)* }
            }

            /// What it means, in one sentence; the message where a refusal has no better one.
            pub const fn summary(self) -> &'static str {
                match self { $(Code::$name => $summary,)* }
            }
        }
    };
}

const SECOND: Retry = Retry::After(Duration::from_secs(1));

catalogue! {
    InvalidSignature = "invalid_signature", 401, "authentication_error", Credential, Retry::Unsaid, "The signature of the body is not one of the keys that the operator named.";
    CredentialInUrl = "credential_in_url", 400, "invalid_request_error", Caller, Retry::Unsaid, "A key must not be part of the URL: URLs end up in logs. Send it as 'Authorization: Bearer YOUR_API_KEY' or 'X-API-Key: YOUR_API_KEY', and revoke this key if it is a real one.";
    MultipleCredentials = "multiple_credentials", 400, "invalid_request_error", Caller, Retry::Unsaid, "The same credential header came twice. Send exactly one.";
    InvalidConnectionHeader = "invalid_connection_header", 400, "invalid_request_error", Caller, Retry::Unsaid, "The Connection header names a header that carries a credential.";
    InvalidHost = "invalid_host", 400, "invalid_request_error", Caller, Retry::Unsaid, "The request needs exactly one valid Host header.";
    IncompleteBody = "incomplete_body", 400, "invalid_request_error", Caller, Retry::Unsaid, "The body ended before its announced length.";
    InvalidMultipart = "invalid_multipart", 400, "invalid_request_error", Caller, Retry::Unsaid, "The form cannot be read.";
    DuplicateKey = "duplicate_key", 400, "invalid_request_error", Caller, Retry::Unsaid, "A key occurs twice in one object.";
    AmbiguousKey = "ambiguous_key", 400, "invalid_request_error", Caller, Retry::Unsaid, "A key differs from a known one only in case.";
    InvalidJson = "invalid_json", 400, "invalid_request_error", Caller, Retry::Unsaid, "The body is not valid JSON.";
    JsonTooDeep = "json_too_deep", 400, "invalid_request_error", Caller, Retry::Unsaid, "The body is nested deeper than 64 levels.";
    JsonTooLarge = "json_too_large", 400, "invalid_request_error", Caller, Retry::Unsaid, "The body has more than 1,000,000 values.";
    BodyNotObject = "body_not_object", 400, "invalid_request_error", Caller, Retry::Unsaid, "The body must be a JSON object.";
    ForbiddenParameter = "forbidden_parameter", 400, "invalid_request_error", Caller, Retry::Unsaid, "This parameter is decided by the server, not by the request. Remove it.";
    UnpricedParameter = "unpriced_parameter", 400, "invalid_request_error", Caller, Retry::Unsaid, "This value has no price for this model.";
    UnboundedInput = "unbounded_input", 400, "invalid_request_error", Caller, Retry::Unsaid, "The cost of this input cannot be bounded for this model.";
    MissingRequiredParameter = "missing_required_parameter", 400, "invalid_request_error", Caller, Retry::Unsaid, "A required parameter is missing.";
    InvalidValue = "invalid_value", 400, "invalid_request_error", Caller, Retry::Unsaid, "A parameter has a value it cannot have.";
    UnsupportedParameter = "unsupported_parameter", 400, "invalid_request_error", Caller, Retry::Unsaid, "This parameter is not supported for this model.";
    InvalidModel = "invalid_model", 400, "invalid_request_error", Caller, Retry::Unsaid, "The model must be a text of at most 256 bytes without control characters.";
    UnsupportedEndpoint = "unsupported_endpoint", 400, "invalid_request_error", Caller, Retry::Unsaid, "No provider of this model serves this endpoint.";
    ModelNotPriced = "model_not_priced", 400, "invalid_request_error", Ours, Retry::Unsaid, "This model has no price yet. The operator has been told.";
    AmountOverflow = "amount_overflow", 400, "invalid_request_error", Caller, Retry::Unsaid, "The most this request could cost is beyond the range of money.";
    ContextLengthExceeded = "context_length_exceeded", 400, "invalid_request_error", Caller, Retry::Unsaid, "The request is longer than the model's context.";
    ContentPolicyViolation = "content_policy_violation", 400, "invalid_request_error", Caller, Retry::Unsaid, "The model server's moderation refused the request.";
    UpstreamRejected = "", 400, "invalid_request_error", Caller, Retry::Unsaid, "The model server rejected the request.";
    UnknownField = "unknown_field", 400, "invalid_request_error", Caller, Retry::Unsaid, "This field does not exist.";
    ReadOnlyField = "read_only_field", 400, "invalid_request_error", Caller, Retry::Unsaid, "This field cannot be set.";
    InvalidName = "invalid_name", 400, "invalid_request_error", Caller, Retry::Unsaid, "A name has 1 to 100 characters, not only spaces, and no control characters.";
    InvalidTag = "invalid_tag", 400, "invalid_request_error", Caller, Retry::Unsaid, "A source tag has 1 to 64 characters and no control characters.";
    InvalidCursor = "invalid_cursor", 400, "invalid_request_error", Caller, Retry::Unsaid, "This cursor names no object of this list.";
    OrganizationRequired = "organization_required", 400, "invalid_request_error", Caller, Retry::Unsaid, "Name the organization: there are several.";
    KeyLimitReached = "key_limit_reached", 400, "invalid_request_error", Caller, Retry::Unsaid, "This organization has as many API keys as it may have. Revoke one or ask the operator for more.";
    KeyNotActive = "key_not_active", 400, "invalid_request_error", Caller, Retry::Unsaid, "Only an active key gets a new secret.";
    TooManySecrets = "too_many_secrets", 400, "invalid_request_error", Caller, Retry::Unsaid, "This key has three live secrets, as many as it may. End one, or rotate without overlap.";
    SecretAlreadyUsed = "secret_already_used", 400, "invalid_request_error", Caller, Retry::Unsaid, "The newest secret was used, so it is not lost. Rotate the key instead.";
    ReissueWindowOver = "reissue_window_over", 400, "invalid_request_error", Caller, Retry::Unsaid, "A secret is issued again within ten minutes of its making. Rotate the key instead.";
    RevokeTheKey = "revoke_the_key", 400, "invalid_request_error", Caller, Retry::Unsaid, "This is the key's newest secret: it ends with the key. Rotate first, or revoke the key.";
    SourceTagRequired = "source_tag_required", 400, "invalid_request_error", Caller, Retry::Unsaid, "This organization asks every key for a source tag.";
    InvalidIdempotencyKey = "invalid_idempotency_key", 400, "invalid_request_error", Caller, Retry::Unsaid, "An Idempotency-Key has 1 to 255 printable ASCII characters, and comes once.";
    IdempotencyNotReplayable = "idempotency_not_replayable", 400, "invalid_request_error", Caller, Retry::Never, "A request with this Idempotency-Key was charged, but its answer is not kept.";
    IdempotencyKeyReused = "idempotency_key_reused", 400, "invalid_request_error", Caller, Retry::Unsaid, "This Idempotency-Key was used with another body within the last 24 hours.";
    KeyIsRevoked = "key_is_revoked", 400, "invalid_request_error", Caller, Retry::Unsaid, "This key is revoked, and that is final. Create a new one.";
    EnvironmentInUse = "environment_in_use", 400, "invalid_request_error", Caller, Retry::Unsaid, "This environment has live keys, or new keys go to it by default. Revoke its keys with it by 'revoke_keys': true; the default environment stays.";
    RegistryInUse = "registry_in_use", 400, "invalid_request_error", Caller, Retry::Unsaid, "Providers are shown under this registry. End them or move them first, or set its state to 'disabled'.";
    ProviderInUse = "provider_in_use", 400, "invalid_request_error", Caller, Retry::Unsaid, "This provider works on tasks, and only its credential finds out how they end. Disable it, so that it takes no new ones, and end it when they are done.";
    CredentialNeeded = "credential_needed", 400, "invalid_request_error", Caller, Retry::Unsaid, "The credential is bound to the host it was given for. Send it again with the new address, or null if the new host needs none.";
    EnvironmentArchived = "environment_archived", 400, "invalid_request_error", Caller, Retry::Unsaid, "This environment is archived, and that is final.";
    NameTaken = "name_taken", 400, "invalid_request_error", Caller, Retry::Unsaid, "Another object of this kind has this name.";
    OrganizationClosed = "organization_closed", 400, "invalid_request_error", Caller, Retry::Unsaid, "The organization's state does not allow this: a closed one stays closed, and only a suspended one can be resumed.";
    NodeAlive = "node_alive", 400, "invalid_request_error", Caller, Retry::Unsaid, "This node is alive, or the database still has a session of it. Stop it first, or drain it: what it does not need goes back by itself.";
    AgentEnded = "agent_ended", 400, "invalid_request_error", Caller, Retry::Unsaid, "This service account is deleted, and that is final.";
    AlreadySetUp = "already_set_up", 400, "invalid_request_error", Caller, Retry::Unsaid, "This instance has an owner already.";
    LastOwner = "last_owner", 400, "invalid_request_error", Caller, Retry::Unsaid, "An organization keeps at least one active owner. Make somebody else an owner first.";
    AlreadyMember = "already_member", 400, "invalid_request_error", Caller, Retry::Unsaid, "This person is a member already.";
    InvalidLink = "invalid_link", 400, "invalid_request_error", Caller, Retry::Unsaid, "This link or code was used, has expired, or was replaced by a newer one. Ask for a new one.";
    InvalidAmount = "invalid_amount", 400, "invalid_request_error", Caller, Retry::Unsaid, "An amount is a positive decimal text with at most 9 fraction digits, such as \"10.00\".";
    EventConflict = "event_conflict", 400, "invalid_request_error", Caller, Retry::Unsaid, "The same event was booked before with other content.";
    MissingApiKey = "missing_api_key", 401, "authentication_error", Credential, Retry::Never, "You didn't provide an API key. Send 'Authorization: Bearer YOUR_API_KEY' or 'X-API-Key: YOUR_API_KEY'.";
    InvalidApiKey = "invalid_api_key", 401, "authentication_error", Credential, Retry::Never, "Incorrect API key provided.";
    KeyRevoked = "key_revoked", 401, "authentication_error", Credential, Retry::Never, "Incorrect API key provided: this key was revoked.";
    KeyExpired = "key_expired", 401, "authentication_error", Credential, Retry::Never, "Incorrect API key provided: this key expired.";
    KeyDisabled = "key_disabled", 401, "authentication_error", Credential, Retry::Never, "Incorrect API key provided: this key is disabled; an administrator of its organization can enable it.";
    InvalidLogin = "invalid_login", 401, "authentication_error", Credential, Retry::Unsaid, "The e-mail address or the password is wrong.";
    InvalidToken = "invalid_token", 401, "authentication_error", Credential, Retry::Unsaid, "The token is not one that this server trusts.";
    SessionRequired = "session_required", 401, "authentication_error", Credential, Retry::Unsaid, "Sign in: this needs a session, and there is none or it has ended.";
    ModelNotAllowed = "model_not_allowed", 403, "permission_error", Credential, Retry::Unsaid, "This key may not use this model.";
    EndpointNotAllowed = "endpoint_not_allowed", 403, "permission_error", Credential, Retry::Unsaid, "This key may not use this endpoint.";
    TlsRequired = "tls_required", 403, "permission_error", Credential, Retry::Unsaid, "Keys are accepted over TLS only. Use https.";
    AdminKeyRequired = "admin_key_required", 403, "permission_error", Credential, Retry::Unsaid, "This endpoint needs an admin key; this is an inference key.";
    InferenceKeyRequired = "inference_key_required", 403, "permission_error", Credential, Retry::Unsaid, "This endpoint needs an inference key; this is an admin key.";
    IpNotAllowed = "ip_not_allowed", 403, "permission_error", Credential, Retry::Unsaid, "Requests from this address are not allowed.";
    ClientIpUnknown = "client_ip_unknown", 403, "permission_error", Credential, Retry::Unsaid, "Only listed addresses are allowed, and the forwarded address of this request cannot be read.";
    PermissionDenied = "permission_denied", 403, "permission_error", Credential, Retry::Unsaid, "Your role does not allow this.";
    OrganizationSuspended = "organization_suspended", 403, "permission_error", Credential, Retry::Unsaid, "This organization is suspended. Ask the operator.";
    CrossSiteRequest = "cross_site_request", 403, "permission_error", Credential, Retry::Unsaid, "A write with a session must come from the console's own pages, as application/json.";
    ReauthenticationRequired = "reauthentication_required", 403, "permission_error", Credential, Retry::Unsaid, "Sign in again for this: the last sign-in is more than 5 minutes old.";
    EmailNotVerified = "email_not_verified", 403, "permission_error", Credential, Retry::Unsaid, "Confirm your e-mail address first: open the link in the mail that was sent to it.";
    SignUpClosed = "sign_up_closed", 403, "permission_error", Credential, Retry::Unsaid, "Nobody can sign up here without an invite. Ask an owner of your organization for one.";
    InviteMismatch = "invite_mismatch", 403, "permission_error", Credential, Retry::Unsaid, "This invite is for another address or another role.";
    ModelNotFound = "model_not_found", 404, "invalid_request_error", Caller, Retry::Unsaid, "The model does not exist or you do not have access to it.";
    UnknownUrl = "unknown_url", 404, "invalid_request_error", Caller, Retry::Unsaid, "Invalid URL";
    NotFound = "not_found", 404, "invalid_request_error", Caller, Retry::Unsaid, "Not found.";
    MethodNotAllowed = "method_not_allowed", 405, "invalid_request_error", Caller, Retry::Unsaid, "This URL does not take this method; see the Allow header.";
    RequestTimeout = "request_timeout", 408, "invalid_request_error", Caller, Retry::Unsaid, "The body came too slowly.";
    InviteUsed = "invite_used", 410, "invalid_request_error", Caller, Retry::Unsaid, "Somebody joined by this invite already. Ask for a new one.";
    InviteExpired = "invite_expired", 410, "invalid_request_error", Caller, Retry::Unsaid, "This invite has expired. Ask for a new one.";
    InviteWithdrawn = "invite_withdrawn", 410, "invalid_request_error", Caller, Retry::Unsaid, "This invite was withdrawn. Ask for a new one.";
    VersionConflict = "version_conflict", 412, "invalid_request_error", Caller, Retry::Unsaid, "Somebody else changed this object since you read it. Read it again.";
    IdempotencyInProgress = "idempotency_in_progress", 409, "conflict_error", Caller, Retry::AlwaysAfter(500), "A request with this Idempotency-Key is running. Please try again in 500ms.";
    RequestTooLarge = "request_too_large", 413, "invalid_request_error", Caller, Retry::Unsaid, "The body is larger than this endpoint takes.";
    UnsupportedMediaType = "unsupported_media_type", 415, "invalid_request_error", Caller, Retry::Unsaid, "Send 'Content-Type: application/json'.";
    UnsupportedContentEncoding = "unsupported_content_encoding", 415, "invalid_request_error", Caller, Retry::Unsaid, "Send the body without Content-Encoding.";
    ExpectationFailed = "expectation_failed", 417, "invalid_request_error", Caller, Retry::Unsaid, "Only 'Expect: 100-continue' is understood.";
    MisdirectedRequest = "misdirected_request", 421, "invalid_request_error", Caller, Retry::Unsaid, "This server does not answer for this host.";
    UnsupportedTransferCoding = "unsupported_transfer_coding", 501, "invalid_request_error", Caller, Retry::Never, "The only transfer coding understood is chunked.";
    RateLimitExceeded = "rate_limit_exceeded", 429, "requests", Limit, SECOND, "Rate limit reached.";
    CreditOnHold = "credit_on_hold", 429, "requests", Credit, Retry::AfterMilliseconds(1000), "The credit is there, but held by running requests. Please try again in 1s.";
    InsufficientQuota = "insufficient_quota", 429, "insufficient_quota", Credit, Retry::Never, "You exceeded your current quota, please check your plan and billing details.";
    InternalError = "internal_error", 500, "server_error", Ours, Retry::Unsaid, "Something went wrong on our side. The request was not charged.";
    UpstreamError = "upstream_error", 502, "server_error", Upstream, Retry::Unsaid, "The model server failed.";
    UpstreamAuthError = "upstream_auth_error", 502, "server_error", Upstream, Retry::Never, "The model server refused the operator's credential. The operator has been told.";
    ServiceUnavailable = "service_unavailable", 503, "server_error", Ours, SECOND, "No model server can take this request now.";
    Overloaded = "overloaded", 503, "server_error", Upstream, SECOND, "The model server is overloaded.";
    AuthorizationStale = "authorization_stale", 503, "server_error", Ours, SECOND, "The server cannot prove that keys are still valid. It will again shortly.";
    LedgerUnavailable = "ledger_unavailable", 503, "server_error", Ours, SECOND, "The ledger cannot be written now, so nothing that costs money is served.";
    AuditUnavailable = "audit_unavailable", 503, "server_error", Ours, SECOND, "The change was not made, because it could not be audited.";
    RevocationPending = "revocation_pending", 503, "server_error", Ours, SECOND, "It is not known whether the change was made. Repeating it is safe.";
    UpstreamTimeout = "upstream_timeout", 504, "server_error", Upstream, Retry::Unsaid, "The model server did not answer in time.";
    StreamTruncated = "stream_truncated", 0, "server_error", Upstream, Retry::Unsaid, "The upstream closed the stream before it finished.";
    ServerShutdown = "server_shutdown", 0, "server_error", Ours, Retry::Unsaid, "The server is stopping.";
}

/// A refusal as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicError {
    /// Which entry of the catalogue.
    pub code: Code,
    /// What happened, why, and the next step. Holds no full key and nothing internal.
    pub message: Cow<'static, str>,
    /// The field it is about.
    pub param: Option<String>,
    /// What a client may do with the same request.
    pub retry: Retry,
    /// What refused, for `x-claviger-limit`: `wallet`, `key.rpm`, ….
    pub limit: Option<&'static str>,
    /// The methods of a 405.
    pub allow: Option<Box<str>>,
    /// Whether a rate limit counts tokens, which is the `type` then.
    pub counts_tokens: bool,
}

impl PublicError {
    /// The entry with its own summary as message.
    pub const fn new(code: Code) -> Self {
        Self {
            code,
            message: Cow::Borrowed(code.summary()),
            param: None,
            retry: code.retry(),
            limit: None,
            allow: None,
            counts_tokens: false,
        }
    }

    /// The entry with a message made for this case.
    pub fn with_message(code: Code, message: impl Into<String>) -> Self {
        Self { message: Cow::Owned(message.into()), ..Self::new(code) }
    }

    /// The `type` member of OpenAI's shape.
    pub const fn kind(&self) -> &'static str {
        if self.counts_tokens { "tokens" } else { self.code.kind() }
    }

    /// Names the field it is about.
    #[must_use]
    pub fn about(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }
}

impl From<Code> for PublicError {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_types_follow_the_status() {
        let mut seen = HashSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.text()), "{}", code.text());
            let expected = match code.status() {
                401 => "authentication_error",
                403 => "permission_error",
                409 => "conflict_error",
                429 => continue,
                0 | 500 | 502..=599 => "server_error",
                _ => "invalid_request_error",
            };
            assert_eq!(code.kind(), expected, "{}", code.text());
        }
    }
}
