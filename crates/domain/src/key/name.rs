//! Names and labels as people write them: `text n` of `keys.md` §3. What they name is not known here.

use crate::error::Code;
use crate::limits;
use unicode_normalization::UnicodeNormalization;

/// A name as people write it: 1 to 100 Unicode scalars, NFC, verbatim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

/// A billing label: 1 to 64 Unicode scalars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTag(String);

impl Name {
    /// Checks and normalises.
    ///
    /// # Errors
    /// `InvalidName`: empty, too long, only spaces, control or bidi-override characters.
    pub fn parse(text: &str) -> Result<Self, Code> {
        label(text, 100).map(Self).ok_or(Code::InvalidName)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SourceTag {
    /// Checks and normalises.
    ///
    /// # Errors
    /// `InvalidTag`: as for names, at most 64 characters.
    pub fn parse(text: &str) -> Result<Self, Code> {
        label(text, limits::SOURCE_TAG_CHARACTERS).map(Self).ok_or(Code::InvalidTag)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where people keep a key, in their words: 1 to 200 Unicode scalars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredIn(String);

impl StoredIn {
    /// Checks and normalises.
    ///
    /// # Errors
    /// `InvalidValue`: as for names, at most 200 characters.
    pub fn parse(text: &str) -> Result<Self, Code> {
        label(text, 200).map(Self).ok_or(Code::InvalidValue)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `text n` of `keys.md` §3: NFC, no control or bidi-override characters, not only spaces.
fn label(text: &str, characters_max: usize) -> Option<String> {
    let normal: String = text.nfc().collect();
    let is_bad = |character: char| {
        character.is_control() || matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
    };
    let count = normal.chars().count();
    let is_good = (1..=characters_max).contains(&count) && !normal.trim().is_empty() && !normal.chars().any(is_bad);
    is_good.then_some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_verbatim_in_nfc() {
        assert_eq!(Name::parse("production backend").unwrap().as_str(), "production backend");
        assert_eq!(Name::parse("e\u{301}").unwrap().as_str(), "é");
        assert_eq!(Name::parse("<img src=x onerror=…>").unwrap().as_str(), "<img src=x onerror=…>");
        for bad in ["", "   ", "a\u{202E}b", "a\0", "a\nb", &"x".repeat(101)] {
            assert_eq!(Name::parse(bad), Err(Code::InvalidName));
        }
        assert_eq!(SourceTag::parse("=cmd|'/C calc'!A0").unwrap().as_str(), "=cmd|'/C calc'!A0");
        assert_eq!(SourceTag::parse(&"x".repeat(65)), Err(Code::InvalidTag));
    }
}
