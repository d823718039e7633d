//! Which passwords everybody guesses first.
//!
//! A list of leaked passwords, and their usual disguises: other case, letters as digits, digits and signs around the word,
//! the word twice. Passphrases of several words are not on it.

use std::collections::HashSet;
use std::sync::LazyLock;

const LIST: &str = include_str!("guessable.txt");

static COMMON: LazyLock<HashSet<&str>> =
    LazyLock::new(|| LIST.lines().filter(|line| !line.starts_with("# ")).collect());

/// Whether a password, in lower case, is on the list, or is one in disguise.
pub(super) fn is_common(password: &str) -> bool {
    let is_listed = |text: &str| COMMON.contains(text);
    let stem = stem(password);
    is_listed(password)
        || has_few_symbols(password)
        || is_sequence(password)
        || stem.len() < 4 && !password.contains(' ')
        || is_listed(&stem)
        || repeated(&stem).is_some_and(is_listed)
        || repeated(password).is_some_and(|part| is_listed(part) || part.chars().count() <= 4)
}

/// A password without its disguise: digits and signs around it removed, then digits that stand for letters turned back.
pub(super) fn stem(password: &str) -> String {
    let core = password.trim_matches(|character: char| !character.is_alphabetic());
    core.chars()
        .map(|character| match character {
            '0' => 'o',
            '1' | '!' => 'i',
            '3' => 'e',
            '4' | '@' => 'a',
            '5' | '$' => 's',
            '7' => 't',
            other => other,
        })
        .collect()
}

/// The part that the text is several copies of.
fn repeated(text: &str) -> Option<&str> {
    let length = text.len();
    (1..=length / 2)
        .filter(|size| length.is_multiple_of(*size))
        .filter_map(|size| text.get(..size))
        .find(|part| text.as_bytes().chunks(part.len()).all(|chunk| chunk == part.as_bytes()))
}

fn has_few_symbols(text: &str) -> bool {
    text.chars().collect::<HashSet<_>>().len() < 4
}

/// `abcdefghijkl`, `123456789012`, and such downwards.
fn is_sequence(text: &str) -> bool {
    let bytes = text.as_bytes();
    let steps = |by: i16| {
        let follows = |pair: &[u8]| {
            matches!(pair, [a, b] if i16::from(*b) - i16::from(*a) == by
            || (*a == b'9' && *b == b'0') || (*a == b'0' && *b == b'9'))
        };
        bytes.windows(2).all(follows)
    };
    steps(1) || steps(-1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_passwords_and_their_disguises_are_known() {
        for password in [
            "password1234",
            "p@ssw0rd2026!",
            "passwordpassword",
            "qwertyqwerty",
            "123456789012",
            "abcdefghijkl",
            "aaaaaaaaaaaa",
            "abcabcabcabc",
            "dragon123456",
            "1q2w3e4r5t6y",
            "!!!sunshine!!!",
            "202020202020",
        ] {
            assert!(is_common(password), "{password}");
        }
    }

    #[test]
    fn passphrases_and_random_texts_are_not() {
        for password in [
            "correct horse battery staple",
            "correct horse battery",
            "x7!kq02m-vlpz",
            "tulip radio 94 mast",
            "ich-mag-gelbe-enten",
        ] {
            assert!(!is_common(password), "{password}");
        }
    }
}
