//! Whether the caller may: the only maker of [`Member`], [`Operator`], [`Visitor`] and of the scope that finders take.
//!
//! The order is that of `keys.md` §2.3: the row's permission is asked here and needs no object; the handler then finds
//! the object inside the organization, or answers 404; last it asks [`Member::require_own`], if the permission reaches
//! the caller's own objects only. What they then do is not known here.

use crate::authenticate::Caller;
use crate::respond::Refusal;
use crate::serve::Control;
use crate::session::LiveSession;
use claviger_domain::audit::{Actor, Attribution};
use claviger_domain::endpoint::{EndpointName, Row};
use claviger_domain::error::Code;
use claviger_domain::id::{EnvironmentId, OrganizationId, SessionId, UserId};
use claviger_domain::key::{Class, Key, Owner, Reach};
use claviger_domain::lifetime::Lifetimes;
use claviger_domain::limits;
use claviger_domain::right::{
    Bound, Creators, EXTRA_PERMISSIONS, Extent, INFERENCE_KEY_PERMISSIONS, Permission, Role, Standing,
};
use claviger_domain::rights::{Rights, is_within};
use claviger_domain::tenancy::{Organization, TenantScope, told_of_standstill};
use claviger_domain::time::{Now, Timestamp};
use http::HeaderMap;

/// Names the organization a request is about, by slug or id: needed by the local operator when there are several.
pub(crate) const ORGANIZATION_HEADER: &str = "x-claviger-organization";

/// Somebody who may do what the row asks, inside one organization.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    scope: TenantScope,
    organization: Organization,
    standing: Standing,
    owner: Option<Owner>,
    rights: Rights,
    person: Option<Person>,
    key: Option<Box<Key>>,
    attribution: Attribution,
}

/// What a caller sees of objects that have an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// None of them.
    Nothing,
    /// This owner's.
    Of(Owner),
    /// All of the organization's.
    Everything,
}

/// The person behind a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Person {
    /// Whether they signed in a moment ago.
    pub(crate) is_fresh: bool,
    /// Whether mail to their address is known to arrive, or need not be.
    pub(crate) is_verified: bool,
}

/// Somebody unknown, on a row that asks for no credential.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    attribution: Attribution,
}

/// A signed-in person, wherever they belong.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    live: LiveSession,
    attribution: Attribution,
}

/// The operator of the instance.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    attribution: Attribution,
    /// Whether they signed in a moment ago; `None` = they are at the machine and sign nothing in.
    is_fresh: Option<bool>,
}

impl Member {
    /// The organization that every finder is confined to.
    pub(crate) const fn scope(&self) -> TenantScope {
        self.scope
    }

    /// The organization.
    pub(crate) const fn organization(&self) -> &Organization {
        &self.organization
    }

    /// What the caller stands on.
    pub(crate) const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// The role in messages, and of an admin key made without naming one.
    pub(crate) fn role(&self) -> Role {
        self.standing.role().unwrap_or(Role::Viewer)
    }

    /// Refuses a session whose sign-in is not fresh (`keys.md` §7). Keys and the local operator sign nothing in.
    pub(crate) fn require_fresh(&self) -> Result<(), Refusal> {
        match self.person {
            Some(Person { is_fresh: false, .. }) => Err(Code::ReauthenticationRequired.into()),
            _ => Ok(()),
        }
    }

    /// Refuses a person whose address is not proved, where mail goes out (`keys.md` §7): they get no live key.
    pub(crate) fn require_verified(&self) -> Result<(), Refusal> {
        match self.person {
            Some(Person { is_verified: false, .. }) => Err(Code::EmailNotVerified.into()),
            _ => Ok(()),
        }
    }

    /// Who, for the audit record.
    pub(crate) const fn attribution(&self) -> &Attribution {
        &self.attribution
    }

    /// The key that calls; people and the operator at this machine are none.
    pub(crate) fn key(&self) -> Option<&Key> {
        self.key.as_deref()
    }

    /// The only environment whose objects the caller sees; `None` = all of the organization.
    pub(crate) const fn seen_from(&self) -> Option<EnvironmentId> {
        match self.rights.reach {
            Reach::Environment => self.rights.environment,
            Reach::Organization => None,
        }
    }

    /// Refuses an environment outside the caller's reach as one that nobody has.
    pub(crate) fn require_seen(&self, environment: &str) -> Result<(), Refusal> {
        let is_elsewhere = self.seen_from().is_some_and(|own| own.to_string() != environment);
        if is_elsewhere { Err(Refusal::not_found()) } else { Ok(()) }
    }

    /// How long secrets of the organization live.
    pub(crate) const fn lifetimes(&self) -> &Lifetimes {
        &self.organization.policy.lifetimes
    }

    /// What the caller may do, to be compared with what they make.
    pub(crate) const fn rights(&self) -> &Rights {
        &self.rights
    }

    /// Whose objects the caller's are: the person, or the owner of their key.
    pub(crate) const fn owner(&self) -> Option<Owner> {
        self.owner
    }

    /// Whether an object of this owner is the caller's own: a person's, or that of the owner of their key.
    pub(crate) fn owns(&self, owner: Option<Owner>) -> bool {
        owner.is_some() && owner == self.owner
    }

    /// Refuses what would be stronger than the caller (`keys.md` §8).
    pub(crate) fn require_within(&self, child: &Rights) -> Result<(), Refusal> {
        is_within(child, &self.rights).map_err(|exceeds| {
            let what = exceeds.what;
            let message = format!("This would be allowed more than you are: its '{what}' exceeds yours.");
            Refusal::because(Code::PermissionDenied, message).about(what)
        })
    }

    /// How far a permission reaches for this caller, now.
    pub(crate) fn extent(&self, permission: Permission) -> Extent {
        let policy = &self.organization.policy;
        let extent = self.standing.extent(permission, policy.creators);
        let is_seen_by_all = matches!(permission, Permission::UsageRead | Permission::RequestsRead);
        if extent == Extent::Own && is_seen_by_all && policy.developers_see_all { Extent::All } else { extent }
    }

    /// Whose objects the caller may list by a permission.
    pub(crate) fn sight(&self, permission: Permission) -> Sight {
        match (self.extent(permission), self.owner) {
            (Extent::All, _) => Sight::Everything,
            (Extent::Own, Some(owner)) => Sight::Of(owner),
            (Extent::Own | Extent::None, _) => Sight::Nothing,
        }
    }

    /// Asks for one permission more than the row's, as far as it may reach.
    pub(crate) fn require(&self, permission: Permission) -> Result<(), Refusal> {
        match self.extent(permission) {
            Extent::None => Err(self.denied(permission)),
            Extent::Own | Extent::All => Ok(()),
        }
    }

    /// Asks for a permission on an object that was found inside the organization. `is_own` = it belongs to the caller.
    pub(crate) fn require_own(&self, permission: Permission, is_own: bool) -> Result<(), Refusal> {
        match self.extent(permission) {
            Extent::All => Ok(()),
            Extent::Own if is_own => Ok(()),
            Extent::Own => Err(Refusal::because(
                Code::PermissionDenied,
                format!(
                    "The permission '{}' of the role {} reaches your own objects only; this is another's.",
                    permission.name(),
                    self.role().name()
                ),
            )),
            Extent::None => Err(self.denied(permission)),
        }
    }

    /// Names what stops the caller: the list of their own key, or what they are.
    fn denied(&self, permission: Permission) -> Refusal {
        if let Some(key) = self.key().filter(|key| key.class == Class::Inference)
            && let Some(endpoint) = permission.endpoint().filter(|endpoint| !is_listed(key, *endpoint))
        {
            let message = format!("This key may not use the endpoint `{}`.", endpoint.name());
            return Refusal::because(Code::EndpointNotAllowed, message);
        }
        denied(permission, &self.standing, self.organization.policy.creators)
    }
}

impl Visitor {
    /// Who, for the audit record.
    pub(crate) const fn attribution(&self) -> &Attribution {
        &self.attribution
    }
}

impl Signed {
    /// The person of a session that was begun a moment ago.
    pub(crate) async fn new(
        control: &Control,
        user: UserId,
        session: SessionId,
        by: &Attribution,
        now: Now,
    ) -> Result<Self, Refusal> {
        let user = control.store().find_user(user).await?.ok_or(Code::SessionRequired)?;
        let sessions = control.store().list_sessions(user.id, now.wall).await?;
        let session = sessions.into_iter().find(|candidate| candidate.id == session).ok_or(Code::SessionRequired)?;
        let is_fresh = now.wall < session.fresh_until;
        Ok(Self { live: LiveSession { session, user, is_fresh }, attribution: by.clone() })
    }

    /// The session and its user.
    pub(crate) const fn live(&self) -> &LiveSession {
        &self.live
    }

    /// Refuses a sign-in that is not fresh.
    pub(crate) fn require_fresh(&self) -> Result<(), Refusal> {
        if self.live.is_fresh { Ok(()) } else { Err(Code::ReauthenticationRequired.into()) }
    }

    /// Who, for the audit record.
    pub(crate) const fn attribution(&self) -> &Attribution {
        &self.attribution
    }
}

impl Operator {
    /// Who, for the audit record.
    pub(crate) const fn attribution(&self) -> &Attribution {
        &self.attribution
    }

    /// Refuses a session whose sign-in is not fresh (`keys.md` §7).
    pub(crate) fn require_fresh(&self) -> Result<(), Refusal> {
        if self.is_fresh == Some(false) { Err(Code::ReauthenticationRequired.into()) } else { Ok(()) }
    }

    /// Refuses every session: `command` gives power over people and organizations that an operator has not, so it is
    /// for whoever holds the machine.
    pub(crate) fn require_here(&self, command: &str) -> Result<(), Refusal> {
        match self.is_fresh {
            None => Ok(()),
            Some(_) => Err(Refusal::because(
                Code::PermissionDenied,
                format!("This is done on the machine itself only, by `{command}`."),
            )),
        }
    }
}

/// A caller with the row's permission, and their organization.
pub(crate) async fn member(
    control: &Control,
    caller: Caller,
    row: &'static Row,
    headers: &HeaderMap,
) -> Result<Member, Refusal> {
    let mut person = None;
    let mut owner = None;
    let mut rights = Rights::of_member(Role::Owner);
    let mut calling = None;
    let (organization, standing, attribution) = match caller {
        Caller::Nobody { .. } => return Err(Code::MissingApiKey.into()),
        Caller::LocalOperator { attribution } => {
            // The operator at this machine may do whatever an owner may.
            (chosen_organization(control, headers).await?, Standing::Member(Role::Owner), attribution)
        }
        Caller::Key { key, organization, attribution } => {
            if let Some(name) = headers.get(ORGANIZATION_HEADER)
                && !names(&organization, name.as_bytes())
            {
                return Err(Refusal::not_found());
            }
            owner = key.owner;
            rights = Rights::of_key(&key);
            if (key.class, key.role) == (Class::Admin, None) {
                return Err(Code::AdminKeyRequired.into());
            }
            let standing = standing_of(control, &key).await?;
            calling = Some(key);
            (*organization, standing, attribution)
        }
        Caller::Session { live, attribution } => {
            let people = &control.settings().people;
            let is_verified = live.user.email_verified_at.is_some() || !people.must_verify_email || !people.has_mail();
            person = Some(Person { is_fresh: live.is_fresh, is_verified });
            owner = Some(Owner::User(live.user.id));
            let (organization, role) = own_organization(control, &live, headers).await?;
            touch(control, &live, Some(organization.id), attribution.at).await;
            (organization, Standing::Member(role), attribution)
        }
    };
    let scope = TenantScope(organization.id);
    rights.standing = standing.clone();
    let member = Member { scope, organization, standing, owner, rights, person, key: calling, attribution };
    if let Some(permission) = row.permission {
        member.require(permission)?;
    }
    Ok(member)
}

/// What a key stands on, now.
pub(crate) async fn standing_of(control: &Control, key: &Key) -> Result<Standing, Refusal> {
    Ok(match (key.class, key.role) {
        (Class::Admin, Some(role)) => Standing::AdminKey { role, owner: bound(control, key).await? },
        (Class::Admin, None) => Standing::InferenceKey(Vec::new()),
        (Class::Inference, _) => Standing::InferenceKey(readable(key)),
    })
}

/// Whose role bounds an admin key now.
async fn bound(control: &Control, key: &Key) -> Result<Bound, Refusal> {
    let Some(owner) = key.owner else { return Ok(Bound::Nobody) };
    let role = control.store().role_of_owner(TenantScope(key.organization), owner).await?;
    Ok(role.map_or(Bound::Gone, Bound::Role))
}

/// What an inference key may read: what all may, as far as its endpoint list allows, and what it was given besides.
fn readable(key: &Key) -> Vec<Permission> {
    let is_open = |permission: &&Permission| permission.endpoint().is_none_or(|endpoint| is_listed(key, endpoint));
    let extra = key.policy.permissions.iter().filter(|permission| EXTRA_PERMISSIONS.contains(permission));
    INFERENCE_KEY_PERMISSIONS.iter().filter(is_open).chain(extra).copied().collect()
}

/// Whether the key's list names the endpoint; without a list it names all.
fn is_listed(key: &Key, endpoint: EndpointName) -> bool {
    key.policy.enforced.endpoints.as_ref().is_none_or(|list| list.contains(&endpoint))
}

/// The operator; nobody else, whatever their role.
pub(crate) fn operator(caller: Caller, row: &'static Row) -> Result<Operator, Refusal> {
    match caller {
        Caller::Nobody { .. } => Err(Code::MissingApiKey.into()),
        Caller::LocalOperator { attribution } => Ok(Operator { attribution, is_fresh: None }),
        Caller::Session { live, attribution } if live.user.is_operator => {
            let actor = Actor::Operator(live.user.id.to_string());
            Ok(Operator { attribution: Attribution { actor, ..attribution }, is_fresh: Some(live.is_fresh) })
        }
        Caller::Session { .. } => Err(Refusal::because(
            Code::PermissionDenied,
            "This needs the permission 'operator', which no role of an organization has; an operator of the instance has it.",
        )),
        Caller::Key { key, organization, .. } => {
            let standing = Standing::Member(key.role.ok_or(Code::AdminKeyRequired)?);
            Err(denied(row.permission.unwrap_or(Permission::Operate), &standing, organization.policy.creators))
        }
    }
}

/// A signed-in person; nobody else has sessions.
pub(crate) async fn signed(control: &Control, caller: Caller) -> Result<Signed, Refusal> {
    match caller {
        Caller::Session { live, attribution } => {
            touch(control, &live, None, attribution.at).await;
            Ok(Signed { live: *live, attribution })
        }
        Caller::Nobody { .. } | Caller::LocalOperator { .. } | Caller::Key { .. } => Err(Code::SessionRequired.into()),
    }
}

/// Whoever comes, on a row that asks for no credential.
pub(crate) fn visitor(caller: Caller) -> Visitor {
    match caller {
        Caller::Nobody { attribution }
        | Caller::LocalOperator { attribution }
        | Caller::Key { attribution, .. }
        | Caller::Session { attribution, .. } => Visitor { attribution },
    }
}

/// Names the permission, what the caller is, and who has it.
fn denied(permission: Permission, standing: &Standing, creators: Creators) -> Refusal {
    let granters: Vec<&str> = Role::ALL
        .iter()
        .filter(|candidate| candidate.allows(permission, creators))
        .map(|candidate| candidate.name())
        .collect();
    let who =
        if granters.is_empty() { "the operator".to_owned() } else { format!("the role {}", granters.join(" or ")) };
    let caller = match standing.role() {
        Some(role) => format!("the role {}", role.name()),
        None => "this inference key".to_owned(),
    };
    Refusal::because(
        Code::PermissionDenied,
        format!("This needs the permission '{}', which {caller} does not have; {who} has it.", permission.name()),
    )
}

/// Refuses what concerns an organization that is suspended or closed, with the reason.
pub(crate) fn require_moving(organization: &Organization) -> Result<(), Refusal> {
    match told_of_standstill(organization.state, organization.state_reason.as_deref()) {
        Some(told) => Err(Refusal::because(Code::OrganizationSuspended, told)),
        None => Ok(()),
    }
}

/// The organization a session is about: the one named, or the only one its user belongs to.
async fn own_organization(
    control: &Control,
    live: &LiveSession,
    headers: &HeaderMap,
) -> Result<(Organization, Role), Refusal> {
    let mut own = control.store().list_memberships(live.user.id).await?;
    let (organization, membership) = match headers.get(ORGANIZATION_HEADER) {
        Some(name) => {
            let found = own.into_iter().find(|(candidate, _)| names(candidate, name.as_bytes()));
            found.ok_or_else(Refusal::not_found)?
        }
        None if own.len() > 1 => return Err(Code::OrganizationRequired.into()),
        None => own.pop().ok_or_else(Refusal::not_found)?,
    };
    require_moving(&organization)?;
    Ok((organization, membership.role))
}

/// Writes the use of a session, at most once in the interval that it may be late by.
pub(crate) async fn touch(control: &Control, live: &LiveSession, organization: Option<OrganizationId>, at: Timestamp) {
    if at < live.session.last_seen_at.plus(limits::SESSION_STAMP) {
        return;
    }
    let touched = control.store().touch_session(live.session.id, live.user.id, organization, at).await;
    if let Err(error) = touched {
        // A stamp is worth less than the answer; the next use stamps again.
        tracing::warn!(%error, session = %live.session.id, "the use of a session could not be written");
    }
}

/// The organization the local operator means: the one named, or the only one there is.
async fn chosen_organization(control: &Control, headers: &HeaderMap) -> Result<Organization, Refusal> {
    let organizations = control.store().list_organizations().await?;
    if let Some(name) = headers.get(ORGANIZATION_HEADER) {
        let found = organizations.into_iter().find(|candidate| names(candidate, name.as_bytes()));
        return found.ok_or_else(Refusal::not_found);
    }
    let mut organizations = organizations.into_iter();
    match (organizations.next(), organizations.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(Code::OrganizationRequired.into()),
    }
}

fn names(organization: &Organization, text: &[u8]) -> bool {
    text == organization.slug.as_bytes() || text == organization.id.to_string().as_bytes()
}
