//! Keys in any bytes: by prefix, shape and checksum, as a scanner of source code finds them (`keys.md` §1.3).
//!
//! With the checksum a chance match is 1 in 4·10⁹, so what is found is a key. Whose, and whether it still admits, is not
//! known here.

use super::text::{KeyText, Prefixes};
use std::ops::Range;

/// What stands behind a prefix: id, `_`, secret and checksum; with `test_` five more.
const BODIES: [usize; 2] = [62, 67];

/// The longest key: bytes that a reader of pieces must keep from one piece to the next, with one on each side.
pub const LONGEST: usize = 15 + 67 + 2;

/// A key that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// Where it stands.
    pub range: Range<usize>,
    /// What it says about itself.
    pub key: KeyText,
    /// How it may be shown.
    pub shown: String,
}

/// Every key in these bytes, in their order. A key that touches a further letter or digit is part of something else.
pub fn find(bytes: &[u8], prefixes: &Prefixes) -> Vec<Leak> {
    let mut found = Vec::new();
    for prefix in prefixes.accepted() {
        for start in memchr::memmem::find_iter(bytes, prefix.as_bytes()) {
            let is_word = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphanumeric);
            if is_word(start.checked_sub(1)) {
                continue;
            }
            let leak = BODIES.iter().find_map(|body| {
                let end = start.checked_add(prefix.len())?.checked_add(*body)?;
                let text = bytes.get(start..end).filter(|_| !is_word(Some(end)))?;
                // Shape first: `parse` explains what it refuses, which costs more than looking.
                let text = std::str::from_utf8(text).ok()?;
                let key = KeyText::well_formed(text, prefixes)?;
                let last = text.get(text.len().checked_sub(4)?..)?;
                let shown = format!("{prefix}{}…{last}", if key.is_test { "test_" } else { "" });
                Some(Leak { range: start..end, key, shown })
            });
            found.extend(leak);
        }
    }
    found.sort_by_key(|leak| leak.range.start);
    found.dedup_by_key(|leak| leak.range.start);
    found
}

/// The pattern that finds candidates, for scanners that have no checksum (`keys.md` §1.3).
pub fn pattern(prefixes: &Prefixes) -> String {
    let mut list: Vec<&str> = prefixes.accepted().collect();
    list.sort_by_key(|prefix| (*prefix != prefixes.current(), *prefix));
    // A prefix holds no character that means something in a pattern, but for `-`, which means nothing outside a class.
    format!("(?<![0-9A-Za-z])({})(test_)?[0-9A-Za-z]{{12}}_[0-9A-Za-z]{{49}}(?![0-9A-Za-z])", list.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "clv_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2xmin8";
    const V2: &str = "clv_test_0000000000AZ_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf2geFg4";
    const V4: &str = "sk-7hQ2mZx9KpLd_CVnl6Ziv7EryEkv2pKM7v4Kqo6D1IrkcST7HTSeWbT44WaOrT";

    fn prefixes() -> Prefixes {
        Prefixes::new("clv_", &["eco_".to_owned(), "sk-".to_owned()]).expect("good prefixes")
    }

    #[test]
    fn keys_are_found_wherever_they_stand_and_shown_without_their_secret() {
        let text = format!("key={V1}\n\"{V2}\", curl -H 'Authorization: Bearer {V4}';_{V1}_{V4}");
        let found = find(text.as_bytes(), &prefixes());
        let shown: Vec<(&str, bool)> = found.iter().map(|leak| (leak.shown.as_str(), leak.key.is_test)).collect();
        assert_eq!(
            shown,
            [
                ("clv_…min8", false),
                ("clv_test_…eFg4", true),
                ("sk-…aOrT", false),
                ("clv_…min8", false),
                ("sk-…aOrT", false)
            ]
        );
        assert_eq!(&text[found[0].range.clone()], V1);
        assert!(LONGEST >= V2.len() + 2 + 11);
    }

    /// N1 to N4 and N9, and what only looks like a key.
    #[test]
    fn what_is_no_key_is_not_found() {
        let wrong = V1.replace("min8", "min9");
        let swapped = V1.replace("_003a", "_00a3");
        let foreign = V1.replace("clv_", "eco_");
        let live = V2.replace("test_", "");
        let longer = format!("{V1}x");
        let inside = format!("x{V1}");
        for text in [&wrong, &swapped, &foreign, &live, &longer, &inside, &V1[..45].to_owned(), &String::new()] {
            assert_eq!(find(text.as_bytes(), &prefixes()), vec![], "{text}");
        }
        assert_eq!(find(V4.as_bytes(), &Prefixes::new("clv_", &[]).expect("good")), vec![], "nobody accepts sk- here");
    }

    #[test]
    fn the_pattern_is_the_published_one() {
        assert_eq!(
            pattern(&prefixes()),
            "(?<![0-9A-Za-z])(clv_|eco_|sk-)(test_)?[0-9A-Za-z]{12}_[0-9A-Za-z]{49}(?![0-9A-Za-z])"
        );
    }
}
