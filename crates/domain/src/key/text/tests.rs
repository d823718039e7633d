//! The vectors of `keys.md` §1.2.

use super::*;
use crate::secret::Pepper;
use sha2::{Digest as _, Sha256};

const V1: &str = "clv_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xmin8";
const V2: &str = "clv_test_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2geFg4";
const V3: &str = "eco_7hQ2mZx9KpLd_CVnl6Ziv7EryEkv2pKM7v4Kqo6D1IrkcST7HTSeWbT43JtZ7G";
const V4: &str = "sk-7hQ2mZx9KpLd_CVnl6Ziv7EryEkv2pKM7v4Kqo6D1IrkcST7HTSeWbT44WaOrT";
const V5: &str = "clv_000000000000_000000000000000000000000000000000000000000034B0JV";
const V6: &str = "clv_zzzzzzzzzzzz_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp14R84I4";

fn prefixes() -> Prefixes {
    Prefixes::new("clv_", &["eco_".to_owned()]).unwrap()
}

fn pepper(version: u16) -> Pepper {
    let counting: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
    Pepper::new(version, if version == 1 { counting } else { [0xFF; 32] })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn texts_and_digests_of_the_vectors() {
    let counting: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
    let hashed: [u8; 32] = Sha256::digest(b"claviger vector").into();
    let cases = [
        (
            "clv_",
            false,
            "0000000000AZ",
            counting,
            V1,
            "190d21db0ff619c13a409eddad2c516ff49983647632e2d3e2f1f625fb8fa198",
        ),
        (
            "clv_",
            true,
            "0000000000AZ",
            counting,
            V2,
            "d52fae2123b9fd3ca5e037743edf84515ed5ea722a4c3aedd66ed8c9523718a2",
        ),
        ("eco_", false, "7hQ2mZx9KpLd", hashed, V3, "b3cfbf7326b315a46ec47cf8d2759ac9f27779b281530c850d0a4effb589b36d"),
        ("sk-", false, "7hQ2mZx9KpLd", hashed, V4, "720bf0b262bd591d3e795a11b69644d3addadac8a6282bafb6c7d9b0342bd0b9"),
        (
            "clv_",
            false,
            "000000000000",
            [0; 32],
            V5,
            "457314ba7cb4dfbed28173fbdc4b3d607b6b3ee62cfc73738d90e13601b788e0",
        ),
        (
            "clv_",
            false,
            "zzzzzzzzzzzz",
            [0xFF; 32],
            V6,
            "142cd0d0228a8ee553102113d05d15d9df56f630a6436c0e742b9ee6642fa088",
        ),
    ];
    for (prefix, is_test, id, secret, text, digest) in cases {
        let id = KeyId::from_symbols(id.as_bytes()).unwrap();
        let minted = MintedKey::from_secret(prefix, is_test, id, &secret);
        assert_eq!(minted.text.expose(), text);
        assert_eq!(hex(pepper(1).digest(text.as_bytes()).as_bytes()), digest, "{text}");
        let all = Prefixes::new("clv_", &["eco_".to_owned(), "sk-".to_owned()]).unwrap();
        assert_eq!(KeyText::parse(text.as_bytes(), &all), Ok(KeyText { id, is_test }));
    }
}

#[test]
fn other_peppers_and_imported_texts_have_their_digests() {
    assert_eq!(hex(&Sha256::digest(V1)), "712bfd0daa8dfe4c187c69323fc97677a22637ffd04778a0ac3910dd5156e57f");
    assert_eq!(
        hex(pepper(2).digest(V1.as_bytes()).as_bytes()),
        "dc9de1ec6b7826b48d446ba18af4f7fd48576d13ea4a2821752ac7d90255a8d8"
    );
    let v8 = "sk-x1VDTAFB7Ra1hldATbncOa_dddVttDvRHQibTA-Oi7ucU";
    let inner: [u8; 32] = Sha256::digest(v8).into();
    assert_eq!(hex(&inner), "dd6a2b38e688c264bac530c1468cc55b2175f0288e10e541a103f30666e5b460");
    assert_eq!(
        hex(pepper(1).digest_of_inner(&inner).as_bytes()),
        "ed84fbc184d5d4de87a26c28432eb9af60230b7dd003a7f8fb8d08036d9e29cb"
    );
    let v9 = format!("sk-{}", "A1b2C3d4".repeat(6));
    assert_eq!(
        hex(pepper(1).digest(v9.as_bytes()).as_bytes()),
        "c4244aa9eb79b80882a2040aefa39984d0ae89330101df80a2ff2e397cc6b5c2"
    );
}

#[test]
fn the_checksum_is_crc_32_iso_hdlc_in_base62() {
    assert_eq!(&checksum(b"123456789"), b"3jZRME");
    assert_eq!(&base62::encode_u128::<6>(0), b"000000");
    assert_eq!(&base62::encode_u128::<6>(u128::from(u32::MAX)), b"4gfFC3");
    assert_eq!(crc32fast::hash(&V1.as_bytes()[..V1.len() - 6]), 0xa1de_0286);
}

fn diagnosis(text: impl AsRef<[u8]>) -> Diagnosis {
    KeyText::parse(text.as_ref(), &prefixes()).unwrap_err()
}

#[test]
fn refused_by_the_text_alone() {
    assert_eq!(diagnosis(format!("{}9", &V1[..V1.len() - 1])), Diagnosis::Checksum); // N1
    assert_eq!(diagnosis(V1.replacen("_003aUl", "_00a3Ul", 1)), Diagnosis::Checksum); // N2
    assert_eq!(diagnosis(V1.replacen("clv_", "eco_", 1)), Diagnosis::Checksum); // N3
    assert_eq!(diagnosis(V2.replacen("test_", "", 1)), Diagnosis::Checksum); // N4
    assert_eq!(diagnosis("clv_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCX"), Diagnosis::CutOff(45, 66)); // N5
    assert_eq!(diagnosis(format!("{V1}x")), Diagnosis::SomethingAdded(67, 66));
    assert_eq!(diagnosis(&V2[..60]), Diagnosis::CutOff(60, 71));
    assert_eq!(diagnosis("key_0000000000AZ"), Diagnosis::KeyId); // N6
    assert_eq!(diagnosis("clv_0000000000AZ"), Diagnosis::KeyId);
    assert_eq!(diagnosis("clv_…min8"), Diagnosis::Shortened); // N7
    assert_eq!(diagnosis("clv_****min8"), Diagnosis::Shortened);
    assert_eq!(diagnosis(format!("\"{V1}\"")), Diagnosis::ForeignCharacter(1)); // N8
    assert_eq!(diagnosis(V1.replacen('0', "０", 1)), Diagnosis::ForeignCharacter(5));
    assert_eq!(diagnosis([b"clv_".as_slice(), &[0x80, 0xFF]].concat()), Diagnosis::ForeignCharacter(5));
    assert_eq!(diagnosis("a".repeat(512)), Diagnosis::ForeignPrefix("clv_".to_owned()));
    assert_eq!(diagnosis(V4), Diagnosis::ForeignPrefix("clv_".to_owned())); // N9
    assert_eq!(diagnosis("' OR '1'='1"), Diagnosis::ForeignCharacter(1));
    assert!(KeyText::parse(V1.as_bytes(), &prefixes()).is_ok()); // N10
}

#[test]
fn sentences_are_those_of_the_specification() {
    assert_eq!(Diagnosis::CutOff(45, 66).sentence(), "It has 45 characters, a key has 66: it looks cut off.");
    assert_eq!(Diagnosis::ForeignPrefix("clv_".to_owned()).sentence(), "Keys here start with 'clv_'.");
}

#[test]
fn masks_show_nothing_of_the_secret() {
    assert_eq!(mask(V1.as_bytes(), &prefixes()), "clv_****min8");
    assert_eq!(mask(V4.as_bytes(), &prefixes()), "****aOrT");
    assert_eq!(mask(b"clv_short", &prefixes()), "****");
    assert_eq!(mask(&[0xFF; 100], &prefixes()), "****");
}

#[test]
fn keys_in_other_texts_are_masked() {
    let shown = |text: &str| redacted(text, &prefixes()).into_owned();
    assert_eq!(shown("acme/chat:8b"), "acme/chat:8b");
    assert_eq!(shown(V1), "clv_****min8");
    assert_eq!(shown(&format!("/v1/models/{V1}/x?é={V2}")), "/v1/models/clv_****min8/x?é=clv_****eFg4");
    assert_eq!(shown(&format!("Bearer%20{V1}")), "Bearer%20clv_****min8");
    assert_eq!(shown(&format!("x-{V1}, {V3}")), "x-clv_****min8, eco_****tZ7G");
    assert_eq!(shown("clv_0000000000AZ"), "clv_0000000000AZ", "an id is no secret");
}

#[test]
fn prefixes_that_would_confuse_are_refused() {
    for bad in ["", "c", "clv", "1clv_", "clv_test_", "key_", "req_", "averyveryverylong_", "c l_"] {
        assert!(Prefixes::new(bad, &[]).is_err(), "{bad}");
    }
    assert!(Prefixes::new("clv_", &["clv_test_".to_owned()]).is_err());
    assert!(Prefixes::new("eco_", &["sk-".to_owned(), "sk-live-".to_owned()]).is_ok());
}

#[test]
fn display_shows_prefix_and_last_four() {
    let id = KeyId::from_symbols(b"0000000000AZ").unwrap();
    let counting: [u8; 32] = std::array::from_fn(|index| u8::try_from(index).unwrap());
    assert_eq!(MintedKey::from_secret("clv_", false, id, &counting).redacted, "clv_…min8");
    assert_eq!(MintedKey::from_secret("clv_", true, id, &counting).redacted, "clv_test_…eFg4");
}
