//! Tokens of sessions, invites and links: 256 random bits that one holder knows, and the digest that is stored.
//!
//! A token is 43 base62 symbols. The set-up code is typed by people: 32 symbols of RFC 4648's base 32 without padding in
//! groups of four, 160 bits; read back in any case, with or without the hyphens. The code by which somebody consents to a
//! command line has eight consonants (RFC 8628 §6.1): it is no secret, it only tells which one is meant. Stored is SHA-256 of the text's
//! canonical form: as much randomness needs no pepper.

use crate::base62;
use crate::right::words;
use crate::secret::{Digest, Secret};
use crate::time::Random;
use sha2::{Digest as _, Sha256};

words! {
    /// What a one-time token opens.
    TokenKind {
        /// The first owner's set-up.
        SetUp = "setup";
        /// Proof that mail to an address arrives.
        Verify = "verify";
        /// A new password.
        Reset = "reset";
        /// The way to an identity provider and back.
        Oidc = "oidc";
        /// The challenge of a passkey.
        Passkey = "passkey";
        /// A command line that waits for its user's consent.
        Device = "device";
        /// What is typed to consent to it.
        UserCode = "user_code";
    }
}

/// The symbols of set-up codes: no 0, 1, 8, 9, which look like letters.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The symbols of the code for a command line: no vowels, so that no words come about.
const CONSONANTS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// A token's text.
#[derive(Clone, Debug)]
pub struct Token(Secret<String>);

impl Token {
    /// Draws a token of 256 bits.
    pub fn draw(random: &mut dyn Random) -> Self {
        let mut bytes = [0_u8; 32];
        random.fill(&mut bytes);
        let symbols = base62::encode_256(&bytes);
        Self(Secret::new(symbols.iter().map(|symbol| char::from(*symbol)).collect()))
    }

    /// Reads a presented token; `None` for what cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_token = text.len() == 43 && text.bytes().all(base62::is_symbol);
        is_token.then(|| Self(Secret::new(text.to_owned())))
    }

    /// Draws a code for people to type: 160 bits in groups of four.
    pub fn draw_code(random: &mut dyn Random) -> Self {
        let mut bytes = [0_u8; 32];
        random.fill(&mut bytes);
        let mut text = String::with_capacity(39);
        for (index, byte) in bytes.iter().enumerate() {
            if index > 0 && index % 4 == 0 {
                text.push('-');
            }
            text.push(char::from(BASE32.get(usize::from(byte & 31)).copied().unwrap_or(b'A')));
        }
        Self(Secret::new(text))
    }

    /// Reads a typed code into its canonical form.
    pub fn parse_code(text: &str) -> Option<Self> {
        let symbols: Vec<u8> = text
            .bytes()
            .filter(|byte| !matches!(byte, b'-' | b' '))
            .map(|byte| byte.to_ascii_uppercase())
            .take(33)
            .collect();
        if symbols.len() != 32 || !symbols.iter().all(|symbol| BASE32.contains(symbol)) {
            return None;
        }
        let groups: Vec<&str> = symbols.chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
        Some(Self(Secret::new(groups.join("-"))))
    }

    /// Draws the code by which somebody consents to a command line: `BDWP-HQPK`.
    pub fn draw_user_code(random: &mut dyn Random) -> Self {
        let mut bytes = [0_u8; 16];
        random.fill(&mut bytes);
        let mut text = String::with_capacity(9);
        for (index, pair) in bytes.chunks_exact(2).enumerate() {
            if index == 4 {
                text.push('-');
            }
            // Of 65,536 values 16 are in excess: no help to somebody who guesses.
            let drawn =
                pair.iter().fold(0_usize, |drawn, byte| drawn.wrapping_mul(256).wrapping_add(usize::from(*byte)));
            text.push(char::from(CONSONANTS.get(drawn.wrapping_rem(20)).copied().unwrap_or(b'B')));
        }
        Self(Secret::new(text))
    }

    /// Reads a typed code of a command line into its canonical form.
    pub fn parse_user_code(text: &str) -> Option<Self> {
        let is_symbol = |byte: &u8| !matches!(byte, b'-' | b' ');
        let symbols: Vec<u8> = text.bytes().filter(is_symbol).map(|byte| byte.to_ascii_uppercase()).take(9).collect();
        if symbols.len() != 8 || !symbols.iter().all(|symbol| CONSONANTS.contains(symbol)) {
            return None;
        }
        let groups: Vec<&str> = symbols.chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
        Some(Self(Secret::new(groups.join("-"))))
    }

    /// The text, for the one who shall hold it.
    pub const fn expose(&self) -> &String {
        self.0.expose()
    }

    /// What is stored.
    pub fn digest(&self) -> Digest {
        Digest::from_bytes(Sha256::digest(self.0.expose().as_bytes()).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(u8);
    impl Random for Counting {
        fn fill(&mut self, bytes: &mut [u8]) {
            for byte in bytes {
                self.0 = self.0.wrapping_add(37);
                *byte = self.0;
            }
        }
    }

    #[test]
    fn a_token_is_read_back_as_it_was_drawn() {
        let token = Token::draw(&mut Counting(1));
        let read = Token::parse(token.expose()).unwrap();
        assert!(read.digest().matches(&token.digest()));
        assert_eq!(format!("{token:?}"), "Token([redacted])");
        for bad in ["", "short", &"-".repeat(43), &"a".repeat(44)] {
            assert!(Token::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let code = Token::draw_code(&mut Counting(1));
        assert_eq!(code.expose().len(), 39);
        for typed in [code.expose().clone(), code.expose().to_lowercase(), code.expose().replace('-', " ")] {
            assert!(Token::parse_code(&typed).unwrap().digest().matches(&code.digest()), "{typed}");
        }
        let code = Token::draw_user_code(&mut Counting(1));
        assert_eq!((code.expose().len(), code.expose().find('-')), (9, Some(4)));
        for typed in [code.expose().to_lowercase(), code.expose().replace('-', ""), code.expose().replace('-', " ")] {
            assert!(Token::parse_user_code(&typed).unwrap().digest().matches(&code.digest()), "{typed}");
        }
        for bad in ["", "BCDF-GHJ", "BCDF-GHJK-L", "ACDF-GHJK"] {
            assert!(Token::parse_user_code(bad).is_none(), "{bad}");
        }
        assert!(Token::parse_code("ABCD").is_none());
        assert!(Token::parse_code(&code.expose().replacen(char::is_alphabetic, "1", 1)).is_none());
    }
}
