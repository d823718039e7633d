//! The document against the table, and against the file that is committed.

use super::*;

#[test]
fn every_row_is_in_the_document_and_nothing_else() {
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut written: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            written.push((method.to_ascii_uppercase(), path.clone()));
        }
    }
    let mut rows: Vec<(String, String)> =
        EndpointTable::rows().map(|row| (row.method.name().to_owned(), path_of(row))).collect();
    written.sort();
    rows.sort();
    assert_eq!(written, rows);
}

#[test]
fn every_reference_leads_to_a_schema() {
    let text = document();
    let document: Value = serde_json::from_str(&text).unwrap();
    for part in text.split("\"#/components/schemas/").skip(1) {
        let name = part.split('"').next().unwrap();
        assert!(document["components"]["schemas"][name].is_object(), "{name}");
    }
}

#[test]
fn the_committed_document_is_the_one_the_code_makes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == document(), "docs/openapi.json is not what the code makes: run `cargo xtask openapi`");
}

#[test]
fn a_member_that_nobody_described_is_found() {
    let body = json!({ "object": "ledger.report", "ok": true, "transfers": 1, "organizations": 1, "faults": [] });
    let compare = |body: &Value| super::compare(Operation::VerifyLedger, Method::Post, body);
    assert_eq!(compare(&body), Ok(()));
    for (name, value) in [("extra", json!(1)), ("ok", json!("yes")), ("faults", json!([1]))] {
        let mut changed = body.clone();
        changed[name] = value;
        assert!(compare(&changed).is_err(), "{changed}");
    }
    assert_eq!(compare(&json!({})).unwrap_err(), "LedgerReport: `object` is missing");
}
