//! People: signing in, one's own sessions, members, invites.

use super::keys::CONFIRMATION;
use super::shape::{Field, Object, PAGE, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

/// The operations of this file, as a pattern.
macro_rules! operations {
    () => {
        Operation::AuthOptions
            | Operation::RemoveMemberWith
            | Operation::ListSeenKeys
            | Operation::SetUpByLink
            | Operation::ListUsers
            | Operation::CreateUser
            | Operation::ChangeUser
            | Operation::MakeOwner
            | Operation::EndUserSessions
            | Operation::RecoverPassword
            | Operation::MakeSetUpLink
            | Operation::SignIn
            | Operation::SignUp
            | Operation::ForgotPassword
            | Operation::ResetPassword
            | Operation::VerifyEmail
            | Operation::SignOut
            | Operation::Reauthenticate
            | Operation::ListSessions
            | Operation::EndSession
            | Operation::EndOtherSessions
            | Operation::GetMe
            | Operation::UpdateMe
            | Operation::SendVerification
            | Operation::TakeHandover
            | Operation::CreateHandover
            | Operation::ListMembers
            | Operation::GetMember
            | Operation::UpdateMember
            | Operation::RemoveMember
            | Operation::ListInvites
            | Operation::CreateInvite
            | Operation::GetInvite
            | Operation::DeleteInvite
            | Operation::ResendInvite
            | Operation::AcceptInvite
    };
}
pub(super) use operations;

const ASK_MEMBERS: &[Field] = &[
    may("limit", Shape::Whole),
    may("after", Shape::Text),
    may("before", Shape::Text),
    may("order", Shape::Word(&["asc", "desc"])),
    may("emails", Shape::Many(&Shape::Text)),
];

const ROLE: Shape = Shape::Word(&["owner", "admin", "developer", "billing", "viewer"]);
/// The same in OpenAI's words.
const ADMINISTRATION_ROLE: Shape = Shape::Word(&["owner", "admin", "member", "billing", "reader"]);

pub(super) const DONE: Object = object("Done", &[must("object", Shape::Text), must("status", Shape::Text)]);

const PROVIDER: Object = object("IdentityProvider", &[must("name", Shape::Text), must("button", Shape::Text)]);

const OPTIONS: Object = Object {
    name: "AuthOptions",
    fields: &[
        must("object", Shape::Is("auth.options")),
        must("password", Shape::Flag),
        must("passkey", Shape::Flag),
        must("oidc", Shape::Many(&Shape::Of(&PROVIDER))),
        must("mail", Shape::Flag),
        must("sign_up", Shape::Word(&["invite", "open", "closed"])),
        must("needs_setup", Shape::Flag),
    ],
    is_open: true,
};

const SESSION: Object = object(
    "Session",
    &[
        must("object", Shape::Is("session")),
        must("id", Shape::Text),
        must("created_at", Shape::Time),
        must("last_seen_at", Shape::Time),
        must("expires_at", Shape::Time),
        must("fresh_until", Shape::Time),
        must("address", Shape::Text),
        must("client", Shape::Text),
        must("current", Shape::Flag),
    ],
);

const OWN_ORGANIZATION: Object = object(
    "OwnOrganization",
    &[
        must("id", Shape::Text),
        must("slug", Shape::Text),
        must("name", Shape::Text),
        must("state", Shape::Text),
        must("role", ROLE),
        must("balance", Shape::Amount),
    ],
);

pub(super) const ME: Object = Object {
    name: "Me",
    fields: &[
        must("object", Shape::Is("user")),
        must("id", Shape::Text),
        must("email", Shape::Text),
        must("email_verified", Shape::Flag),
        must("name", Shape::Text),
        must("locale", Shape::OrNull(&Shape::Text)),
        must("operator", Shape::Flag),
        must("has_password", Shape::Flag),
        must("organizations", Shape::Many(&Shape::Of(&OWN_ORGANIZATION))),
        must("session", Shape::Of(&SESSION)),
    ],
    is_open: true,
};

const CREDENTIALS: Object = object("SignIn", &[must("email", Shape::Text), must("password", Shape::Text)]);
const PASSWORD: Object = object("Reauthenticate", &[must("password", Shape::Text)]);
const EMAIL: Object = object("ForgotPassword", &[must("email", Shape::Text)]);
const RESET: Object = object("ResetPassword", &[must("token", Shape::Text), must("password", Shape::Text)]);
const TOKEN: Object = object("VerifyEmail", &[must("token", Shape::Text)]);

const SIGN_UP: Object = object(
    "SignUp",
    &[
        must("email", Shape::Text),
        must("password", Shape::Text),
        may("name", Shape::Text),
        must("organization", Shape::Text),
    ],
);

const PROFILE: Object = object(
    "UpdateMe",
    &[
        may("name", Shape::Text),
        may("locale", Shape::Word(&["en", "zh"])),
        may("current_password", Shape::Text),
        may("new_password", Shape::Text),
    ],
);

const ACCEPT: Object = object(
    "AcceptInvite",
    &[must("token", Shape::Text), may("role", ROLE), may("password", Shape::Text), may("name", Shape::Text)],
);

const MEMBER_FIELDS: &[Field] = &[
    must("object", Shape::Is("organization.user")),
    must("id", Shape::Text),
    must("name", Shape::Text),
    must("email", Shape::Text),
    must("role", ADMINISTRATION_ROLE),
    must("added_at", Shape::Time),
    must("state", Shape::Text),
    must("email_verified", Shape::Flag),
    must("invited_by", Shape::OrNull(&Shape::Text)),
    must("last_active_at", Shape::OrNull(&Shape::Time)),
    may("confirmation", Shape::Of(&CONFIRMATION)),
];

const MEMBER: Object = object("Member", MEMBER_FIELDS);
const KEY_LEFT: Object = object(
    "KeyLeft",
    &[
        must("id", Shape::Text),
        must("name", Shape::Text),
        must("class", Shape::Text),
        must("done", Shape::Word(&["kept", "transferred", "revoked"])),
        must("rotation_due", Shape::Flag),
    ],
);

const USER: Object = object(
    "User",
    &[
        must("object", Shape::Is("user")),
        must("id", Shape::Text),
        must("email", Shape::Text),
        must("email_verified", Shape::Flag),
        must("name", Shape::Text),
        must("operator", Shape::Flag),
        must("state", Shape::Word(&["active", "disabled"])),
        must("created_at", Shape::Time),
        must("last_seen_at", Shape::OrNull(&Shape::Time)),
        may("url", Shape::Text),
    ],
);

const SETUP_LINK: Object = object(
    "SetUpLink",
    &[must("object", Shape::Is("setup_link")), must("url", Shape::Text), must("expires_at", Shape::Time)],
);

const SETUP: Object = object(
    "SetUpByLink",
    &[
        must("code", Shape::Text),
        must("organization", Shape::Text),
        must("email", Shape::Text),
        must("password", Shape::Text),
    ],
);

const MEMBER_DELETED: Object = object(
    "MemberDeleted",
    &[
        must("object", Shape::Is("organization.user.deleted")),
        must("id", Shape::Text),
        must("deleted", Shape::Flag),
        must("keys", Shape::Many(&Shape::Of(&KEY_LEFT))),
        must("confirmation", Shape::Of(&CONFIRMATION)),
    ],
);

const DECISIONS: Object = object("RemoveMember", &[may("keys", Shape::Any)]);
const NEW_USER: Object = object("CreateUser", &[must("email", Shape::Text), may("name", Shape::Text)]);
const USER_CHANGE: Object = object("ChangeUser", &[may("operator", Shape::Flag), may("state", Shape::Text)]);
const OWNED: Object = object("MakeOwner", &[must("organization", Shape::Text)]);
const FORCE: Object = object("MakeSetUpLink", &[may("force", Shape::Flag)]);

const NEW_ROLE: Object = object("UpdateMember", &[must("role", Shape::Text)]);

const INVITE: Object = object(
    "Invite",
    &[
        must("object", Shape::Is("organization.invite")),
        must("id", Shape::Text),
        must("email", Shape::Text),
        must("role", ADMINISTRATION_ROLE),
        must("status", Shape::Word(&["pending", "accepted", "expired", "withdrawn"])),
        must("created_at", Shape::Time),
        must("expires_at", Shape::Time),
        must("accepted_at", Shape::OrNull(&Shape::Time)),
        must("invited_by", Shape::Text),
        must("projects", Shape::Many(&Shape::Any)),
        may("url", Shape::Text),
    ],
);

const NEW_INVITE: Object = object("CreateInvite", &[must("email", Shape::Text), must("role", Shape::Text)]);

const INVITE_DELETED: Object = object(
    "InviteDeleted",
    &[must("object", Shape::Is("organization.invite.deleted")), must("id", Shape::Text), must("deleted", Shape::Flag)],
);

const SEALED: Object = object("CreateHandover", &[must("ciphertext", Shape::Text)]);

const HANDOVER: Object = object(
    "Handover",
    &[must("object", Shape::Is("handover")), must("id", Shape::Text), must("expires_at", Shape::Time)],
);

const HANDED_OVER: Object = object(
    "HandedOver",
    &[must("object", Shape::Is("handover")), must("id", Shape::Text), must("ciphertext", Shape::Text)],
);

pub(super) fn describe(operation: Operation) -> Description {
    use Operation as O;
    let of = Description::of;
    match operation {
        O::AuthOptions => of("What the sign-in page may offer.", Reply::One(&OPTIONS)),
        O::SignIn => {
            of("Sign in with a password; the answer sets the session's cookie.", Reply::One(&ME)).taking(&CREDENTIALS)
        }
        // With mail: look into the mail. Without: signed in.
        O::SignUp => of("Sign up, with an organization of one's own.", Reply::One(&SIGNED_UP)).taking(&SIGN_UP),
        O::ForgotPassword => of("Ask for a link to a new password.", Reply::One(&DONE)).taking(&EMAIL),
        O::ResetPassword => of("Set a new password by a link, once.", Reply::One(&DONE)).taking(&RESET),
        O::VerifyEmail => of("Prove an address by a link, once.", Reply::One(&DONE)).taking(&TOKEN),
        O::AcceptInvite => of("Join by an invite's link, once.", Reply::One(&ME)).taking(&ACCEPT),
        O::SignOut => of("End this session.", Reply::One(&DONE)),
        O::Reauthenticate => {
            of("Sign in once more, for what needs a fresh sign-in.", Reply::One(&ME)).taking(&PASSWORD)
        }
        O::ListSessions => of("One's living sessions.", Reply::List(&SESSION)),
        O::EndSession => of("End one of one's sessions.", Reply::One(&DONE)),
        O::EndOtherSessions => of("End all sessions but this one.", Reply::One(&DONE)),
        O::GetMe => of("Who is signed in, and where they belong.", Reply::One(&ME)),
        O::UpdateMe => of("Change one's name, language or password.", Reply::One(&ME)).taking(&PROFILE),
        O::SendVerification => of("Ask for another mail that proves one's address.", Reply::One(&DONE)),
        O::TakeHandover => of("Take a sealed text, once.", Reply::One(&HANDED_OVER)),
        O::CreateHandover => {
            of("Leave a sealed text for a member, for 24 hours.", Reply::One(&HANDOVER)).taking(&SEALED)
        }
        O::ListMembers => of("List members.", Reply::List(&MEMBER)).asking(ASK_MEMBERS),
        O::GetMember => of("Read one member.", Reply::One(&MEMBER)),
        O::UpdateMember => of("Give a member another role.", Reply::One(&MEMBER)).taking(&NEW_ROLE),
        O::RemoveMember => of("Remove a member.", Reply::One(&MEMBER_DELETED)),
        O::RemoveMemberWith => {
            of("Remove a member, with a decision for each key they have seen.", Reply::One(&MEMBER_DELETED))
                .taking(&DECISIONS)
        }
        O::ListSeenKeys => of("The keys that a member owns or has seen.", Reply::List(&super::keys::KEY)),
        O::SetUpByLink => of("Set the instance up by the link that the server prints.", Reply::One(&ME)).taking(&SETUP),
        O::ListUsers => of("Everybody of the instance.", Reply::List(&USER)).asking(PAGE),
        O::CreateUser => {
            of("Make a person; the reply has a link to their password.", Reply::One(&USER)).taking(&NEW_USER)
        }
        O::ChangeUser => of("Make a person an operator, or switch them off.", Reply::One(&USER)).taking(&USER_CHANGE),
        O::MakeOwner => of("Make a person an owner.", Reply::One(&USER)).taking(&OWNED),
        O::EndUserSessions => of("End a person's sessions.", Reply::One(&USER)),
        O::RecoverPassword => of("Make a link to a new password.", Reply::One(&USER)),
        O::MakeSetUpLink => of("Make a new set-up link; the old one is dead.", Reply::One(&SETUP_LINK)).taking(&FORCE),
        O::ListInvites => of("List invites.", Reply::List(&INVITE)).asking(PAGE),
        O::CreateInvite => {
            of("Invite somebody; `url` where no mail goes out.", Reply::One(&INVITE)).taking(&NEW_INVITE)
        }
        O::GetInvite => of("Read one invite.", Reply::One(&INVITE)),
        O::DeleteInvite => of("Take an invite back.", Reply::One(&INVITE_DELETED)),
        _ => of("Send an invite again: a new link, the old one is dead.", Reply::One(&INVITE)),
    }
}

/// A person who is signed in, or the word that a mail is on its way.
const SIGNED_UP: Object = Object { name: "SignedUp", fields: &[must("object", Shape::Text)], is_open: true };
