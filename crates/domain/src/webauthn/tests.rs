//! Answers made by hand, of every accepted kind of key: believed as they are, and by no other byte.

use super::*;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use proptest::prelude::*;

const ORIGIN: &str = "https://console.acme.io";

fn party() -> RelyingParty {
    RelyingParty { id: "console.acme.io".to_owned(), origins: vec![ORIGIN.to_owned()] }
}

enum Key {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(RsaKeyPair),
}

impl Key {
    fn all() -> [Self; 3] {
        [Self::es256(), Self::ed_dsa(), Self::Rs256(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())]
    }

    fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn ed_dsa() -> Self {
        Self::EdDsa(Ed25519KeyPair::generate().unwrap())
    }

    fn cose(&self) -> Vec<u8> {
        let number = |label: i64, value: i64| (Value::from(label), Value::from(value));
        let bytes = |label: i64, value: &[u8]| (Value::from(label), Value::from(value.to_vec()));
        let members = match self {
            Self::Es256(pair) => {
                let point = pair.public_key().as_ref();
                vec![number(1, 2), number(3, -7), number(-1, 1), bytes(-2, &point[1..33]), bytes(-3, &point[33..])]
            }
            Self::EdDsa(pair) => {
                vec![number(1, 1), number(3, -8), number(-1, 6), bytes(-2, pair.public_key().as_ref())]
            }
            Self::Rs256(pair) => {
                let public = pair.public_key();
                let modulus = public.modulus().big_endian_without_leading_zero();
                let exponent = public.exponent().big_endian_without_leading_zero();
                vec![number(1, 3), number(3, -257), bytes(-1, modulus), bytes(-2, exponent)]
            }
        };
        cbor(&Value::Map(members))
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(pair) => pair.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec(),
            Self::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
                signature
            }
        }
    }
}

fn cbor(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

fn client_data(kind: &str, origin: &str, more: &str) -> ClientData {
    let text = format!(r#"{{"type":"webauthn.{kind}","challenge":"YWJj","origin":"{origin}"{more}}}"#);
    ClientData::read(text.as_bytes()).unwrap()
}

/// Authenticator data: with a credential where its key is given.
fn data(party: &str, flags: u8, count: u32, key: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = Sha256::digest(party.as_bytes()).to_vec();
    bytes.push(if key.is_some() { flags | 0x40 } else { flags });
    bytes.extend(count.to_be_bytes());
    if let Some(key) = key {
        bytes.extend([0; 16]);
        bytes.extend([0, 4]);
        bytes.extend(b"cred");
        bytes.extend(key);
    }
    bytes
}

fn attestation(data: Vec<u8>) -> Vec<u8> {
    cbor(&Value::Map(vec![
        (Value::from("fmt"), Value::from("none")),
        (Value::from("attStmt"), Value::Map(Vec::new())),
        (Value::from("authData"), Value::from(data)),
    ]))
}

const BOTH: u8 = 0x05;

fn assertion(key: &Key, client_data: &ClientData, data: &[u8], former: u32) -> Result<u32, Unproven> {
    let signature = key.sign(&[data, &Sha256::digest(client_data.bytes())].concat());
    asserted(&party(), client_data, data, &signature, &key.cose(), former)
}

#[test]
fn each_kind_of_key_is_registered_and_signs_in() {
    for key in Key::all() {
        let made = data("console.acme.io", BOTH, 3, Some(&key.cose()));
        let made = registered(&party(), &client_data("create", ORIGIN, ""), &attestation(made)).unwrap();
        assert_eq!((made.credential_id.as_slice(), made.sign_count), (&b"cred"[..], 3));
        assert_eq!(made.public_key, key.cose());
        let given = data("console.acme.io", BOTH, 4, None);
        assert_eq!(assertion(&key, &client_data("get", ORIGIN, ""), &given, 3), Ok(4));
    }
}

#[test]
fn what_was_made_elsewhere_or_by_nobody_is_not_believed() {
    let key = Key::es256();
    for (client_data, party, flags, count, expected) in [
        (client_data("create", ORIGIN, ""), "console.acme.io", BOTH, 4, Unproven::Ceremony),
        (client_data("get", "https://console.acme.io.evil.example", ""), "console.acme.io", BOTH, 4, Unproven::Origin),
        (client_data("get", ORIGIN, r#","crossOrigin":true"#), "console.acme.io", BOTH, 4, Unproven::Origin),
        (client_data("get", ORIGIN, ""), "acme.io", BOTH, 4, Unproven::RelyingParty),
        (client_data("get", ORIGIN, ""), "console.acme.io", 0x01, 4, Unproven::User),
        (client_data("get", ORIGIN, ""), "console.acme.io", 0x04, 4, Unproven::User),
        (client_data("get", ORIGIN, ""), "console.acme.io", BOTH, 3, Unproven::Counter),
        (client_data("get", ORIGIN, ""), "console.acme.io", BOTH, 0, Unproven::Counter),
    ] {
        assert_eq!(assertion(&key, &client_data, &data(party, flags, count, None), 3), Err(expected));
    }
    let none = assertion(&key, &client_data("get", ORIGIN, ""), &data("console.acme.io", BOTH, 0, None), 0);
    assert_eq!(none, Ok(0), "an authenticator without a counter");
    let other = Key::es256();
    let given = data("console.acme.io", BOTH, 4, None);
    let words = client_data("get", ORIGIN, "");
    let signature = other.sign(&[&given[..], &Sha256::digest(words.bytes())].concat());
    assert_eq!(asserted(&party(), &words, &given, &signature, &key.cose(), 3), Err(Unproven::Signature));
    // A registration needs its credential, and one of a known kind.
    let create = client_data("create", ORIGIN, "");
    let bare = attestation(data("console.acme.io", BOTH, 0, None));
    assert_eq!(registered(&party(), &create, &bare), Err(Unproven::Malformed));
    let strange = cbor(&Value::Map(vec![(Value::from(1), Value::from(2)), (Value::from(3), Value::from(-35))]));
    let strange = attestation(data("console.acme.io", BOTH, 0, Some(&strange)));
    assert_eq!(registered(&party(), &create, &strange), Err(Unproven::Algorithm));
    let mut longer = data("console.acme.io", BOTH, 0, Some(&key.cose()));
    longer.push(0);
    assert_eq!(registered(&party(), &create, &attestation(longer)), Err(Unproven::Malformed));
}

proptest! {
    #[test]
    fn no_changed_byte_of_an_assertion_is_believed(at in 0_usize..37, bit in 0_u8..8) {
        let key = Key::ed_dsa();
        let words = client_data("get", ORIGIN, "");
        let given = data("console.acme.io", BOTH, 4, None);
        let signature = key.sign(&[&given[..], &Sha256::digest(words.bytes())].concat());
        let mut changed = given.clone();
        changed[at] ^= 1 << bit;
        prop_assert!(asserted(&party(), &words, &changed, &signature, &key.cose(), 3).is_err());
        prop_assert_eq!(asserted(&party(), &words, &given, &signature, &key.cose(), 3), Ok(4));
    }

    #[test]
    fn hostile_bytes_are_refused_and_nothing_else_happens(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let create = client_data("create", ORIGIN, "");
        prop_assert!(registered(&party(), &create, &bytes).is_err());
        prop_assert!(registered(&party(), &create, &attestation(bytes.clone())).is_err());
        let get = client_data("get", ORIGIN, "");
        prop_assert!(asserted(&party(), &get, &bytes, &bytes, &bytes, 0).is_err());
    }
}
