//! Roles, permissions, and what one right may make of another.
//!
//! The table is `keys.md` §8; which endpoint asks for which permission stands in the endpoint table, not here.

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
        /// List and read keys.
        KeysRead = "keys.read";
        /// Create keys.
        KeysCreate = "keys.create";
        /// Update, disable, enable keys.
        KeysUpdate = "keys.update";
        /// Revoke keys.
        KeysRevoke = "keys.revoke";
        /// Make and end admin keys.
        AdminKeysManage = "admin_keys.manage";
        /// List environments.
        EnvironmentsRead = "environments.read";
        /// See the balance.
        CreditsRead = "credits.read";
        /// See usage and costs.
        UsageRead = "usage.read";
        /// See request records and receipts.
        RequestsRead = "requests.read";
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

impl Role {
    /// Whether the role carries the permission under the default key policy (`creators = owners`).
    pub const fn allows(self, permission: Permission) -> bool {
        match permission {
            Permission::Operate => false,
            Permission::KeysRead | Permission::EnvironmentsRead | Permission::CreditsRead => true,
            Permission::UsageRead | Permission::RequestsRead => {
                matches!(self, Role::Owner | Role::Admin | Role::Viewer)
                    || matches!((self, permission), (Role::Billing, Permission::UsageRead))
            }
            Permission::AdminKeysManage => matches!(self, Role::Owner | Role::Admin),
            Permission::KeysCreate | Permission::KeysUpdate | Permission::KeysRevoke => matches!(self, Role::Owner),
        }
    }
}
