//! Further ways of signing in than the password: command lines, passkeys, identity providers.

use super::shape::{Field, Object, Shape, may, must, object};
use super::{Description, Reply};
use claviger_domain::endpoint::Operation;

const HOST: Object = object("BeginDevice", &[must("host", Shape::Text)]);

const BEGUN: Object = object(
    "DeviceBegun",
    &[
        must("object", Shape::Is("device")),
        must("device_code", Shape::Text),
        must("user_code", Shape::Text),
        must("verification_uri", Shape::Text),
        must("verification_uri_complete", Shape::Text),
        must("expires_in", Shape::Whole),
        must("interval", Shape::Whole),
    ],
);

const DEVICE_CODE: Object = object("TakeDeviceKey", &[must("device_code", Shape::Text)]);

const GRANTED: Object = object(
    "DeviceGranted",
    &[
        must("organization", Shape::Text),
        must("email", Shape::Text),
        must("key", Shape::Of(&super::keys::KEY)),
        must("value", Shape::Text),
    ],
);

const DEVICE_TOKEN: Object = object(
    "DeviceToken",
    &[
        must("object", Shape::Is("device.token")),
        must("status", Shape::Word(&["waiting", "refused", "approved"])),
        may("granted", Shape::Of(&GRANTED)),
    ],
);

const DECISION: Object =
    object("ApproveDevice", &[must("user_code", Shape::Text), may("decision", Shape::Word(&["approve", "refuse"]))]);

const DEVICE: Object = object(
    "Device",
    &[
        must("object", Shape::Is("device")),
        must("status", Shape::Word(&["waiting", "approved", "refused"])),
        must("host", Shape::Text),
        must("address", Shape::Text),
        must("organization", Shape::Text),
        must("role", Shape::Text),
    ],
);

const START: &[Field] = &[may("return_to", Shape::Text)];
const CALLBACK: &[Field] = &[may("code", Shape::Text), may("state", Shape::Text), may("error", Shape::Text)];

const LINK: Object = object("LinkIdentity", &[must("issuer", Shape::Text)]);

const DEPARTURE: Object =
    object("IdentityDeparture", &[must("object", Shape::Is("identity.departure")), must("url", Shape::Text)]);

const IDENTITY: Object = object(
    "Identity",
    &[
        must("object", Shape::Is("identity")),
        must("id", Shape::Text),
        must("issuer", Shape::Text),
        must("linked_at", Shape::Time),
    ],
);

/// `PublicKeyCredentialCreationOptions` or `…RequestOptions`, as their JSON forms are defined.
const OPTIONS: Object = object(
    "PasskeyOptions",
    &[must("object", Shape::Is("passkey.options")), must("public_key", Shape::Map(&Shape::Any))],
);

/// A `PublicKeyCredential` as its `toJSON` writes it.
const CREDENTIAL: Object = object("PasskeyAnswer", &[must("credential", Shape::Map(&Shape::Any))]);

const NEW_PASSKEY: Object =
    object("AddPasskey", &[may("name", Shape::Text), must("credential", Shape::Map(&Shape::Any))]);

const PASSKEY: Object = object(
    "Passkey",
    &[
        must("object", Shape::Is("passkey")),
        must("id", Shape::Text),
        must("name", Shape::Text),
        must("created_at", Shape::Time),
        must("last_used_at", Shape::OrNull(&Shape::Time)),
    ],
);

pub(super) fn describe(operation: Operation) -> Description {
    use Operation as O;
    let of = Description::of;
    match operation {
        O::BeginDevice => of("Ask for a person's consent to a command line.", Reply::One(&BEGUN)).taking(&HOST),
        O::TakeDeviceKey => {
            of("Ask whether it was given; the admin key, once.", Reply::One(&DEVICE_TOKEN)).taking(&DEVICE_CODE)
        }
        O::StartSignOn => of("Sign in by an identity provider: the way there.", Reply::Elsewhere).asking(START),
        O::FinishSignOn => of("Sign in by an identity provider: the way back.", Reply::Elsewhere).asking(CALLBACK),
        O::ListIdentities => of("The accounts of identity providers that sign one in.", Reply::List(&IDENTITY)),
        O::LinkIdentity => {
            of("Link an account of an identity provider: the way there.", Reply::One(&DEPARTURE)).taking(&LINK)
        }
        O::UnlinkIdentity => of("Take a linked account away.", Reply::One(&super::people::DONE)),
        O::PasskeyOptions => of("A challenge for whoever signs in with a passkey.", Reply::One(&OPTIONS)),
        O::PasskeySignIn => of(
            "Sign in with a passkey, or once more; the answer sets the session's cookie.",
            Reply::One(&super::people::ME),
        )
        .taking(&CREDENTIAL),
        O::ListPasskeys => of("One's passkeys.", Reply::List(&PASSKEY)),
        O::NewPasskeyOptions => of("Ask for a new passkey.", Reply::One(&OPTIONS)),
        O::AddPasskey => of("Add the passkey that the browser made.", Reply::One(&PASSKEY)).taking(&NEW_PASSKEY),
        O::RemovePasskey => of("Remove one of one's passkeys.", Reply::One(&super::people::DONE)),
        _ => of("Look at a waiting command line; with `decision`, consent to it or refuse it.", Reply::One(&DEVICE))
            .taking(&DECISION),
    }
}
