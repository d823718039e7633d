//! P9: an export that was tampered with at random is found, and the first record that does not fit is named.
//!
//! The tamperer may do everything but sign: flip, delete, swap, truncate, insert, and make every hash behind the change
//! anew. Every run does 10,000.

use super::*;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};

const RECORDS: usize = 12;
const TAMPERINGS: u32 = 10_000;

fn below(random: &mut TestRng, bound: usize) -> usize {
    usize::try_from(random.next_u64() % u64::try_from(bound).expect("small")).expect("small")
}

/// An honest export: its lines, the last one the checkpoint.
fn export(key: &AuditKey, chain: Chain) -> Vec<String> {
    let (mut previous, mut lines) = (CHAIN_START, Vec::new());
    for number in 1..=RECORDS {
        let sequence = i64::try_from(number).expect("small");
        let by = Attribution {
            address: format!("192.0.2.{number}"),
            ..Attribution::local(
                Actor::User(format!("usr_{}", number % 3)),
                format!("req_{number}"),
                Timestamp(sequence * 1000),
            )
        };
        let change = |field: &str| FieldChange { field: field.into(), from: None, to: Some(format!("value {number}")) };
        let record = AuditRecord {
            id: format!("aud_{number}"),
            chain,
            sequence,
            attribution: by,
            action: Action::KeyUpdated,
            outcome: Outcome::Succeeded,
            target: format!("key_{number}"),
            changes: vec![change("name"), change("state")],
            confirmation: None,
        };
        let sealed = record.seal(previous, key);
        previous = sealed.link.hash;
        lines.push(record_line(&sealed.body, &sealed.link.hash, &sealed.personal).expect("a line"));
    }
    let head = |chain, sequence, hash| Head { chain, sequence, hash };
    let other = Chain::Organization(OrganizationId::from_u128(77));
    let heads = vec![head(other, 5, [5; 32]), head(chain, 12, previous), head(Chain::Instance, 9, [6; 32])];
    let checkpoint = key.checkpoint(None, Timestamp(99), heads).expect("signed");
    lines.push(proof_line(&checkpoint, chain).expect("a line"));
    lines
}

fn verdict(lines: &[String], key: PublicKey) -> Result<(Chain, u64), ChainFault> {
    let mut check = ExportCheck::new(key);
    for line in lines {
        check.line(line);
    }
    check.finish()
}

/// Makes hashes and `prev` anew from a line on, as somebody does who can compute but not sign.
fn chain_again(lines: &mut [String], from: usize) {
    let mut previous = Some("0".repeat(64));
    for (index, line) in lines.iter_mut().enumerate() {
        let Ok(mut value) = serde_json::from_str::<serde_json::Value>(line) else { return };
        if value["record"].is_null() {
            return;
        }
        if index >= from {
            if let Some(previous) = &previous {
                value["record"]["prev"] = previous.clone().into();
            }
            value["record"]["seq"] = (index + 1).into();
            let bytes = |text: &str| checkpoint::unhex(text).unwrap_or_default();
            let before = bytes(value["record"]["prev"].as_str().unwrap_or_default());
            let hash = chain::hash(&before, &value["record"].to_string());
            value["hash"] = body::hex(&hash).into();
            *line = value.to_string();
        }
        previous = value["hash"].as_str().map(str::to_owned);
    }
}

/// Tampers, and says which record is the first that is not as it was (from 1), and how it was done.
fn tamper(lines: &mut Vec<String>, random: &mut TestRng) -> (usize, &'static str) {
    let records = lines.len() - 1;
    let at = below(random, records);
    match below(random, 8) {
        0 => {
            // A flip of any byte of any line, the checkpoint's included.
            let line = below(random, lines.len());
            let mut bytes = lines[line].clone().into_bytes();
            let place = below(random, bytes.len());
            bytes[place] ^= 1 << below(random, 7);
            lines[line] = String::from_utf8_lossy(&bytes).into_owned();
            (line + 1, "flip")
        }
        1 => {
            lines.remove(at);
            (at + 1, "delete")
        }
        2 => {
            let other = (at + 1 + below(random, records - 1)) % records;
            lines.swap(at, other);
            (at.min(other) + 1, "swap")
        }
        3 => {
            lines.drain(at..records);
            (at + 1, "truncate")
        }
        4 => {
            let copy = lines[below(random, records)].clone();
            lines.insert(at, copy.clone());
            // A copy in front of its own original changes nothing up to there.
            let first = if lines[at + 1] == copy { at + 2 } else { at + 1 };
            (first, "insert")
        }
        5 => {
            lines[at] = lines[at].replace("key_", "kez_");
            chain_again(lines, at);
            // What is told apart is where the chain leaves the signed one: at its end.
            (records, "re-chain")
        }
        6 => {
            lines.remove(at);
            chain_again(lines, at);
            (records, "delete and re-chain")
        }
        _ => {
            lines.drain(at..);
            (at + 1, "cut off with its checkpoint")
        }
    }
}

#[test]
fn random_tamperings_of_an_export_are_all_found_and_the_first_record_named() {
    let key = AuditKey::from([1; 32]);
    let public = key.public_key().expect("a key");
    let chain = Chain::Organization(OrganizationId::from_u128(42));
    let honest = export(&key, chain);
    assert_eq!(verdict(&honest, public), Ok((chain, 12)));
    let mut random = TestRng::from_seed(RngAlgorithm::ChaCha, &[42; 32]);
    let (mut done, mut by_kind) = (0, std::collections::BTreeMap::new());
    while done < TAMPERINGS {
        let mut lines = honest.clone();
        let (first, kind) = tamper(&mut lines, &mut random);
        if lines == honest {
            continue;
        }
        done += 1;
        *by_kind.entry(kind).or_insert(0_u32) += 1;
        let fault = verdict(&lines, public).expect_err(&format!("{kind} at {first} passed: {lines:#?}"));
        let first = i64::try_from(first).expect("small");
        let named = match kind {
            // The hashes agree up to the end, and only the signature knows better: the end is what it names.
            "re-chain" | "delete and re-chain" => (first - 1..=first + 1).contains(&fault.sequence),
            // A fault of the checkpoint's own line stands behind the last record.
            _ => fault.sequence == first.min(13),
        };
        assert!(named, "{kind}: {first} was the first, {fault:?} was named");
    }
    assert!(by_kind.len() >= 8 && by_kind.values().all(|count| *count > 500), "{by_kind:?}");
}
