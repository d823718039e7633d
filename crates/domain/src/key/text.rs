//! The text of a key.
//!
//! ```text
//! key    = prefix ["test_"] id "_" secret check
//! prefix = ALPHA *13(ALPHA / DIGIT / "_" / "-") ("_" / "-")   ; 2-15 bytes, chosen by the operator
//! id     = 12 base62     ; random and public; the object id is "key_" id
//! secret = 43 base62     ; 32 random bytes as one big-endian integer, left-padded with "0"
//! check  = 6 base62      ; CRC-32/ISO-HDLC of every byte before it, left-padded with "0"
//! ```
//! The checksum finds typos, truncation and foreign text; it is not security. Verification never decodes the secret.
//! Source: `keys.md` §1. Who asks is not known here.

use crate::base62;
use crate::id::KeyId;
use crate::secret::Secret;
use crate::time::Random;
use std::borrow::Cow;
use std::fmt::Write as _;

const TEST: &str = "test_";
const ID: usize = 12;
const SECRET: usize = 43;
const CHECK: usize = 6;
/// Everything behind prefix and `test_`.
const BODY: usize = ID + 1 + SECRET + CHECK;
/// What a mask shows is checksum only if the text is at least this long.
const MASK_CHARACTERS_MIN: usize = 24;

/// The prefixes this instance reads, longest first, and the one it writes.
#[derive(Clone, Debug)]
pub struct Prefixes {
    current: String,
    accepted: Vec<String>,
}

/// A prefix that cannot be used; names the rule it breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("key prefix `{prefix}` {rule}")]
pub struct InvalidPrefix {
    prefix: String,
    rule: &'static str,
}

impl Prefixes {
    /// The prefix of new keys, and further ones that are read.
    ///
    /// # Errors
    /// [`InvalidPrefix`]: shape, a prefix that ends in `test_`, equals another plus `test_`, or is an id prefix.
    pub fn new(current: &str, also_accept: &[String]) -> Result<Self, InvalidPrefix> {
        let mut accepted: Vec<String> =
            std::iter::once(current).chain(also_accept.iter().map(String::as_str)).map(str::to_owned).collect();
        accepted.sort_by(|a, b| b.len().cmp(&a.len()).then(a.cmp(b)));
        accepted.dedup();
        for prefix in &accepted {
            if let Some(rule) = broken_rule(prefix, &accepted) {
                return Err(InvalidPrefix { prefix: prefix.clone(), rule });
            }
        }
        Ok(Self { current: current.to_owned(), accepted })
    }

    /// The prefix of new keys.
    pub fn current(&self) -> &str {
        &self.current
    }

    /// Whether keys with this prefix are read.
    pub fn is_accepted(&self, prefix: &str) -> bool {
        self.accepted.iter().any(|accepted| accepted == prefix)
    }

    /// Every prefix that is read, longest first.
    pub fn accepted(&self) -> impl Iterator<Item = &str> {
        self.accepted.iter().map(String::as_str)
    }

    /// The longest accepted prefix that the text begins with.
    fn of<'a>(&'a self, text: &str) -> Option<&'a str> {
        self.accepted.iter().map(String::as_str).find(|prefix| text.starts_with(prefix))
    }
}

fn broken_rule(prefix: &str, all: &[String]) -> Option<&'static str> {
    let shape = (2..=15).contains(&prefix.len())
        && prefix.starts_with(|first: char| first.is_ascii_alphabetic())
        && prefix.ends_with(['_', '-'])
        && prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    // The types of `keys.md` §3, and those of this program's other ids.
    const IDS: [&str; 16] = [
        "key_", "org_", "usr_", "env_", "agt_", "sec_", "inv_", "ses_", "aud_", "bud_", "trs_", "req_", "task_",
        "grt_", "pv_", "reg_",
    ];
    if !shape {
        Some("must have 2 to 15 letters, digits, `_` or `-`, begin with a letter and end in `_` or `-`")
    } else if prefix.ends_with(TEST) {
        Some("must not end in `test_`, which marks test keys")
    } else if all.iter().any(|other| prefix.strip_prefix(other.as_str()) == Some(TEST)) {
        Some("must not equal another prefix plus `test_`")
    } else if IDS.contains(&prefix) {
        Some("begins ids, not keys")
    } else {
        None
    }
}

/// A text whose shape and checksum hold; whether the key exists is another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyText {
    /// The public id in it.
    pub id: KeyId,
    /// Whether it says `test_`.
    pub is_test: bool,
}

impl KeyText {
    /// Reads prefix, shape and checksum, in that order; costs no look-up.
    ///
    /// # Errors
    /// [`Diagnosis`]: what is wrong with the text, in the words of `keys.md` §2.2.
    pub fn parse(text: &[u8], prefixes: &Prefixes) -> Result<Self, Diagnosis> {
        std::str::from_utf8(text)
            .ok()
            .and_then(|text| Self::well_formed(text, prefixes))
            .ok_or_else(|| Diagnosis::of(text, prefixes))
    }

    /// Whether a text that is no key of ours may be one made elsewhere: 16 to 256 characters that header values have.
    pub fn may_be_foreign(text: &[u8]) -> bool {
        let is_usual = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(byte);
        (16..=256).contains(&text.len()) && text.iter().all(is_usual)
    }

    /// As [`Self::parse`], for whoever does not ask why not.
    pub(super) fn well_formed(text: &str, prefixes: &Prefixes) -> Option<Self> {
        let rest = text.strip_prefix(prefixes.of(text)?)?;
        let (rest, is_test) = rest.strip_prefix(TEST).map_or((rest, false), |rest| (rest, true));
        if rest.len() != BODY || rest.as_bytes().get(ID) != Some(&b'_') {
            return None;
        }
        let symbols =
            |from: usize, to: usize| rest.get(from..to).is_some_and(|part| part.bytes().all(base62::is_symbol));
        let id = KeyId::from_symbols(rest.as_bytes().get(..ID)?)?;
        if !symbols(ID + 1, BODY) {
            return None;
        }
        let (before, check) = text.split_at_checked(text.len().checked_sub(CHECK)?)?;
        (checksum(before.as_bytes()).as_slice() == check.as_bytes()).then_some(Self { id, is_test })
    }
}

/// CRC-32/ISO-HDLC as six base62 symbols: 0 → `000000`, 2³²−1 → `4gfFC3`.
fn checksum(bytes: &[u8]) -> [u8; CHECK] {
    base62::encode_u128(u128::from(crc32fast::hash(bytes)))
}

/// What is wrong with a text that is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// It is the id of a key.
    KeyId,
    /// It is the form that lists show.
    Shortened,
    /// The 1-based character that no key has.
    ForeignCharacter(usize),
    /// It begins with no accepted prefix; the prefix of new keys.
    ForeignPrefix(String),
    /// Length seen, length expected.
    CutOff(usize, usize),
    /// Length seen, length expected.
    SomethingAdded(usize, usize),
    /// A character was changed or lost.
    Checksum,
}

impl Diagnosis {
    fn of(bytes: &[u8], prefixes: &Prefixes) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let is_symbols = |part: &str, length: usize| part.len() == length && part.bytes().all(base62::is_symbol);
        let prefix = prefixes.of(&text);
        let behind = |prefix: &str| text.strip_prefix(prefix).map(str::to_owned);
        if [Some(KeyId::PREFIX), prefix]
            .into_iter()
            .flatten()
            .any(|start| behind(start).is_some_and(|rest| is_symbols(&rest, ID)))
        {
            return Self::KeyId;
        }
        if text.contains('…') || text.contains("****") {
            return Self::Shortened;
        }
        let is_foreign = |character: char| !(character.is_ascii_alphanumeric() || character == '_' || character == '-');
        if let Some(index) = text.chars().position(is_foreign) {
            return Self::ForeignCharacter(index.saturating_add(1));
        }
        let Some(prefix) = prefix else { return Self::ForeignPrefix(prefixes.current.clone()) };
        let is_test = behind(prefix).is_some_and(|rest| rest.starts_with(TEST));
        let expected = prefix.len().saturating_add(BODY).saturating_add(if is_test { TEST.len() } else { 0 });
        match text.len() {
            length if length < expected => Self::CutOff(length, expected),
            length if length > expected => Self::SomethingAdded(length, expected),
            _ => Self::Checksum,
        }
    }

    /// The sentence that follows `Incorrect API key provided: <mask>.`
    pub fn sentence(&self) -> String {
        match self {
            Self::KeyId => "That is a key id; the key itself is shown only when it is created or rotated.".to_owned(),
            Self::Shortened => "That is the shortened form shown in lists.".to_owned(),
            Self::ForeignCharacter(n) => format!("Character {n} cannot occur in a key."),
            Self::ForeignPrefix(prefix) => format!("Keys here start with '{prefix}'."),
            Self::CutOff(seen, expected) => {
                format!("It has {seen} characters, a key has {expected}: it looks cut off.")
            }
            Self::SomethingAdded(seen, expected) => {
                format!("It has {seen} characters, a key has {expected}: something was added.")
            }
            Self::Checksum => "Its checksum does not match: a character was changed or lost.".to_owned(),
        }
    }
}

/// How an error text shows a presented text: prefix + `****` + last 4; without the prefix when it has another one;
/// `****` alone below 24 characters or when the end is not plain text.
pub fn mask(text: &[u8], prefixes: &Prefixes) -> String {
    let mut shown = String::new();
    let text = String::from_utf8_lossy(text);
    if text.len() >= MASK_CHARACTERS_MIN {
        shown.push_str(prefixes.of(&text).unwrap_or_default());
    }
    shown.push_str("****");
    let last = text.len().checked_sub(4).and_then(|from| text.get(from..));
    if let Some(last) = last.filter(|last| text.len() >= MASK_CHARACTERS_MIN && last.bytes().all(base62::is_symbol)) {
        shown.push_str(last);
    }
    shown
}

/// A caller's text as it may be logged, stored and answered: whatever looks like a key in it is masked.
///
/// Wherever an accepted prefix stands, with or without something before it, the run of key characters behind it counts
/// if it is long enough to hold part of a secret, whether or not its checksum holds.
pub fn redacted<'a>(text: &'a str, prefixes: &Prefixes) -> Cow<'a, str> {
    let mut shown = Cow::Borrowed("");
    let mut rest = text;
    while let Some((before, key, behind)) = next_key(rest, prefixes) {
        let shown = shown.to_mut();
        shown.push_str(before);
        shown.push_str(&mask(key.as_bytes(), prefixes));
        rest = behind;
    }
    if shown.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    shown.to_mut().push_str(rest);
    shown
}

/// What stands before the first text that looks like a key, that text, and what stands behind it.
fn next_key<'a>(text: &'a str, prefixes: &Prefixes) -> Option<(&'a str, &'a str, &'a str)> {
    let is_key_character = |character: char| character.is_ascii_alphanumeric() || character == '_' || character == '-';
    let places = prefixes.accepted.iter().flat_map(|prefix| text.match_indices(prefix.as_str()));
    let is_key = |(at, _): &(usize, &str)| {
        let run = text.get(*at..).unwrap_or_default();
        run.find(|character| !is_key_character(character)).unwrap_or(run.len()) >= MASK_CHARACTERS_MIN
    };
    let (at, _) = places.filter(is_key).min_by_key(|(at, _)| *at)?;
    let (before, run) = text.split_at_checked(at)?;
    let end = run.find(|character| !is_key_character(character)).unwrap_or(run.len());
    let (key, behind) = run.split_at_checked(end)?;
    Some((before, key, behind))
}

/// A key text just made: shown once, never stored.
#[derive(Debug)]
pub struct MintedKey {
    /// The public id in it.
    pub id: KeyId,
    /// The whole text.
    pub text: Secret<String>,
    /// How lists show it: `clv_…min8`, `clv_test_…eFg4`.
    pub redacted: String,
}

impl MintedKey {
    /// Draws 256 random bits and writes the text around them.
    pub fn mint(prefix: &str, is_test: bool, id: KeyId, random: &mut dyn Random) -> Self {
        let mut secret = [0_u8; 32];
        random.fill(&mut secret);
        Self::from_secret(prefix, is_test, id, &secret)
    }

    fn from_secret(prefix: &str, is_test: bool, id: KeyId, secret: &[u8; 32]) -> Self {
        let start = format!("{prefix}{}", if is_test { TEST } else { "" });
        let mut text = String::with_capacity(start.len().saturating_add(BODY));
        text.push_str(&start);
        for part in [id.symbols().as_slice(), b"_", base62::encode_256(secret).as_slice()] {
            text.push_str(std::str::from_utf8(part).unwrap_or_default());
        }
        let check = checksum(text.as_bytes());
        text.push_str(std::str::from_utf8(&check).unwrap_or_default());
        let mut redacted = start;
        // Writing to a String cannot fail.
        let _ = write!(redacted, "…{}", text.get(text.len().saturating_sub(4)..).unwrap_or_default());
        Self { id, text: Secret::new(text), redacted }
    }
}

#[cfg(test)]
mod tests;
