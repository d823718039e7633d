//! Further ways of signing in than the password: command lines, passkeys, identity providers.

use super::shape::{Object, Shape, may, must, object};
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

pub(super) fn describe(operation: Operation) -> Description {
    use Operation as O;
    let of = Description::of;
    match operation {
        O::BeginDevice => of("Ask for a person's consent to a command line.", Reply::One(&BEGUN)).taking(&HOST),
        O::TakeDeviceKey => {
            of("Ask whether it was given; the admin key, once.", Reply::One(&DEVICE_TOKEN)).taking(&DEVICE_CODE)
        }
        _ => of("Look at a waiting command line; with `decision`, consent to it or refuse it.", Reply::One(&DEVICE))
            .taking(&DECISION),
    }
}
