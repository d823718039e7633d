//! Roles, permissions, and how far each role carries each permission.
//!
//! The matrix is `keys.md` §8, cell by cell; which endpoint asks for which permission stands in the endpoint table, not
//! here. What one credential may make of another is `rights.rs`.

use crate::endpoint::EndpointName;

macro_rules! words {
    ($(#[$outer:meta])* $type:ident { $($(#[$doc:meta])* $name:ident = $text:literal;)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $type { $($(#[$doc])* $name,)* }

        impl $type {
            /// Every value, in order.
            pub const ALL: &'static [$type] = &[$($type::$name,)*];

            /// The word on the wire and in rows.
            pub const fn name(self) -> &'static str {
                match self { $($type::$name => $text,)* }
            }

            /// The value of a word.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some($type::$name),)* _ => None }
            }
        }
    };
}
pub(crate) use words;

words! {
    /// What a caller must be allowed to do (`keys.md` §8).
    Permission {
        /// List and read keys and their callers.
        KeysRead = "keys.read";
        /// Create keys.
        KeysCreate = "keys.create";
        /// Update, disable, enable keys.
        KeysUpdate = "keys.update";
        /// Rotate keys, end and extend their secrets, re-issue.
        KeysRotate = "keys.rotate";
        /// Revoke keys.
        KeysRevoke = "keys.revoke";
        /// Ask whether a given key is good.
        KeysVerify = "keys.verify";
        /// Find own keys by what leaked of them.
        KeysLookup = "keys.lookup";
        /// Bring keys from elsewhere.
        KeysImport = "keys.import";
        /// Make and end admin keys of a role at most the caller's.
        AdminKeysManage = "admin_keys.manage";
        /// List agents.
        AgentsRead = "agents.read";
        /// List environments.
        EnvironmentsRead = "environments.read";
        /// List registries.
        RegistriesRead = "registries.read";
        /// List models.
        ModelsRead = "models.read";
        /// List members and invites.
        MembersRead = "members.read";
        /// See the balance.
        CreditsRead = "credits.read";
        /// Make, change, end agents.
        AgentsManage = "agents.manage";
        /// Make, change, archive environments.
        EnvironmentsManage = "environments.manage";
        /// Make, change, end registries.
        RegistriesManage = "registries.manage";
        /// Rate limits and model permissions.
        LimitsManage = "limits.manage";
        /// Webhooks and notices.
        NotificationsManage = "notifications.manage";
        /// Invite, give roles, remove.
        MembersManage = "members.manage";
        /// Budgets, spend limits, alerts.
        BudgetsManage = "budgets.manage";
        /// See usage and costs.
        UsageRead = "usage.read";
        /// See request records and receipts.
        RequestsRead = "requests.read";
        /// See stored bodies.
        BodiesRead = "bodies.read";
        /// Bring credit in.
        WalletFund = "wallet.fund";
        /// Vouchers, statements, payment.
        BillingManage = "billing.manage";
        /// See the audit log.
        AuditRead = "audit.read";
        /// Take the audit log along.
        AuditExport = "audit.export";
        /// Name, slug, reporting zone.
        OrganizationUpdate = "organization.update";
        /// The key policy and the allowed addresses.
        PolicyManage = "policy.manage";
        /// End the organization.
        OrganizationClose = "organization.close";
        /// Inference from the console.
        PlaygroundUse = "playground.use";
        /// Act as the operator of the instance; no role of an organization has it.
        Operate = "operator";
    }
}

words! {
    /// A member's role in an organization, strongest first.
    Role {
        /// Everything.
        Owner = "owner";
        /// Everything but money and ownership.
        Admin = "admin";
        /// Own keys.
        Developer = "developer";
        /// Money.
        Billing = "billing";
        /// Reading.
        Viewer = "viewer";
    }
}

words! {
    /// Who makes keys, by the organization's policy.
    Creators {
        /// Owners only: the default.
        Owners = "owners";
        /// Owners and admins.
        Admins = "admins";
        /// Also developers, for keys they own.
        Developers = "developers";
    }
}

/// How far a permission reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Nothing.
    None,
    /// Objects of one's own.
    Own,
    /// Every object of the organization.
    All,
}

impl Permission {
    /// The endpoint whose absence from a key's list takes the permission away.
    pub const fn endpoint(self) -> Option<EndpointName> {
        match self {
            Permission::ModelsRead => Some(EndpointName::Models),
            Permission::CreditsRead => Some(EndpointName::Credits),
            Permission::EnvironmentsRead => Some(EndpointName::Environments),
            Permission::RegistriesRead => Some(EndpointName::Registries),
            Permission::AgentsRead => Some(EndpointName::Agents),
            _ => None,
        }
    }
}

impl Role {
    /// How far the role carries the permission, under the organization's choice of who makes keys.
    pub const fn extent(self, permission: Permission, creators: Creators) -> Extent {
        use Extent::{All, None, Own};
        use Permission as P;
        let [owner, admin, developer, billing, viewer] = match permission {
            P::Operate => [None; 5],
            P::KeysRead
            | P::AgentsRead
            | P::EnvironmentsRead
            | P::RegistriesRead
            | P::ModelsRead
            | P::MembersRead
            | P::CreditsRead => [All; 5],
            P::KeysCreate | P::KeysUpdate | P::KeysRotate | P::KeysRevoke => match creators {
                Creators::Owners => [All, None, None, None, None],
                Creators::Admins => [All, All, None, None, None],
                Creators::Developers => [All, All, Own, None, None],
            },
            P::KeysVerify
            | P::KeysLookup
            | P::KeysImport
            | P::AdminKeysManage
            | P::AgentsManage
            | P::EnvironmentsManage
            | P::RegistriesManage
            | P::LimitsManage
            | P::NotificationsManage
            | P::MembersManage
            | P::AuditRead
            | P::AuditExport
            | P::OrganizationUpdate => [All, All, None, None, None],
            P::BudgetsManage => [All, All, None, All, None],
            P::UsageRead => [All, All, Own, All, All],
            P::RequestsRead => [All, All, Own, None, All],
            P::BodiesRead => [All, All, Own, None, None],
            P::WalletFund | P::BillingManage => [All, None, None, All, None],
            P::PolicyManage | P::OrganizationClose => [All, None, None, None, None],
            P::PlaygroundUse => [All, All, All, None, None],
        };
        match self {
            Role::Owner => owner,
            Role::Admin => admin,
            Role::Developer => developer,
            Role::Billing => billing,
            Role::Viewer => viewer,
        }
    }

    /// Whether the role carries the permission at all.
    pub const fn allows(self, permission: Permission, creators: Creators) -> bool {
        !matches!(self.extent(permission, creators), Extent::None)
    }

    /// Whether everything this role may, the other may too, as far or farther. Roles are not a ladder: an admin may
    /// things that billing may not, and the other way round.
    pub fn is_at_most(self, other: Role, creators: Creators) -> bool {
        Permission::ALL.iter().all(|one| self.extent(*one, creators) <= other.extent(*one, creators))
    }
}

/// What an inference key may read besides calling models (`keys.md` §8), before its endpoint list.
pub const INFERENCE_KEY_PERMISSIONS: &[Permission] = &[
    Permission::ModelsRead,
    Permission::CreditsRead,
    Permission::EnvironmentsRead,
    Permission::AgentsRead,
    Permission::RegistriesRead,
];

/// What an inference key may be given besides.
pub const EXTRA_PERMISSIONS: &[Permission] = &[Permission::KeysVerify];

/// Whose role bounds an admin key besides its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Nobody's: a key of the set-up, without a recorded owner.
    Nobody,
    /// Its owner's, as it is now.
    Role(Role),
    /// Its owner has left or has no role: nothing is allowed.
    Gone,
}

/// What stands behind a call: how far each permission reaches for this caller, now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A member in person; the operator at this machine counts as an owner.
    Member(Role),
    /// An admin key: the lesser of its own role and its owner's, permission by permission.
    AdminKey {
        /// Its own.
        role: Role,
        /// Its owner's.
        owner: Bound,
    },
    /// An inference key with its permissions.
    InferenceKey(Vec<Permission>),
}

impl Standing {
    /// How far the permission reaches.
    pub fn extent(&self, permission: Permission, creators: Creators) -> Extent {
        match self {
            Self::Member(role) => role.extent(permission, creators),
            Self::AdminKey { role, owner } => {
                let own = role.extent(permission, creators);
                match owner {
                    Bound::Nobody => own,
                    Bound::Role(owner) => own.min(owner.extent(permission, creators)),
                    Bound::Gone => Extent::None,
                }
            }
            Self::InferenceKey(permissions) => {
                if permissions.contains(&permission) {
                    Extent::All
                } else {
                    Extent::None
                }
            }
        }
    }

    /// Whether everything this standing may, the other may too, as far or farther.
    pub fn is_at_most(&self, other: &Standing, creators: Creators) -> bool {
        Permission::ALL.iter().all(|one| self.extent(*one, creators) <= other.extent(*one, creators))
    }

    /// The role that counts in messages, and that a new admin key gets when none is named.
    pub const fn role(&self) -> Option<Role> {
        match self {
            Self::Member(role) | Self::AdminKey { role, .. } => Some(*role),
            Self::InferenceKey(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
