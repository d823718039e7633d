//! The lines of an export and of a checkpoint sink: JSON, one object a line (`keys.md` §9).
//!
//! An export verifies by itself: records from the first, then the signed checkpoint that says where the chain ends. The
//! canonical texts stand in it byte for byte, so nothing has to be made anew to be checked.

use super::body::hex;
use super::checkpoint::unhex;
use super::{AuditRecord, Chain, ChainCheck, ChainFault, Checkpoint, Found, Head, Personal, PublicKey, Step};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordLine {
    record: Box<RawValue>,
    hash: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<Personal>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeadLine {
    chain: String,
    seq: i64,
    hash: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckpointLine {
    checkpoint: Box<RawValue>,
    signature: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    heads: Vec<HeadLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    head: Option<HeadLine>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    path: Vec<Step>,
}

impl HeadLine {
    fn of(head: &Head) -> Self {
        Self { chain: head.chain.to_string(), seq: head.sequence, hash: hex(&head.hash) }
    }

    fn read(&self) -> Option<Head> {
        Some(Head { chain: self.chain.parse().ok()?, sequence: self.seq, hash: unhex(&self.hash)? })
    }
}

/// The line of one record. Its MAC stays behind: only the audit key could say whether it is right.
pub fn record_line(body: &str, hash: &[u8], values: &[Personal]) -> Option<String> {
    let record = RawValue::from_string(body.to_owned()).ok()?;
    let line = RecordLine { record, hash: hex(hash), values: values.to_vec() };
    serde_json::to_string(&line).ok()
}

/// The whole checkpoint, as a sink keeps it.
pub fn checkpoint_line(checkpoint: &Checkpoint) -> Option<String> {
    let heads = checkpoint.heads.iter().map(HeadLine::of).collect();
    let body = RawValue::from_string(checkpoint.body.clone()).ok()?;
    let line =
        CheckpointLine { checkpoint: body, signature: hex(&checkpoint.signature), heads, head: None, path: Vec::new() };
    serde_json::to_string(&line).ok()
}

/// The checkpoint with one chain's head and its path only: the last line of that chain's export.
pub fn proof_line(checkpoint: &Checkpoint, chain: Chain) -> Option<String> {
    let (head, path) = checkpoint.path(chain)?;
    let body = RawValue::from_string(checkpoint.body.clone()).ok()?;
    let (signature, head) = (hex(&checkpoint.signature), Some(HeadLine::of(&head)));
    serde_json::to_string(&CheckpointLine { checkpoint: body, signature, heads: Vec::new(), head, path }).ok()
}

/// Reads a line of a sink.
pub fn read_checkpoint(line: &str) -> Option<Checkpoint> {
    let line: CheckpointLine = serde_json::from_str(line).ok()?;
    let heads = line.heads.iter().map(HeadLine::read).collect::<Option<Vec<Head>>>()?;
    let signature = unhex_bytes(&line.signature)?;
    Some(Checkpoint { body: line.checkpoint.get().to_owned(), signature, heads })
}

/// Verifies an export line by line: needs the public key and nothing else.
#[derive(Debug)]
pub struct ExportCheck {
    key: PublicKey,
    chain: Option<ChainCheck>,
    is_closed: bool,
    lines: u64,
}

impl ExportCheck {
    /// Before the first line.
    pub const fn new(key: PublicKey) -> Self {
        Self { key, chain: None, is_closed: false, lines: 0 }
    }

    /// The next line. Gives the record, if it is one and fits.
    pub fn line(&mut self, text: &str) -> Option<AuditRecord> {
        self.lines = self.lines.saturating_add(1);
        if let Ok(line) = serde_json::from_str::<RecordLine>(text) {
            return self.record(&line);
        }
        match serde_json::from_str::<CheckpointLine>(text) {
            Ok(line) => self.close(line),
            Err(_) => {
                let number = self.lines;
                let next = self.next();
                self.check(Chain::Instance).blame(next, format!("line {number} is neither a record nor a checkpoint"));
            }
        }
        None
    }

    fn record(&mut self, line: &RecordLine) -> Option<AuditRecord> {
        #[derive(Deserialize)]
        struct Place {
            org: Option<String>,
            seq: i64,
        }
        let body = line.record.get();
        let next = self.next();
        let Ok(place) = serde_json::from_str::<Place>(body) else {
            self.check(Chain::Instance).blame(next, "the record does not read");
            return None;
        };
        let chain = place.org.as_deref().map_or(Some(Chain::Instance), |id| id.parse().ok().map(Chain::Organization));
        let is_closed = self.is_closed;
        let check = self.check(chain.unwrap_or(Chain::Instance));
        if is_closed {
            check.blame(next, "a record stands behind the checkpoint");
            return None;
        }
        let hash = unhex(&line.hash).unwrap_or_default();
        let found = Found { sequence: place.seq, body, hash: &hash, mac: &[], personal: &line.values };
        check.record(&found, None)
    }

    fn close(&mut self, line: CheckpointLine) {
        let key = self.key;
        let next = self.next();
        let head = line.head.as_ref().and_then(HeadLine::read);
        let signature = unhex_bytes(&line.signature);
        let check = self.check(head.map_or(Chain::Instance, |head| head.chain));
        let (Some(head), Some(signature)) = (head, signature) else {
            return check.blame(next, "the checkpoint does not read");
        };
        let checkpoint = Checkpoint { body: line.checkpoint.get().to_owned(), signature, heads: Vec::new() };
        if let Err(fault) = checkpoint.verify_head(&key, &head, &line.path) {
            return check.blame(next, format!("the checkpoint is not good: {fault}"));
        }
        if head.chain != check.chain() {
            return check.blame(next, "the checkpoint is of another chain");
        }
        check.ends_at(head.sequence, &head.hash, "the signed checkpoint");
        self.is_closed = true;
    }

    fn next(&self) -> i64 {
        self.chain.as_ref().map_or(1, |check| check.end().0.saturating_add(1))
    }

    fn check(&mut self, chain: Chain) -> &mut ChainCheck {
        self.chain.get_or_insert_with(|| ChainCheck::new(chain))
    }

    /// What it is, after the last line: the chain, how many records, or the first fault. An export without its signed
    /// checkpoint proves nothing about its end and is faulty.
    ///
    /// # Errors
    /// The first fault.
    pub fn finish(mut self) -> Result<(Chain, u64), ChainFault> {
        let next = self.next();
        if !self.is_closed {
            self.check(Chain::Instance).blame(next, "it ends without its signed checkpoint");
        }
        let check = self.check(Chain::Instance);
        match check.fault() {
            Some(fault) => Err(fault.clone()),
            None => Ok((check.chain(), check.records())),
        }
    }
}

fn unhex_bytes(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    text.as_bytes()
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect()
}
