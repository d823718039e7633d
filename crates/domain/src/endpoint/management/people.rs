//! People: signing in, one's own sessions, members, invites.

use super::super::row::{Authentication, Method, Operation, Row};
use super::management;
use crate::limits;
use crate::right::Permission;

/// Nobody has to be known.
const fn open(operation: Operation, method: Method, path: &'static str) -> Row {
    Row {
        authentication: Authentication::Public,
        permission: None,
        body_bytes_max: limits::OPEN_BODY_BYTES,
        ..management(operation, method, path, Permission::MembersRead)
    }
}

/// What belongs to a signed-in person.
const fn own(operation: Operation, method: Method, path: &'static str) -> Row {
    Row { authentication: Authentication::Session, ..open(operation, method, path) }
}

/// What only the operator does to people.
const fn instance(operation: Operation, method: Method, path: &'static str) -> Row {
    Row { authentication: Authentication::Operator, ..management(operation, method, path, Permission::Operate) }
}

pub(super) const ROWS: &[Row] = &[
    open(Operation::AuthOptions, Method::Get, "/api/auth/options"),
    open(Operation::SignIn, Method::Post, "/api/auth/sign_in"),
    open(Operation::SignUp, Method::Post, "/api/auth/sign_up"),
    open(Operation::ForgotPassword, Method::Post, "/api/auth/password/forgot"),
    open(Operation::ResetPassword, Method::Post, "/api/auth/password/reset"),
    open(Operation::VerifyEmail, Method::Post, "/api/auth/email/verify"),
    open(Operation::AcceptInvite, Method::Post, "/api/invites/accept"),
    open(Operation::SetUpByLink, Method::Post, "/api/setup"),
    open(Operation::StartSignOn, Method::Get, "/api/auth/oidc/{issuer}/start"),
    open(Operation::FinishSignOn, Method::Get, "/api/auth/oidc/{issuer}/callback"),
    open(Operation::PasskeyOptions, Method::Post, "/api/auth/passkey/options"),
    open(Operation::PasskeySignIn, Method::Post, "/api/auth/passkey/verify"),
    open(Operation::BeginDevice, Method::Post, "/api/auth/device"),
    open(Operation::TakeDeviceKey, Method::Post, "/api/auth/device/token"),
    own(Operation::ApproveDevice, Method::Post, "/api/auth/device/approve"),
    own(Operation::SignOut, Method::Post, "/api/auth/sign_out"),
    own(Operation::Reauthenticate, Method::Post, "/api/auth/reauthenticate"),
    own(Operation::ListSessions, Method::Get, "/api/auth/sessions"),
    own(Operation::EndOtherSessions, Method::Delete, "/api/auth/sessions"),
    own(Operation::EndSession, Method::Delete, "/api/auth/sessions/{session}"),
    own(Operation::GetMe, Method::Get, "/api/me"),
    own(Operation::UpdateMe, Method::Post, "/api/me"),
    own(Operation::SendVerification, Method::Post, "/api/me/email/verification"),
    own(Operation::ListIdentities, Method::Get, "/api/me/identities"),
    own(Operation::LinkIdentity, Method::Post, "/api/me/identities"),
    own(Operation::UnlinkIdentity, Method::Delete, "/api/me/identities/{identity}"),
    own(Operation::ListPasskeys, Method::Get, "/api/me/passkeys"),
    own(Operation::NewPasskeyOptions, Method::Post, "/api/me/passkeys/options"),
    own(Operation::AddPasskey, Method::Post, "/api/me/passkeys"),
    own(Operation::RemovePasskey, Method::Delete, "/api/me/passkeys/{passkey}"),
    own(Operation::TakeHandover, Method::Get, "/api/me/handovers/{handover}"),
    instance(Operation::MakeSetUpLink, Method::Post, "/api/operator/setup_link"),
    instance(Operation::ListUsers, Method::Get, "/api/operator/users"),
    instance(Operation::CreateUser, Method::Post, "/api/operator/users"),
    instance(Operation::ChangeUser, Method::Post, "/api/operator/users/{user}"),
    instance(Operation::MakeOwner, Method::Post, "/api/operator/users/{user}/make_owner"),
    instance(Operation::EndUserSessions, Method::Post, "/api/operator/users/{user}/end_sessions"),
    instance(Operation::RecoverPassword, Method::Post, "/api/operator/users/{user}/reset_password"),
    management(Operation::CreateHandover, Method::Post, "/v1/organization/handovers", Permission::KeysCreate),
    management(Operation::ListMembers, Method::Get, "/v1/organization/users", Permission::MembersRead),
    management(Operation::GetMember, Method::Get, "/v1/organization/users/{user}", Permission::MembersRead),
    management(Operation::UpdateMember, Method::Post, "/v1/organization/users/{user}", Permission::MembersManage),
    management(Operation::RemoveMember, Method::Delete, "/v1/organization/users/{user}", Permission::MembersManage),
    management(
        Operation::RemoveMemberWith,
        Method::Post,
        "/v1/organization/users/{user}/remove",
        Permission::MembersManage,
    ),
    management(Operation::ListSeenKeys, Method::Get, "/v1/organization/users/{user}/keys", Permission::MembersRead),
    management(Operation::ListInvites, Method::Get, "/v1/organization/invites", Permission::MembersManage),
    management(Operation::CreateInvite, Method::Post, "/v1/organization/invites", Permission::MembersManage),
    management(Operation::GetInvite, Method::Get, "/v1/organization/invites/{invite}", Permission::MembersManage),
    management(Operation::DeleteInvite, Method::Delete, "/v1/organization/invites/{invite}", Permission::MembersManage),
    management(
        Operation::ResendInvite,
        Method::Post,
        "/v1/organization/invites/{invite}/resend",
        Permission::MembersManage,
    ),
];
