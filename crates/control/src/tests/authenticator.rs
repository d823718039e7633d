//! An authenticator in software: it makes credentials and answers challenges as a browser with a platform authenticator
//! would, and lies where a test asks it to.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ciborium::Value as Cbor;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// One credential of one person.
pub(super) struct Authenticator {
    pair: EcdsaKeyPair,
    id: Vec<u8>,
    /// The next answer's counter is one more.
    pub(super) count: u32,
    /// Where its browser says that the page is from.
    pub(super) origin: String,
    /// Whether it verified its user.
    pub(super) is_verified: bool,
}

impl Authenticator {
    pub(super) fn new(origin: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let id = Sha256::digest(pair.public_key().as_ref()).to_vec();
        Self { pair, id, count: 0, origin: origin.to_owned(), is_verified: true }
    }

    /// The answer to a request for a new credential.
    pub(super) fn create(&self, asked: &Value) -> Value {
        let point = self.pair.public_key().as_ref();
        let key = Cbor::Map(vec![
            (Cbor::from(1), Cbor::from(2)),
            (Cbor::from(3), Cbor::from(-7)),
            (Cbor::from(-1), Cbor::from(1)),
            (Cbor::from(-2), Cbor::from(point[1..33].to_vec())),
            (Cbor::from(-3), Cbor::from(point[33..].to_vec())),
        ]);
        let mut data = self.data(asked["rp"]["id"].as_str().unwrap_or_default(), 0x40);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap_or_default().to_be_bytes());
        data.extend(&self.id);
        data.extend(cbor(&key));
        let attestation = cbor(&Cbor::Map(vec![
            (Cbor::from("fmt"), Cbor::from("none")),
            (Cbor::from("attStmt"), Cbor::Map(Vec::new())),
            (Cbor::from("authData"), Cbor::from(data)),
        ]));
        let words = self.words("webauthn.create", asked);
        self.shown(json!({ "clientDataJSON": base64(words.as_bytes()), "attestationObject": base64(&attestation) }))
    }

    /// The answer to a sign-in.
    pub(super) fn get(&mut self, asked: &Value) -> Value {
        self.count += 1;
        let data = self.data(asked["rpId"].as_str().unwrap_or_default(), 0);
        let words = self.words("webauthn.get", asked);
        let signed = [&data[..], &Sha256::digest(words.as_bytes())].concat();
        let signature = self.pair.sign(&SystemRandom::new(), &signed).expect("signed");
        self.shown(json!({
            "clientDataJSON": base64(words.as_bytes()),
            "authenticatorData": base64(&data),
            "signature": base64(signature.as_ref()),
        }))
    }

    fn words(&self, kind: &str, asked: &Value) -> String {
        json!({ "type": kind, "challenge": asked["challenge"], "origin": self.origin, "crossOrigin": false })
            .to_string()
    }

    fn data(&self, party: &str, flags: u8) -> Vec<u8> {
        let mut data = Sha256::digest(party.as_bytes()).to_vec();
        data.push(flags | if self.is_verified { 0x05 } else { 0x01 });
        data.extend(self.count.to_be_bytes());
        data
    }

    fn shown(&self, response: Value) -> Value {
        let id = base64(&self.id);
        json!({ "id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": {} })
    }
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn cbor(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("written");
    bytes
}
