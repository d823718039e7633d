//! What one row of the endpoint table says.

use crate::right::{Permission, words};

/// HTTP methods that rows use; HEAD answers as GET, OPTIONS is answered by the listener for every row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Read.
    Get,
    /// Create or act.
    Post,
    /// End.
    Delete,
}

/// One endpoint.
#[derive(Debug)]
pub struct Row {
    /// What it does; the exhaustive match over this finds the handler.
    pub operation: Operation,
    /// Its method.
    pub method: Method,
    /// The canonical path with `{name}` for captured segments; inference paths without their base.
    pub path: &'static str,
    /// Which plane answers.
    pub plane: Plane,
    /// Who may come at all.
    pub authentication: Authentication,
    /// What the caller must be allowed, asked after authentication; `None` for inference and own-key reads.
    pub permission: Option<Permission>,
    /// The largest body in bytes.
    pub body_bytes_max: u64,
    /// The shape of errors, chosen by path.
    pub error_shape: ErrorShape,
}

/// Who answers a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plane {
    /// The data plane: inference, and what is answered from its memory. Served under every base-path alias.
    Inference,
    /// The management plane; matched byte for byte.
    Management,
}

/// Which credentials a row accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// An inference key.
    InferenceKey,
    /// Any valid key; on management rows also a session, and the local operator.
    AnyKey,
    /// An admin key, a session, or the local operator.
    AdminKey,
    /// A session: what belongs to a person and not to a key.
    Session,
    /// The operator of the instance only: the local socket, or an operator's session.
    Operator,
    /// The request itself holds the secret it is about, in whatever state that is.
    Possession,
    /// The body is signed by somebody the operator named.
    Signature,
    /// Nobody has to be known: throttled, with uniform answers.
    Public,
}

/// The shape of an error body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{"error":{"message","type","param","code"}}` (W 4.1).
    OpenAi,
    /// Anthropic's (W 4.2).
    Anthropic,
}

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// Every operation of the product.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Operation { $($(#[$doc])* $name,)* }

        impl Operation {
            /// Every operation.
            pub const ALL: &'static [Operation] = &[$(Operation::$name,)*];

            /// The name in logs, metrics and records.
            pub const fn name(self) -> &'static str {
                match self { $(Operation::$name => $text,)* }
            }
        }
    };
}

impl Operation {
    /// The endpoint that policies of keys and models name; `None` where no policy can forbid it.
    pub const fn endpoint(self) -> Option<EndpointName> {
        Some(match self {
            Self::ChatCompletions => EndpointName::ChatCompletions,
            Self::Completions => EndpointName::Completions,
            Self::Responses
            | Self::CountResponseTokens
            | Self::CompactResponse
            | Self::GetResponse
            | Self::DeleteResponse
            | Self::CancelResponse
            | Self::ListInputItems => EndpointName::Responses,
            Self::Messages | Self::CountMessageTokens => EndpointName::Messages,
            Self::Embeddings => EndpointName::Embeddings,
            Self::Rerank => EndpointName::Rerank,
            Self::GenerateImages | Self::EditImages => EndpointName::Images,
            Self::Speak => EndpointName::AudioSpeech,
            Self::Transcribe => EndpointName::AudioTranscriptions,
            Self::Translate => EndpointName::AudioTranslations,
            Self::CreateVideo
            | Self::CreateGeneration
            | Self::GetVideo
            | Self::GetGeneration
            | Self::ListVideos
            | Self::GetVideoContent
            | Self::CancelGeneration
            | Self::DeleteVideo => EndpointName::Video,
            Self::ListModels | Self::GetModel => EndpointName::Models,
            Self::GetCredits => EndpointName::Credits,
            _ => return None,
        })
    }

    /// Whether its body is a form with files.
    pub const fn takes_form(self) -> bool {
        matches!(self, Self::EditImages | Self::Transcribe | Self::Translate)
    }

    /// Whether its body may be a form or JSON, as it says itself.
    pub const fn takes_either(self) -> bool {
        matches!(self, Self::CreateVideo | Self::CreateTask)
    }

    /// Whether a model answers it: it is admitted, held, metered and charged.
    pub const fn is_inference(self) -> bool {
        matches!(
            self,
            Self::ChatCompletions
                | Self::Completions
                | Self::Responses
                | Self::CountResponseTokens
                | Self::CompactResponse
                | Self::Messages
                | Self::CountMessageTokens
                | Self::Embeddings
                | Self::Rerank
                | Self::GenerateImages
                | Self::EditImages
                | Self::Speak
                | Self::Transcribe
                | Self::Translate
                | Self::CreateVideo
                | Self::CreateGeneration
                | Self::CreateTask
        )
    }
}

operations! {
    /// `POST chat/completions`.
    ChatCompletions = "chat.completions";
    /// `POST completions`.
    Completions = "completions";
    /// `POST responses`.
    Responses = "responses";
    /// `POST responses/input_tokens`.
    CountResponseTokens = "responses.count_tokens";
    /// `POST responses/compact`.
    CompactResponse = "responses.compact";
    /// `GET responses/{id}`.
    GetResponse = "responses.get";
    /// `DELETE responses/{id}`.
    DeleteResponse = "responses.delete";
    /// `POST responses/{id}/cancel`.
    CancelResponse = "responses.cancel";
    /// `GET responses/{id}/input_items`.
    ListInputItems = "responses.input_items";
    /// `POST messages`.
    Messages = "messages";
    /// `POST messages/count_tokens`.
    CountMessageTokens = "messages.count_tokens";
    /// `POST embeddings`.
    Embeddings = "embeddings";
    /// `POST rerank`.
    Rerank = "rerank";
    /// `POST images/generations`.
    GenerateImages = "images.generate";
    /// `POST images/edits`.
    EditImages = "images.edit";
    /// `POST audio/speech`.
    Speak = "audio.speech";
    /// `POST audio/transcriptions`.
    Transcribe = "audio.transcribe";
    /// `POST audio/translations`.
    Translate = "audio.translate";
    /// `POST videos`.
    CreateVideo = "videos.create";
    /// `POST video/generations`.
    CreateGeneration = "video.generate";
    /// `GET videos`.
    ListVideos = "videos.list";
    /// `GET videos/{id}`.
    GetVideo = "videos.get";
    /// `GET video/generations/{id}`.
    GetGeneration = "video.get";
    /// `GET videos/{id}/content`.
    GetVideoContent = "videos.content";
    /// `GET videos/{id}/content/{link}`.
    GetSignedContent = "videos.signed_content";
    /// `POST video/generations/{id}/cancel`.
    CancelGeneration = "video.cancel";
    /// `DELETE videos/{id}`.
    DeleteVideo = "videos.delete";
    /// `POST tasks`.
    CreateTask = "tasks.create";
    /// `GET tasks`.
    ListTasks = "tasks.list";
    /// `GET tasks/{id}`.
    GetTask = "tasks.get";
    /// `GET tasks/{id}/result`.
    GetTaskResult = "tasks.result";
    /// `GET tasks/{id}/result/{link}`.
    GetSignedResult = "tasks.signed_result";
    /// `POST tasks/{id}/cancel`.
    CancelTask = "tasks.cancel";
    /// `GET models`.
    ListModels = "models.list";
    /// `GET models/{id}`.
    GetModel = "models.get";
    /// `GET credits`.
    GetCredits = "credits.get";
    /// The calling key itself.
    GetOwnKey = "key.get";
    /// End the secret that is presented.
    RevokeOwnSecret = "key.revoke";
    /// Ask whether a presented key is good.
    VerifyKey = "keys.verify";
    /// List admin keys.
    ListAdminKeys = "admin_keys.list";
    /// Make an admin key.
    CreateAdminKey = "admin_keys.create";
    /// Read an admin key.
    GetAdminKey = "admin_keys.get";
    /// Revoke an admin key.
    DeleteAdminKey = "admin_keys.delete";
    /// Find own keys by what leaked of them.
    LookUpKeys = "keys.lookup";
    /// Create a key.
    CreateKey = "keys.create";
    /// List keys.
    ListKeys = "keys.list";
    /// Read one key.
    GetKey = "keys.get";
    /// Who uses a key.
    ListCallers = "keys.callers";
    /// Revoke a key.
    RevokeKey = "keys.revoke";
    /// Disable a key, reversibly.
    DisableKey = "keys.disable";
    /// Change a key.
    UpdateKey = "keys.update";
    /// Give a key a new secret.
    RotateKey = "keys.rotate";
    /// Give a lost secret another text.
    ReissueKey = "keys.reissue";
    /// End one older secret.
    EndSecret = "keys.end_secret";
    /// Let one older secret live longer.
    ExtendSecret = "keys.extend_secret";
    /// Enable a disabled key.
    EnableKey = "keys.enable";
    /// The proof of a change of rights.
    GetConfirmation = "confirmations.get";
    /// Who serves this database.
    ListNodes = "nodes.list";
    /// Tell a node to leave.
    DrainNode = "nodes.drain";
    /// Credit that nodes have drawn.
    ListLeases = "leases.list";
    /// Give back what a dead node had drawn.
    WriteOffLease = "leases.write_off";
    /// List the limits of an organization or environment.
    ListRateLimits = "rate_limits.list";
    /// Set one of them.
    SetRateLimit = "rate_limits.set";
    /// Which models an environment may call.
    GetModelPermissions = "model_permissions.get";
    /// Say which.
    SetModelPermissions = "model_permissions.set";
    /// Allow all again.
    DeleteModelPermissions = "model_permissions.delete";
    /// The organization itself.
    GetOrganization = "organization.get";
    /// Change its name, slug or reporting zone.
    UpdateOrganization = "organization.update";
    /// What it asks of its keys.
    GetPolicy = "policy.get";
    /// Change what it asks of its keys.
    UpdatePolicy = "policy.update";
    /// End it.
    CloseOrganization = "organization.close";
    /// List environments.
    ListEnvironments = "environments.list";
    /// Make an environment.
    CreateEnvironment = "environments.create";
    /// Read an environment.
    GetEnvironment = "environments.get";
    /// Rename an environment.
    UpdateEnvironment = "environments.update";
    /// Archive an environment, for ever.
    ArchiveEnvironment = "environments.archive";
    /// Environments, asked by a body, for any key.
    AskEnvironments = "environments.ask";
    /// List agents.
    ListAgents = "agents.list";
    /// Make an agent.
    CreateAgent = "agents.create";
    /// Read an agent.
    GetAgent = "agents.get";
    /// Change an agent.
    UpdateAgent = "agents.update";
    /// End an agent and its keys.
    DeleteAgent = "agents.delete";
    /// Make a key that an agent owns.
    CreateAgentKey = "agents.keys.create";
    /// List whom an agent trusts.
    ListTrusts = "agents.trusts.list";
    /// Let an agent trust tokens of an issuer.
    CreateTrust = "agents.trusts.create";
    /// End a trust, and the keys that came from it.
    DeleteTrust = "agents.trusts.delete";
    /// A token of another issuer becomes a short-lived key.
    ExchangeToken = "agents.exchange";
    /// Agents, asked by a body, for any key.
    AskAgents = "agents.ask";
    /// List registries.
    ListRegistries = "registries.list";
    /// Make a registry.
    CreateRegistry = "registries.create";
    /// Read a registry.
    GetRegistry = "registries.get";
    /// Rename a registry, take it in and out of use.
    UpdateRegistry = "registries.update";
    /// End a registry.
    DeleteRegistry = "registries.delete";
    /// Registries, asked by a body, for any key.
    AskRegistries = "registries.ask";
    /// List providers that the organization brings along.
    ListProviders = "providers.list";
    /// Bring a provider along.
    CreateProvider = "providers.create";
    /// Read a provider.
    GetProvider = "providers.get";
    /// Change a provider, replace its credential.
    UpdateProvider = "providers.update";
    /// End a provider.
    DeleteProvider = "providers.delete";
    /// Ask a provider now for its models.
    TestProvider = "providers.test";
    /// Model servers and credentials that are found on the server's machine.
    DetectProviders = "operator.providers.detect";
    /// Which targets serve which model.
    ListRoutes = "operator.routes.list";
    /// Every organization of the instance.
    ListOrganizations = "operator.organizations.list";
    /// Make an organization.
    CreateOrganization = "operator.organizations.create";
    /// Read any organization.
    ReadOrganization = "operator.organizations.get";
    /// Change an organization's bounds.
    BoundOrganization = "operator.organizations.update";
    /// Suspend an organization.
    SuspendOrganization = "operator.organizations.suspend";
    /// Resume a suspended organization.
    ResumeOrganization = "operator.organizations.resume";
    /// Close an organization, for ever.
    EndOrganization = "operator.organizations.close";
    /// Disable a key of any organization.
    OperatorDisableKey = "operator.keys.disable";
    /// Revoke a key of any organization.
    OperatorRevokeKey = "operator.keys.revoke";
    /// The organization's wallet.
    GetWallet = "wallet.get";
    /// Usage, grouped.
    GetUsage = "usage.get";
    /// The calling key's own usage.
    GetOwnUsage = "key.usage";
    /// One request record.
    GetRequest = "requests.get";
    /// List request records.
    ListRequests = "requests.list";
    /// The receipt of one request.
    GetReceipt = "requests.receipt";
    /// Take keys over from another system.
    ImportKeys = "keys.import";
    /// Report leaked keys.
    ReportLeaks = "leaks.report";
    /// The organization's audit log.
    ListAuditLogs = "audit_logs.list";
    /// The organization's audit log to take along.
    ExportAuditLogs = "audit_logs.export";
    /// The instance's own audit log.
    ListInstanceAudit = "operator.audit_logs.list";
    /// The instance's own audit log to take along.
    ExportInstanceAudit = "operator.audit_logs.export";
    /// Prove every chain.
    VerifyAudit = "audit.verify";
    /// Signed checkpoints.
    ListCheckpoints = "audit.checkpoints";
    /// What the sign-in page may offer.
    AuthOptions = "auth.options";
    /// Sign in with a password.
    SignIn = "auth.sign_in";
    /// Sign up, where it is open.
    SignUp = "auth.sign_up";
    /// Ask for a link to a new password.
    ForgotPassword = "auth.password.forgot";
    /// Set a new password by a link.
    ResetPassword = "auth.password.reset";
    /// Prove an address by a link.
    VerifyEmail = "auth.email.verify";
    /// Ask for a person's consent to a command line.
    BeginDevice = "auth.device";
    /// Ask whether it is given; the admin key, once.
    TakeDeviceKey = "auth.device.token";
    /// Look at a waiting command line, consent, refuse.
    ApproveDevice = "auth.device.approve";
    /// Set out to an identity provider.
    StartSignOn = "auth.oidc.start";
    /// Come back from it.
    FinishSignOn = "auth.oidc.callback";
    /// A challenge for whoever signs in with a passkey.
    PasskeyOptions = "auth.passkey.options";
    /// Sign in with a passkey.
    PasskeySignIn = "auth.passkey.verify";
    /// End one's session.
    SignOut = "auth.sign_out";
    /// Sign in once more.
    Reauthenticate = "auth.reauthenticate";
    /// List one's sessions.
    ListSessions = "auth.sessions.list";
    /// End one of one's sessions.
    EndSession = "auth.sessions.end";
    /// End one's other sessions.
    EndOtherSessions = "auth.sessions.end_others";
    /// Who is signed in.
    GetMe = "me.get";
    /// Change one's name, language or password.
    UpdateMe = "me.update";
    /// Ask for another mail that proves one's address.
    SendVerification = "me.email.verification";
    /// List one's accounts of identity providers.
    ListIdentities = "me.identities.list";
    /// Set out to link one.
    LinkIdentity = "me.identities.link";
    /// Take one away.
    UnlinkIdentity = "me.identities.unlink";
    /// List one's passkeys.
    ListPasskeys = "me.passkeys.list";
    /// Ask for a new passkey.
    NewPasskeyOptions = "me.passkeys.options";
    /// Add the passkey that was made.
    AddPasskey = "me.passkeys.add";
    /// Remove a passkey.
    RemovePasskey = "me.passkeys.remove";
    /// Take a sealed text.
    TakeHandover = "me.handovers.take";
    /// Leave a sealed text for a member.
    CreateHandover = "handovers.create";
    /// List members.
    ListMembers = "users.list";
    /// Read one member.
    GetMember = "users.get";
    /// Give a member another role.
    UpdateMember = "users.update";
    /// Remove a member.
    RemoveMember = "users.remove";
    /// Remove a member, with a decision for each key.
    RemoveMemberWith = "users.remove_with";
    /// Keys that a member owns or has seen.
    ListSeenKeys = "users.keys";
    /// Set the instance up by its link.
    SetUpByLink = "setup.by_link";
    /// List everybody of the instance.
    ListUsers = "people.list";
    /// Make a person.
    CreateUser = "people.create";
    /// Make a person an operator, or switch them off.
    ChangeUser = "people.change";
    /// Make a person an owner.
    MakeOwner = "people.make_owner";
    /// End a person's sessions.
    EndUserSessions = "people.end_sessions";
    /// Make a link to a new password.
    RecoverPassword = "people.recover";
    /// Make a set-up link.
    MakeSetUpLink = "setup.link";
    /// List invites.
    ListInvites = "invites.list";
    /// Invite somebody.
    CreateInvite = "invites.create";
    /// Read one invite.
    GetInvite = "invites.get";
    /// Take an invite back.
    DeleteInvite = "invites.delete";
    /// Send an invite again.
    ResendInvite = "invites.resend";
    /// Join by an invite's link.
    AcceptInvite = "invites.accept";
    /// Set an organization up with its owner.
    SetUp = "setup";
    /// Fund a wallet.
    CreateGrant = "grants.create";
    /// Re-prove the ledger.
    VerifyLedger = "ledger.verify";
    /// Charges whose delivery is unknown.
    ListInDoubt = "ledger.in_doubt";
    /// Make the sums of usage again from the records.
    RebuildUsage = "usage.rebuild";
    /// How jobs fare.
    ListJobs = "jobs.list";
    /// Run a job now.
    RunJob = "jobs.run";
    /// Read providers, models, routes and prices again.
    ReloadConfiguration = "configuration.reload";
}

words! {
    /// An endpoint as models, policies of keys and records name it (`keys.md` §3); a task counts as what its body means.
    EndpointName {
        /// `chat/completions`.
        ChatCompletions = "chat.completions";
        /// `completions`.
        Completions = "completions";
        /// `responses`.
        Responses = "responses";
        /// `messages`.
        Messages = "messages";
        /// `embeddings`.
        Embeddings = "embeddings";
        /// `images/…`.
        Images = "images";
        /// `audio/speech`.
        AudioSpeech = "audio.speech";
        /// `audio/transcriptions`.
        AudioTranscriptions = "audio.transcriptions";
        /// `audio/translations`.
        AudioTranslations = "audio.translations";
        /// `video/…`.
        Video = "video";
        /// `rerank`.
        Rerank = "rerank";
        /// `tasks`.
        Tasks = "tasks";
        /// `models`.
        Models = "models";
        /// `credits`.
        Credits = "credits";
        /// The list of environments.
        Environments = "environments";
        /// The list of registries.
        Registries = "registries";
        /// The list of agents.
        Agents = "agents";
        /// `key`: always allowed, so no policy names it.
        Account = "account";
    }
}
