//! An issuer made for tests, and what of its tokens is believed. That documents travel by HTTP is tested on the real
//! program.

use super::verify::{ALGORITHMS, Disbelief, issuer_named, verify};
use super::{Issuer, IssuerSettings, SignOn};
use crate::ports::{AskIssuers, Question, Told, Unanswered};
use crate::tests::World;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use claviger_domain::id_token::Untrusted;
use claviger_domain::limits;
use claviger_domain::right::Role;
use claviger_domain::time::Clock as _;
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub(crate) const URL: &str = "https://id.acme.io";

/// A key of the issuer.
pub(crate) enum TestKey {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(KeyPair),
}

impl TestKey {
    pub(crate) fn es256() -> Self {
        Self::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn ed_dsa() -> Self {
        Self::EdDsa(Ed25519KeyPair::generate().expect("a key"))
    }

    fn rs256() -> Self {
        Self::Rs256(KeyPair::generate(KeySize::Rsa2048).expect("a key"))
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
            Self::Rs256(_) => "RS256",
        }
    }

    /// The public half as an issuer shows it.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Es256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "use": "sig", "kid": id, "x": base64(&point[1..33]), "y": base64(&point[33..]) })
            }
            Self::EdDsa(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": base64(pair.public_key().as_ref()) })
            }
            Self::Rs256(pair) => {
                let public = pair.public_key();
                let modulus = public.modulus().big_endian_without_leading_zero();
                let exponent = public.exponent().big_endian_without_leading_zero();
                json!({ "kty": "RSA", "alg": "RS256", "kid": id, "n": base64(modulus), "e": base64(exponent) })
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(pair) => pair.sign(&SystemRandom::new(), message).expect("signed").as_ref().to_vec(),
            Self::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).expect("signed");
                signature
            }
        }
    }

    /// A token of these claims, signed.
    pub(crate) fn token(&self, id: &str, claims: &Value) -> String {
        self.token_with(&json!({ "alg": self.algorithm(), "kid": id, "typ": "JWT" }), claims)
    }

    fn token_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// An issuer whose documents are at hand.
#[derive(Debug, Default)]
pub(crate) struct TestIssuer {
    pub(crate) documents: Mutex<BTreeMap<String, Value>>,
    pub(crate) asked: AtomicUsize,
    /// What was posted.
    pub(crate) forms: Mutex<Vec<String>>,
}

impl TestIssuer {
    pub(crate) fn new(keys: &[Value]) -> Arc<Self> {
        let issuer = Self::default();
        issuer.show(keys);
        let discovery = json!({
            "issuer": URL,
            "jwks_uri": format!("{URL}/keys"),
            "authorization_endpoint": format!("{URL}/authorize"),
            "token_endpoint": format!("{URL}/token"),
        });
        issuer.documents.lock().insert(format!("{URL}/.well-known/openid-configuration"), discovery);
        Arc::new(issuer)
    }

    pub(crate) fn show(&self, keys: &[Value]) {
        self.documents.lock().insert(format!("{URL}/keys"), json!({ "keys": keys }));
    }

    /// The settings of an instance that believes it.
    pub(crate) fn settings(self: &Arc<Self>) -> IssuerSettings {
        let sign_on = SignOn {
            client_id: "claviger".to_owned(),
            client_secret: None,
            scopes: vec!["openid".to_owned(), "email".to_owned()],
            allowed_domains: Vec::new(),
            organization: String::new(),
            role: Role::Developer,
            role_claim: String::new(),
            roles: BTreeMap::new(),
            button: "Continue with acme".to_owned(),
        };
        let issuer = Issuer {
            name: "acme".to_owned(),
            issuer: URL.to_owned(),
            is_for_people: true,
            is_for_agents: true,
            sign_on,
        };
        IssuerSettings { all: vec![issuer], ask: Some(self.clone()) }
    }
}

impl AskIssuers for TestIssuer {
    fn ask(&self, question: Question) -> Pin<Box<dyn Future<Output = Result<Told, Unanswered>> + Send + '_>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(form) = &question.form {
            self.forms.lock().push(form.expose().clone());
        }
        let told = match self.documents.lock().get(&question.url) {
            Some(document) => Ok(Told { status: 200, body: document.to_string().into() }),
            None => Err(Unanswered("nobody is there".to_owned())),
        };
        Box::pin(std::future::ready(told))
    }
}

/// Claims that hold at the start of the tests' clock.
pub(crate) fn claims(world: &World) -> Value {
    let now = world.clock.now().wall.seconds();
    json!({ "iss": URL, "sub": "7", "aud": "claviger", "exp": now + 300, "iat": now })
}

async fn outcome(world: &World, token: &str) -> Result<(), Disbelief> {
    let issuer = &world.control.settings().issuers.all[0];
    verify(&world.control, issuer, token, ALGORITHMS, "claviger", world.clock.now()).await.map(drop)
}

#[tokio::test]
async fn a_token_is_believed_in_each_accepted_algorithm() {
    let keys = [TestKey::es256(), TestKey::ed_dsa(), TestKey::rs256()];
    let named = ["a", "b", "c"];
    let shown: Vec<Value> = keys.iter().zip(named).map(|(key, id)| key.jwk(id)).collect();
    let issuer = TestIssuer::new(&shown);
    let world = World::fresh_with(|settings| settings.issuers = issuer.settings()).await;
    for (key, id) in keys.iter().zip(named) {
        let token = key.token(id, &claims(&world));
        assert_eq!(outcome(&world, &token).await, Ok(()), "{}", key.algorithm());
        assert_eq!(issuer_named(&token), Ok(URL.to_owned()));
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), 2, "two documents, however many tokens");
}

#[tokio::test]
async fn what_is_wrong_about_a_token_is_never_believed() {
    let (key, other) = (TestKey::es256(), TestKey::es256());
    let issuer = TestIssuer::new(&[key.jwk("a"), TestKey::ed_dsa().jwk("b")]);
    let world = World::fresh_with(|settings| settings.issuers = issuer.settings()).await;
    let good = claims(&world);
    let token = key.token("a", &good);
    let parts: Vec<&str> = token.split('.').collect();
    let mut forged = good.clone();
    forged["sub"] = json!("8");
    let forged = URL_SAFE_NO_PAD.encode(forged.to_string());
    let unsigned = URL_SAFE_NO_PAD.encode(json!({ "alg": "none", "kid": "a" }).to_string());
    let mut stale = good.clone();
    stale["exp"] = json!(world.clock.now().wall.seconds() - 60);
    let public = other.jwk("z");
    let shared = json!({ "alg": "HS256", "kid": "a" });
    for (what, token, expected) in [
        ("another's signature", other.token("a", &good), Untrusted::Signature),
        ("a changed payload", format!("{}.{forged}.{}", parts[0], parts[2]), Untrusted::Signature),
        ("a cut signature", token[..token.len() - 2].to_owned(), Untrusted::Signature),
        ("no signature", format!("{unsigned}.{}.", parts[1]), Untrusted::Algorithm),
        ("a shared secret", key.token_with(&shared, &good), Untrusted::Algorithm),
        ("a key of another kind", key.token("b", &good), Untrusted::Algorithm),
        (
            "a key of its own",
            other.token_with(&json!({ "alg": "ES256", "kid": "z", "jwk": public }), &good),
            Untrusted::Signature,
        ),
        ("no name among several keys", key.token_with(&json!({ "alg": "ES256" }), &good), Untrusted::Signature),
        (
            "an unknown extension",
            key.token_with(&json!({ "alg": "ES256", "kid": "a", "crit": ["x"] }), &good),
            Untrusted::Malformed,
        ),
        ("its time over", key.token("a", &stale), Untrusted::Expired),
        ("no token", "a.b".to_owned(), Untrusted::Malformed),
        ("a novel", "a".repeat(limits::TOKEN_BYTES + 1), Untrusted::Malformed),
    ] {
        assert_eq!(outcome(&world, &token).await, Err(Disbelief::Untrusted(expected)), "{what}");
    }
}

#[tokio::test]
async fn a_new_key_of_an_issuer_is_found_and_an_invented_one_makes_no_flood() {
    let (old, next, new) = (TestKey::es256(), TestKey::es256(), TestKey::es256());
    let issuer = TestIssuer::new(&[old.jwk("old")]);
    let world = World::fresh_with(|settings| settings.issuers = issuer.settings()).await;
    assert_eq!(outcome(&world, &old.token("old", &claims(&world))).await, Ok(()));
    issuer.show(&[old.jwk("old"), next.jwk("next")]);
    assert_eq!(outcome(&world, &next.token("next", &claims(&world))).await, Ok(()), "doubted for the first time");
    issuer.show(&[old.jwk("old"), new.jwk("new")]);
    let untrusted = Err(Disbelief::Untrusted(Untrusted::Signature));
    assert_eq!(outcome(&world, &new.token("new", &claims(&world))).await, untrusted, "asked a moment ago");
    world.clock.step(Duration::from_secs(31));
    assert_eq!(outcome(&world, &new.token("new", &claims(&world))).await, Ok(()));
    let asked = issuer.asked.load(Ordering::Relaxed);
    for number in 0..100 {
        assert_eq!(outcome(&world, &old.token(&format!("invented {number}"), &claims(&world))).await, untrusted);
    }
    assert_eq!(issuer.asked.load(Ordering::Relaxed), asked);
}

#[tokio::test]
async fn a_silent_issuer_is_believed_for_an_hour_and_not_longer() {
    let key = TestKey::es256();
    let issuer = TestIssuer::new(&[key.jwk("a")]);
    let world = World::fresh_with(|settings| settings.issuers = issuer.settings()).await;
    assert_eq!(outcome(&world, &key.token("a", &claims(&world))).await, Ok(()));
    issuer.documents.lock().clear();
    world.clock.step(Duration::from_secs(3599));
    assert_eq!(outcome(&world, &key.token("a", &claims(&world))).await, Ok(()));
    world.clock.step(Duration::from_secs(1));
    let late = outcome(&world, &key.token("a", &claims(&world))).await;
    assert!(matches!(late, Err(Disbelief::Unavailable(_))), "{late:?}");
}

#[tokio::test]
async fn documents_of_another_issuer_are_not_taken() {
    let key = TestKey::es256();
    let issuer = TestIssuer::new(&[key.jwk("a")]);
    let world = World::fresh_with(|settings| settings.issuers = issuer.settings()).await;
    let place = format!("{URL}/.well-known/openid-configuration");
    issuer.documents.lock().entry(place).and_modify(|document| document["issuer"] = json!("https://id.evil.example"));
    let answer = outcome(&world, &key.token("a", &claims(&world))).await;
    assert!(matches!(answer, Err(Disbelief::Unavailable(_))), "{answer:?}");
}
