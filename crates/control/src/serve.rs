//! Matched row → handler, by a match that knows every operation.
//!
//! There is no router: the row was matched in the listener, and what a handler needs travels in the per-call state of
//! `axum::handler::Handler`. An operation without an arm does not compile.

use crate::audit::{self, AuditSettings};
use crate::authenticate::{Caller, authenticate};
use crate::authorize::{self, Member, Operator, Signed, Visitor};
use crate::issuers::{Documents, IssuerSettings};
use crate::jobs::Jobs;
use crate::leaks::{self, LeakSettings};
use crate::operator::organizations;
use crate::ports::AwaitRights;
use crate::providers::ProviderSettings;
use crate::respond::Refusal;
use crate::settings::PeopleSettings;
use crate::{
    agents, confirmation, environments, keys, limits, operator, organization, providers, registries, requests, usage,
    wallet,
};
use crate::{auth, invites, me, members, session};
use axum::body::Body;
use axum::handler::Handler;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use claviger_domain::endpoint::{Match, Method, Operation};
use claviger_domain::error::{Code, PublicError};
use claviger_domain::id::RequestId;
use claviger_domain::key::Prefixes;
use claviger_domain::person::throttle::Throttle;
use claviger_domain::secret::Pepper;
use claviger_domain::time::{Clock, Now, Random};
use claviger_storage::Store;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use parking_lot::Mutex;
use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// The body of every management reply: whole, so its length is announced.
pub type ControlBody = Full<Bytes>;

/// What the operator decided for the management plane.
#[derive(Debug)]
pub struct Settings {
    /// Prefixes of keys.
    pub prefixes: Prefixes,
    /// Every pepper this instance knows; the one with the highest version is used for new secrets. Never empty.
    pub peppers: Vec<Pepper>,
    /// ISO 4217 code of the instance's currency.
    pub currency: String,
    /// Where people reach the console, without a trailing slash.
    pub public_url: String,
    /// How people come and stay.
    pub people: PeopleSettings,
    /// Issuers of tokens that are believed.
    pub issuers: IssuerSettings,
    /// Who may report leaks, and what bait does.
    pub leaks: LeakSettings,
    /// Sinks of checkpoints.
    pub audit: AuditSettings,
    /// What organizations may bring along.
    pub providers: ProviderSettings,
}

/// Who stands behind a request, as far as the transport knows.
#[derive(Clone, Copy, Debug)]
pub enum Origin {
    /// A client on the network; its credential decides.
    Network {
        /// The client, or the peer where the client is not known.
        address: SocketAddr,
        /// Whether it is the client's own; `false` = what a trusted proxy says of the client cannot be read.
        is_known: bool,
    },
    /// Somebody who can read the data directory: the socket in it, or this very process.
    LocalOperator,
}

/// The management plane. A clone is a handle.
#[derive(Clone)]
pub struct Control(Arc<Parts>);

struct Parts {
    store: Store,
    rights: Arc<dyn AwaitRights>,
    clock: Arc<dyn Clock>,
    random: Mutex<Box<dyn Random>>,
    settings: Settings,
    jobs: Jobs,
    /// What issuers of tokens have published.
    documents: Documents,
    guesses: Mutex<Throttle>,
    guess_hash: RandomState,
    /// Idempotency-Keys under which something runs now: principal, path, key.
    running: Mutex<HashSet<(String, String, String)>>,
    /// Proofs that are still to be recorded.
    unrecorded: Mutex<VecDeque<confirmation::Unrecorded>>,
}

/// What one call carries: axum's state. `A` is what `authorize` has made of the caller.
#[derive(Clone)]
pub(crate) struct Call<A> {
    pub(crate) control: Control,
    pub(crate) matched: Match,
    pub(crate) actor: A,
    pub(crate) now: Now,
    /// `Prefer: respond-async`: a proof that takes long is asked for later.
    pub(crate) is_async: bool,
}

impl<A> Call<A> {
    /// The largest body of this call's row.
    pub(crate) fn body_bytes_max(&self) -> u64 {
        self.matched.row.body_bytes_max
    }

    /// A captured id; malformed ids are publicly the same as unknown ones.
    pub(crate) fn id<I: std::str::FromStr>(&self, name: &str) -> Result<I, Refusal> {
        self.matched.captured(name).and_then(|text| text.parse().ok()).ok_or_else(Refusal::not_found)
    }
}

impl Control {
    /// Joins the plane to its store, the node's ears, time and chance.
    pub fn new(
        store: Store,
        rights: Arc<dyn AwaitRights>,
        clock: Arc<dyn Clock>,
        random: Box<dyn Random>,
        settings: Settings,
    ) -> Self {
        let guesses = Throttle::new(
            claviger_domain::limits::SIGN_IN_TRIES,
            claviger_domain::limits::SIGN_IN_WINDOW,
            claviger_domain::limits::SIGN_IN_SUBJECTS,
        );
        Self(Arc::new(Parts {
            store,
            rights,
            clock,
            random: Mutex::new(random),
            settings,
            guesses: Mutex::new(guesses),
            guess_hash: RandomState::new(),
            jobs: Jobs::default(),
            documents: Documents::default(),
            running: Mutex::default(),
            unrecorded: Mutex::default(),
        }))
    }

    /// Answers one request of a management row. Never fails: a refusal is an answer.
    pub async fn answer<B>(
        &self,
        origin: Origin,
        matched: Match,
        request: Request<B>,
        request_id: RequestId,
    ) -> http::Response<ControlBody>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let request = request.map(Body::new);
        let operation = matched.row.operation.name();
        let (denied, response) = match self.dispatch(origin, matched, request, request_id).await {
            Ok(response) => ((response.status() == StatusCode::FORBIDDEN).then_some(Code::PermissionDenied), response),
            Err(refusal) => (refusal.code(), refusal.into_response()),
        };
        if let Some(code) = denied {
            audit::security::note(self, origin, code, operation, self.0.clock.now());
        }
        let (mut parts, body) = response.into_parts();
        if let Ok(id) = HeaderValue::try_from(request_id.to_string()) {
            parts.headers.insert("x-request-id", id);
        }
        match body.collect().await {
            Ok(whole) => http::Response::from_parts(parts, Full::new(whole.to_bytes())),
            Err(cause) => {
                tracing::error!(error = %cause, "a management reply could not be made");
                parts.status = StatusCode::INTERNAL_SERVER_ERROR;
                http::Response::from_parts(parts, Full::default())
            }
        }
    }

    /// Who, then whether they may, then what: in this order, so that a refusal never tells about an object.
    async fn dispatch(
        &self,
        origin: Origin,
        matched: Match,
        request: Request<Body>,
        request_id: RequestId,
    ) -> Result<Response, Refusal> {
        let now = self.0.clock.now();
        if matched.row.method != Method::Get && self.audit().state.is_shut.load(Ordering::Relaxed) {
            return Err(Code::AuditUnavailable.into());
        }
        let caller = authenticate(self, origin, matched.row, request.headers(), request_id, now).await?;
        let call =
            Unauthorized { control: self.clone(), matched, caller, now, is_async: prefers_async(request.headers()) };
        run(call, request).await
    }

    /// Waits for `stop`, then does once more what the jobs of the audit do, so that a clean stop leaves nothing unsigned.
    pub async fn keep_audit(&self, mut stop: tokio::sync::watch::Receiver<bool>) {
        let _ = stop.wait_for(|stop| *stop).await;
        let now = self.0.clock.now();
        // What is signed counts; a sink that is away gets it after the next start.
        let _ = audit::checkpoints::sign(self, now).await;
        let runs = [
            audit::checkpoints::reconcile(self, now).await,
            audit::security::reconcile(self, now, true).await,
            leaks::alarms::reconcile(self).await,
        ];
        for error in runs.into_iter().filter_map(Result::err) {
            tracing::warn!(%error, "the audit could not be brought level at the end");
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn leaks(&self) -> &LeakSettings {
        &self.0.settings.leaks
    }

    pub(crate) fn audit(&self) -> &AuditSettings {
        &self.0.settings.audit
    }

    pub(crate) fn rights(&self) -> &dyn AwaitRights {
        self.0.rights.as_ref()
    }

    pub(crate) fn running(&self) -> &Mutex<HashSet<(String, String, String)>> {
        &self.0.running
    }

    pub(crate) fn unrecorded(&self) -> &Mutex<VecDeque<confirmation::Unrecorded>> {
        &self.0.unrecorded
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.0.jobs
    }

    pub(crate) fn documents(&self) -> &Documents {
        &self.0.documents
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        self.0.clock.as_ref()
    }

    /// The brake on guessing.
    pub(crate) fn throttle(&self) -> &Mutex<Throttle> {
        &self.0.guesses
    }

    /// What makes a number of a subject of the brake; another in every process.
    pub(crate) fn throttle_hash(&self) -> &RandomState {
        &self.0.guess_hash
    }

    /// Draws with the one source of chance; never across an await.
    pub(crate) fn draw<T>(&self, draw: impl FnOnce(&mut dyn Random) -> T) -> T {
        draw(self.0.random.lock().as_mut())
    }

    /// The pepper for new secrets.
    pub(crate) fn pepper(&self) -> Result<&Pepper, Refusal> {
        let newest = self.0.settings.peppers.iter().max_by_key(|pepper| pepper.version);
        newest.ok_or_else(|| PublicError::new(Code::InternalError).into())
    }
}

/// `Prefer: respond-async` (RFC 7240 §4.1), among whatever else is preferred.
fn prefers_async(headers: &HeaderMap) -> bool {
    let lines = headers.get_all("prefer").iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}

/// A handler's future on the heap: more than a hundred of them side by side in one frame would fill a thread's stack.
fn boxed<F>(make: impl FnOnce() -> F) -> Pin<Box<dyn Future<Output = Result<Response, Refusal>> + Send>>
where
    F: Future<Output = Result<Response, Refusal>> + Send + 'static,
{
    Box::pin(make())
}

/// One arm per operation: by what `authorize` makes of the caller, and who answers. An operation without an arm does not
/// compile; those of the data plane never leave the gateway.
macro_rules! handlers {
    (here { $($kind:ident { $($operation:ident => $handler:path;)* })* } elsewhere { $($other:ident;)* }) => {
        async fn run(call: Unauthorized, request: Request<Body>) -> Result<Response, Refusal> {
            match call.matched.row.operation {
                $($(Operation::$operation => boxed(move || call.$kind($handler, request)).await,)*)*
                $(Operation::$other)|* => Err(Code::UnknownUrl.into()),
            }
        }
    };
}

handlers! {
    here {
        member {
            CreateKey => keys::create::handler;
            ListKeys => keys::list::handler;
            GetKey => keys::get::handler;
            ListCallers => keys::callers::handler;
            RevokeKey => keys::revoke::handler;
            DisableKey => keys::disable::handler;
            EnableKey => keys::enable::handler;
            UpdateKey => keys::update::handler;
            RotateKey => keys::rotate::handler;
            ReissueKey => keys::rotate::reissue;
            EndSecret => keys::secrets::end;
            ExtendSecret => keys::secrets::extend;
            LookUpKeys => keys::lookup::handler;
            ListAdminKeys => keys::admin::list;
            CreateAdminKey => keys::admin::create;
            GetAdminKey => keys::admin::get;
            DeleteAdminKey => keys::admin::delete;
            VerifyKey => keys::verify::handler;
            GetOwnKey => keys::own::handler;
            GetConfirmation => confirmation::handler;
            ListRateLimits => limits::rate_limits::list;
            SetRateLimit => limits::rate_limits::set;
            GetModelPermissions => limits::model_permissions::get;
            SetModelPermissions => limits::model_permissions::set;
            DeleteModelPermissions => limits::model_permissions::delete;
            GetOrganization => organization::get::handler;
            UpdateOrganization => organization::update::handler;
            GetPolicy => organization::get_policy::handler;
            UpdatePolicy => organization::update_policy::handler;
            CloseOrganization => organization::close::handler;
            ListEnvironments => environments::list::handler;
            CreateEnvironment => environments::create::handler;
            GetEnvironment => environments::get::handler;
            UpdateEnvironment => environments::update::handler;
            ArchiveEnvironment => environments::archive::handler;
            AskEnvironments => environments::ask::handler;
            ListAgents => agents::list::handler;
            CreateAgent => agents::create::handler;
            GetAgent => agents::get::handler;
            UpdateAgent => agents::update::handler;
            DeleteAgent => agents::delete::handler;
            CreateAgentKey => agents::create_key::handler;
            ListTrusts => agents::trusts::list::handler;
            CreateTrust => agents::trusts::create::handler;
            DeleteTrust => agents::trusts::delete::handler;
            AskAgents => agents::ask::handler;
            ListRegistries => registries::list::handler;
            CreateRegistry => registries::create::handler;
            GetRegistry => registries::get::handler;
            UpdateRegistry => registries::update::handler;
            DeleteRegistry => registries::delete::handler;
            AskRegistries => registries::ask::handler;
            ListProviders => providers::list::handler;
            CreateProvider => providers::create::handler;
            GetProvider => providers::get::handler;
            UpdateProvider => providers::update::handler;
            DeleteProvider => providers::delete::handler;
            TestProvider => providers::test::handler;
            GetWallet => wallet::get::handler;
            GetUsage => usage::get::handler;
            GetOwnUsage => usage::get::of_own_key;
            GetRequest => requests::get::handler;
            ListRequests => requests::list::handler;
            GetReceipt => requests::receipt::handler;
            ImportKeys => keys::import::handler;
            ListAuditLogs => audit::list::handler;
            ExportAuditLogs => audit::export::handler;
            ListMembers => members::list::handler;
            GetMember => members::get::handler;
            UpdateMember => members::update::handler;
            RemoveMember => members::remove::delete;
            RemoveMemberWith => members::remove::handler;
            ListSeenKeys => members::keys::handler;
            ListInvites => invites::list::handler;
            CreateInvite => invites::create::handler;
            GetInvite => invites::get::handler;
            DeleteInvite => invites::delete::handler;
            ResendInvite => invites::resend::handler;
            CreateHandover => invites::handover::create;
            ApproveDevice => auth::device::approve::handler;
        }
        visitor {
            AuthOptions => auth::options::handler;
            SignIn => auth::sign_in::handler;
            SignUp => auth::sign_up::handler;
            ForgotPassword => auth::forgot::handler;
            ResetPassword => auth::reset::handler;
            VerifyEmail => auth::verify::handler;
            StartSignOn => auth::oidc::start::handler;
            FinishSignOn => auth::oidc::callback::handler;
            PasskeyOptions => auth::passkey::options::handler;
            PasskeySignIn => auth::passkey::verify::handler;
            BeginDevice => auth::device::begin::handler;
            TakeDeviceKey => auth::device::token::handler;
            AcceptInvite => invites::accept::handler;
            SetUpByLink => auth::set_up::handler;
            ExchangeToken => agents::exchange::handler;
        }
        signed {
            SignOut => auth::sign_out::handler;
            Reauthenticate => auth::reauthenticate::handler;
            ListSessions => auth::sessions::list;
            EndSession => auth::sessions::end;
            EndOtherSessions => auth::sessions::end_others;
            GetMe => me::get::handler;
            UpdateMe => me::update::handler;
            SendVerification => me::verification::handler;
            ListIdentities => me::identities::list::handler;
            LinkIdentity => me::identities::link::handler;
            UnlinkIdentity => me::identities::unlink::handler;
            ListPasskeys => me::passkeys::list::handler;
            NewPasskeyOptions => me::passkeys::options::handler;
            AddPasskey => me::passkeys::add::handler;
            RemovePasskey => me::passkeys::remove::handler;
            TakeHandover => invites::handover::take;
        }
        visitor {
            ReportLeaks => leaks::github::handler;
            RevokeOwnSecret => keys::self_revoke::handler;
        }
        operator {
            ListOrganizations => organizations::list::handler;
            CreateOrganization => organizations::create::handler;
            ReadOrganization => organizations::get::handler;
            BoundOrganization => organizations::update::handler;
            SuspendOrganization => organizations::state::suspend;
            ResumeOrganization => organizations::state::resume;
            EndOrganization => organizations::state::close;
            OperatorDisableKey => organizations::keys::disable;
            OperatorRevokeKey => organizations::keys::revoke;
            ListInstanceAudit => audit::list::of_instance;
            ExportInstanceAudit => audit::export::of_instance;
            VerifyAudit => audit::verify::handler;
            ListCheckpoints => audit::checkpoints::handler;
            ListUsers => operator::users::list::handler;
            CreateUser => operator::users::create::handler;
            ChangeUser => operator::users::change::handler;
            MakeOwner => operator::users::change::make_owner;
            EndUserSessions => operator::users::change::end_sessions;
            RecoverPassword => operator::users::recover::password;
            MakeSetUpLink => operator::users::recover::set_up_link;
            SetUp => operator::set_up::handler;
            CreateGrant => operator::grants::handler;
            VerifyLedger => operator::verify_ledger::handler;
            ListInDoubt => operator::in_doubt::handler;
            RebuildUsage => operator::rebuild_usage::handler;
            ListNodes => operator::nodes::list;
            DrainNode => operator::nodes::drain;
            ListLeases => operator::leases::list;
            WriteOffLease => operator::leases::write_off;
            DetectProviders => operator::providers::detect;
            ListRoutes => operator::providers::routes;
            ListJobs => operator::jobs::list;
            RunJob => operator::jobs::run;
            ReloadConfiguration => operator::reload::handler;
        }
    }
    elsewhere {
        ChatCompletions;
        Completions;
        Responses;
        CountResponseTokens;
        CompactResponse;
        GetResponse;
        DeleteResponse;
        CancelResponse;
        ListInputItems;
        Messages;
        CountMessageTokens;
        Embeddings;
        Rerank;
        GenerateImages;
        EditImages;
        Speak;
        Transcribe;
        Translate;
        CreateVideo;
        CreateGeneration;
        ListVideos;
        GetVideo;
        GetGeneration;
        GetVideoContent;
        GetSignedContent;
        CancelGeneration;
        DeleteVideo;
        CreateTask;
        ListTasks;
        GetTask;
        GetTaskResult;
        GetSignedResult;
        CancelTask;
        ListModels;
        GetModel;
        GetCredits;
    }
}

/// A call whose caller is known, before anybody asked whether they may.
struct Unauthorized {
    control: Control,
    matched: Match,
    caller: Caller,
    now: Now,
    is_async: bool,
}

impl Unauthorized {
    async fn member<T, H>(self, handler: H, request: Request<Body>) -> Result<Response, Refusal>
    where
        T: 'static,
        H: Handler<T, Call<Member>>,
    {
        let actor = authorize::member(&self.control, self.caller, self.matched.row, request.headers()).await?;
        let Self { control, matched, now, is_async, .. } = self;
        if let Some(environment) = matched.captured("project") {
            actor.require_seen(environment)?;
        }
        Ok(handler.call(request, Call { control, matched, actor, now, is_async }).await)
    }

    async fn visitor<T, H>(self, handler: H, request: Request<Body>) -> Result<Response, Refusal>
    where
        T: 'static,
        H: Handler<T, Call<Visitor>>,
    {
        session::check_open_origin(&self.control, self.matched.row.method, request.headers())?;
        let actor = authorize::visitor(self.caller);
        let Self { control, matched, now, is_async, .. } = self;
        Ok(handler.call(request, Call { control, matched, actor, now, is_async }).await)
    }

    async fn signed<T, H>(self, handler: H, request: Request<Body>) -> Result<Response, Refusal>
    where
        T: 'static,
        H: Handler<T, Call<Signed>>,
    {
        let actor = authorize::signed(&self.control, self.caller).await?;
        let Self { control, matched, now, is_async, .. } = self;
        Ok(handler.call(request, Call { control, matched, actor, now, is_async }).await)
    }

    async fn operator<T, H>(self, handler: H, request: Request<Body>) -> Result<Response, Refusal>
    where
        T: 'static,
        H: Handler<T, Call<Operator>>,
    {
        let actor = authorize::operator(self.caller, self.matched.row)?;
        let Self { control, matched, now, is_async, .. } = self;
        Ok(handler.call(request, Call { control, matched, actor, now, is_async }).await)
    }
}
