//! The record's canonical text, its link, and what a reader refuses.

use super::*;

const KEY: [u8; 32] = [1; 32];

fn record() -> AuditRecord {
    let at = Timestamp(1_763_712_000_123_456);
    let by = Attribution {
        credential: "key_0000000000AZ".into(),
        address: "192.0.2.7".into(),
        client: "openai-python/2".into(),
        ..Attribution::local(Actor::Key("key_0000000000AZ".into()), "req_1", at)
    };
    AuditRecord {
        id: "aud_1".into(),
        chain: Chain::Instance,
        sequence: 1,
        attribution: by,
        action: Action::KeyCreated,
        outcome: Outcome::Succeeded,
        target: "key_1".into(),
        changes: vec![
            FieldChange { field: "name".into(), from: None, to: Some("Ann's \"key\"\n".into()) },
            FieldChange { field: "state".into(), from: Some("enabled".into()), to: Some("disabled".into()) },
        ],
        confirmation: None,
    }
}

#[test]
fn any_changed_part_breaks_the_link() {
    let sealed = record().seal(CHAIN_START, &KEY.into());
    let mut other = record();
    other.target = "key_2".into();
    assert_ne!(other.seal(CHAIN_START, &KEY.into()).link.hash, sealed.link.hash);
    assert_ne!(record().seal([9; 32], &KEY.into()).link.hash, sealed.link.hash);
    assert_ne!(record().seal(CHAIN_START, &[2; 32].into()).link.mac, sealed.link.mac);
}

#[test]
fn personal_values_stand_beside_the_text_and_never_in_it() {
    let sealed = record().seal(CHAIN_START, &KEY.into());
    for value in ["192.0.2.7", "openai-python", "Ann"] {
        assert!(!sealed.body.contains(value), "{}", sealed.body);
    }
    assert!(sealed.body.contains(r#""from":"enabled","to":"disabled""#), "{}", sealed.body);
    let slots: Vec<&str> = sealed.personal.iter().map(|personal| personal.slot.as_str()).collect();
    assert_eq!(slots, ["ip", "client", "changes.0.to"]);
    assert_eq!(AuditRecord::read(&sealed.body, &sealed.personal), Ok(record()));
    // Erased, the record still reads and verifies; only the values are gone.
    let erased = AuditRecord::read(&sealed.body, &[]).expect("it reads");
    assert!(erased.attribution.address.starts_with("salted:"));
    let mut swapped = sealed.personal.clone();
    swapped[0].value = "192.0.2.8".into();
    assert_eq!(AuditRecord::read(&sealed.body, &swapped), Err(Unreadable::Value("ip".into())));
    // Another process salts the same value otherwise.
    let elsewhere = record().seal(CHAIN_START, &AuditKey::new(KEY, [5; 32]));
    assert_ne!(elsewhere.body, sealed.body);
}

/// RFC 8785, 3.2.2.2 and 3.2.3: members sorted, short escapes where there are any, lower-case hexadecimal elsewhere,
/// everything beyond ASCII as itself.
#[test]
fn the_text_is_canonical_json() {
    let mut plain = record();
    plain.attribution = Attribution::local(Actor::System, "", Timestamp(5));
    plain.changes = vec![FieldChange {
        field: "state".into(),
        from: Some("\u{20ac}$\u{f}\u{a}A'\u{42}\u{22}\u{5c}\\\"/\u{7f}\u{1f600}".into()),
        to: None,
    }];
    let zeros = "0".repeat(64);
    assert_eq!(
        plain.seal(CHAIN_START, &KEY.into()).body,
        format!(
            "{{\"action\":\"api_key.created\",\"actor\":{{\"id\":\"claviger\",\"kind\":\"system\"}},\"at\":5,\
             \"changes\":[{{\"field\":\"state\",\"from\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\u{7f}\u{1f600}\",\"to\":null}}],\
             \"client\":null,\"confirmation\":null,\"credential\":null,\"id\":\"aud_1\",\"ip\":null,\"org\":null,\
             \"outcome\":\"succeeded\",\"prev\":\"{zeros}\",\"request_id\":null,\"seq\":1,\"target\":\"key_1\"}}"
        )
    );
}

#[test]
fn a_text_that_reads_alike_but_is_not_the_same_bytes_is_refused() {
    let body = record().seal(CHAIN_START, &KEY.into()).body;
    let cases = [
        body.replacen(r#""seq":1"#, r#""seq": 1"#, 1),
        body.replacen(r#""seq":1,"target":"key_1""#, r#""target":"key_1","seq":1"#, 1),
        body.replacen("aud_1", "\\u0061ud_1", 1),
    ];
    for other in cases {
        assert_eq!(AuditRecord::read(&other, &[]), Err(Unreadable::NotCanonical), "{other}");
    }
    let twice = body.replacen(r#""seq":1,"#, r#""seq":1,"seq":1,"#, 1);
    let more = body.replacen(r#""seq":1,"#, r#""seq":1,"zzz":1,"#, 1);
    for other in [twice, more, "{}".to_owned(), String::new()] {
        assert!(matches!(AuditRecord::read(&other, &[]), Err(Unreadable::Shape(_))), "{other}");
    }
}
