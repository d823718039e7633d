//! Signed checkpoints: where chains end, said outside the database (`keys.md` §9).
//!
//! A checkpoint is the Merkle root over the heads that changed since the one before, signed with Ed25519. Whoever can
//! write the database can compute hashes, and whoever has the audit key can compute MACs; only what was sent elsewhere
//! finds records that were cut off at the end. One head with its path proves itself against the signed root alone, so
//! the export of one organization tells nothing of the others.
//!
//! Leaf = `SHA-256(0x00 ‖ {"chain","hash","seq"})`, node = `SHA-256(0x01 ‖ left ‖ right)`; the last of an odd row goes up as
//! it is. The two prefixes keep a node from being shown as a leaf.

use super::body::hex;
use super::{AuditKey, CHAIN_START, Chain};
use crate::time::Timestamp;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Where a chain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose chain.
    pub chain: Chain,
    /// Number of its last record.
    pub sequence: i64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    at: i64,
    heads: u64,
    key: String,
    number: i64,
    prev: String,
    root: String,
}

/// A signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The signed bytes: canonical JSON.
    pub body: String,
    /// Over the body.
    pub signature: Vec<u8>,
    /// The heads, in the order of the tree.
    pub heads: Vec<Head>,
}

/// One step of a path from a leaf to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Hexadecimal.
    pub hash: String,
    /// Whether the sibling stands on the left.
    pub left: bool,
}

/// Why something is no checkpoint of this instance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointFault {
    /// It does not read.
    #[error("it does not read as a checkpoint")]
    Shape,
    /// The signature is not of this key.
    #[error("its signature was not made with the instance's key")]
    Signature,
    /// The heads are not those that were signed.
    #[error("its heads are not those that were signed")]
    Root,
    /// It does not follow the one before.
    #[error("it does not follow the checkpoint before it")]
    Order,
}

/// The public half of the signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text.trim()).map(Self)
    }
}

impl std::fmt::Display for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl AuditKey {
    /// The public half of the key that signs checkpoints; `None` only if the seed were no key.
    pub fn public_key(&self) -> Option<PublicKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(self.signing_seed().expose()).ok()?;
        pair.public_key().as_ref().try_into().ok().map(PublicKey)
    }

    /// Signs the heads that changed since `former`. `None` only if the seed were no key.
    pub fn checkpoint(&self, former: Option<&Checkpoint>, at: Timestamp, heads: Vec<Head>) -> Option<Checkpoint> {
        let pair = Ed25519KeyPair::from_seed_unchecked(self.signing_seed().expose()).ok()?;
        let number = former.map_or(Some(0), Checkpoint::number)?.saturating_add(1);
        let body = Body {
            at: at.0,
            heads: u64::try_from(heads.len()).unwrap_or(u64::MAX),
            key: hex(pair.public_key().as_ref()),
            number,
            prev: hex(&former.map_or(CHAIN_START, Checkpoint::hash)),
            root: hex(&root(&heads)),
        };
        let body = serde_json::to_string(&body).ok()?;
        let signature = pair.sign(body.as_bytes()).as_ref().to_vec();
        Some(Checkpoint { body, signature, heads })
    }
}

impl Checkpoint {
    fn read(&self) -> Option<Body> {
        let body: Body = serde_json::from_str(&self.body).ok()?;
        (serde_json::to_string(&body).ok()? == self.body).then_some(body)
    }

    /// Its number, from 1.
    pub fn number(&self) -> Option<i64> {
        self.read().map(|body| body.number)
    }

    /// When it was signed.
    pub fn at(&self) -> Option<Timestamp> {
        self.read().map(|body| Timestamp(body.at))
    }

    /// The root that was signed, in hexadecimal.
    pub fn root(&self) -> Option<String> {
        self.read().map(|body| body.root)
    }

    /// `SHA-256(body)`: what the next one names.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.body.as_bytes()).into()
    }

    /// Signature, heads, and, if the one before is known, the order.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn verify(&self, key: &PublicKey, former: Option<&Self>) -> Result<(), CheckpointFault> {
        let body = self.verify_signature(key)?;
        let count = u64::try_from(self.heads.len()).unwrap_or(u64::MAX);
        if body.heads != count || body.root != hex(&root(&self.heads)) {
            return Err(CheckpointFault::Root);
        }
        if let Some(former) = former {
            let follows = former.number().and_then(|number| number.checked_add(1)) == Some(body.number);
            if !follows || body.prev != hex(&former.hash()) {
                return Err(CheckpointFault::Order);
            }
        }
        Ok(())
    }

    /// One head against the signed root, by its path: all that an export has.
    ///
    /// # Errors
    /// The first thing that does not hold.
    pub fn verify_head(&self, key: &PublicKey, head: &Head, path: &[Step]) -> Result<(), CheckpointFault> {
        let body = self.verify_signature(key)?;
        let mut sum = leaf(head);
        for step in path {
            let sibling = unhex(&step.hash).ok_or(CheckpointFault::Shape)?;
            sum = if step.left { node(&sibling, &sum) } else { node(&sum, &sibling) };
        }
        if hex(&sum) == body.root { Ok(()) } else { Err(CheckpointFault::Root) }
    }

    fn verify_signature(&self, key: &PublicKey) -> Result<Body, CheckpointFault> {
        let verified = UnparsedPublicKey::new(&ED25519, key.0).verify(self.body.as_bytes(), &self.signature);
        verified.map_err(|_| CheckpointFault::Signature)?;
        self.read().ok_or(CheckpointFault::Shape)
    }

    /// The path from the head of a chain to the root; `None` = this checkpoint does not speak of it.
    pub fn path(&self, chain: Chain) -> Option<(Head, Vec<Step>)> {
        let mut index = self.heads.iter().position(|head| head.chain == chain)?;
        let head = *self.heads.get(index)?;
        let mut row: Vec<[u8; 32]> = self.heads.iter().map(leaf).collect();
        let mut path = Vec::new();
        while row.len() > 1 {
            let sibling = index ^ 1;
            if let Some(hash) = row.get(sibling) {
                path.push(Step { hash: hex(hash), left: sibling < index });
            }
            row = above(&row);
            index /= 2;
        }
        Some((head, path))
    }
}

fn leaf(head: &Head) -> [u8; 32] {
    let text = format!(r#"{{"chain":"{}","hash":"{}","seq":{}}}"#, head.chain, hex(&head.hash), head.sequence);
    Sha256::new().chain_update([0]).chain_update(text.as_bytes()).finalize().into()
}

fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

fn above(row: &[[u8; 32]]) -> Vec<[u8; 32]> {
    row.chunks(2)
        .filter_map(|pair| match pair {
            [left, right] => Some(node(left, right)),
            [single] => Some(*single),
            _ => None,
        })
        .collect()
}

fn root(heads: &[Head]) -> [u8; 32] {
    let mut row: Vec<[u8; 32]> = heads.iter().map(leaf).collect();
    while row.len() > 1 {
        row = above(&row);
    }
    row.first().copied().unwrap_or(CHAIN_START)
}

/// 64 hexadecimal digits in lower case.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let is_hex = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if !is_hex {
        return None;
    }
    let mut bytes = [0; 32];
    for (slot, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *slot = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}
