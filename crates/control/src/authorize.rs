//! Whether the caller may: the only maker of [`Member`], [`Operator`] and of the scope that finders take.
//!
//! What they then do is not known here.

use crate::authenticate::Caller;
use crate::respond::Refusal;
use crate::serve::Control;
use claviger_domain::audit::Attribution;
use claviger_domain::endpoint::Row;
use claviger_domain::error::Code;
use claviger_domain::right::{Permission, Role};
use claviger_domain::tenancy::{Organization, TenantScope};
use http::HeaderMap;

/// Names the organization a request is about, by slug or id: needed by the local operator when there are several.
pub(crate) const ORGANIZATION_HEADER: &str = "x-claviger-organization";

/// Somebody who may do what the row asks, inside one organization.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    scope: TenantScope,
    organization: Organization,
    role: Role,
    attribution: Attribution,
}

/// The operator of the instance.
#[derive(Clone, Debug)]
pub(crate) struct Operator {
    attribution: Attribution,
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

    /// The role that counts.
    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// Who, for the audit record.
    pub(crate) const fn attribution(&self) -> &Attribution {
        &self.attribution
    }

    /// Asks for one permission more than the row's.
    pub(crate) fn require(&self, permission: Permission) -> Result<(), Refusal> {
        if self.role.allows(permission) { Ok(()) } else { Err(denied(permission, self.role)) }
    }
}

impl Operator {
    /// Who, for the audit record.
    pub(crate) const fn attribution(&self) -> &Attribution {
        &self.attribution
    }
}

/// A caller with the row's permission, and their organization.
pub(crate) async fn member(
    control: &Control,
    caller: Caller,
    row: &'static Row,
    headers: &HeaderMap,
) -> Result<Member, Refusal> {
    let (organization, role, attribution) = match caller {
        Caller::LocalOperator { attribution } => {
            // The operator at this machine may do whatever an owner may.
            (chosen_organization(control, headers).await?, Role::Owner, attribution)
        }
        Caller::Key { key, organization, attribution } => {
            if let Some(name) = headers.get(ORGANIZATION_HEADER)
                && !names(&organization, name.as_bytes())
            {
                return Err(Refusal::not_found());
            }
            let role = key.role.ok_or(Code::AdminKeyRequired)?;
            (*organization, role, attribution)
        }
    };
    let member = Member { scope: TenantScope(organization.id), organization, role, attribution };
    if let Some(permission) = row.permission {
        member.require(permission)?;
    }
    Ok(member)
}

/// The operator; nobody else, whatever their role.
pub(crate) fn operator(caller: Caller, row: &'static Row) -> Result<Operator, Refusal> {
    match caller {
        Caller::LocalOperator { attribution } => Ok(Operator { attribution }),
        Caller::Key { key, .. } => {
            let role = key.role.ok_or(Code::AdminKeyRequired)?;
            Err(denied(row.permission.unwrap_or(Permission::Operate), role))
        }
    }
}

fn denied(permission: Permission, role: Role) -> Refusal {
    let granters: Vec<&str> =
        Role::ALL.iter().filter(|candidate| candidate.allows(permission)).map(|candidate| candidate.name()).collect();
    let who =
        if granters.is_empty() { "the operator".to_owned() } else { format!("the role {}", granters.join(" or ")) };
    Refusal::because(
        Code::PermissionDenied,
        format!(
            "This needs the permission '{}', which the role {} does not have; {who} has it.",
            permission.name(),
            role.name()
        ),
    )
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
