//! Finds secrets where none may be: in files of any kind, plain, in hexadecimal, URL-encoded or base64, whole or any slice
//! of twelve characters.
//!
//! Knows bytes only: what is secret and where one may stand is the caller's business. Quick enough to read everything that
//! a run of the tests leaves behind, so it is optimized even in the test profile.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Characters of a slice that counts as a find.
pub const SLICE: usize = 12;

/// Bits of the filter that rules most places out: the slices of two thousand secrets fill a fortieth of it.
const FILTER_BITS: u32 = 25;

/// Read at once.
const PIECE: usize = 1 << 20;

/// The longest slice that is compared: twelve characters, URL-encoded.
const LONGEST: usize = 3 * SLICE;

/// One way to write a secret, and how many of its characters make a find.
struct Form {
    secret: usize,
    text: Vec<u8>,
    need: usize,
}

/// Secrets to be searched for.
pub struct Needles {
    names: Vec<String>,
    forms: Vec<Form>,
    /// The first twelve bytes of every slice, and where the slice begins in which form.
    slices: HashMap<[u8; SLICE], (u32, u32)>,
    filter: Vec<u64>,
    /// Whether a byte stands in any slice. Databases and journals are full of bytes that do not.
    occurs: [bool; 256],
}

impl Default for Needles {
    fn default() -> Self {
        let filter = vec![0; 1 << (FILTER_BITS - 6)];
        Self { names: Vec::new(), forms: Vec::new(), slices: HashMap::new(), filter, occurs: [false; 256] }
    }
}

impl Needles {
    /// Adds a secret under a name that may be shown. One shorter than a slice cannot be told from other text.
    pub fn add(&mut self, name: &str, secret: &str) {
        let bytes = secret.as_bytes();
        if bytes.len() < SLICE {
            return;
        }
        self.names.push(name.to_owned());
        self.form(bytes.to_vec(), SLICE, 1);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.form(hex.into_bytes(), 2 * SLICE, 2);
        let url: String = bytes.iter().map(|byte| format!("%{byte:02X}")).collect();
        self.form(url.into_bytes(), LONGEST, 3);
        // Base64 looks different at each of three offsets; the ends mix with what stands beside.
        for offset in 0..3 {
            let shifted: Vec<u8> = std::iter::repeat_n(0, offset).chain(bytes.iter().copied()).collect();
            let text = base64(&shifted);
            let inner = text.get(4..text.len().saturating_sub(4)).unwrap_or_default();
            self.form(inner.to_vec(), 16, 1);
        }
    }

    /// How many secrets are searched for.
    pub fn count(&self) -> usize {
        self.names.len()
    }

    fn form(&mut self, text: Vec<u8>, need: usize, step: usize) {
        let number = u32::try_from(self.forms.len()).unwrap_or(u32::MAX);
        for at in (0..(text.len() + 1).saturating_sub(need)).step_by(step) {
            let Some(slice) = text.get(at..).and_then(<[u8]>::first_chunk::<SLICE>) else { break };
            let bit = place(slice);
            self.filter[bit >> 6] |= 1 << (bit & 63);
            slice.iter().for_each(|byte| self.occurs[usize::from(*byte)] = true);
            self.slices.entry(*slice).or_insert((number, u32::try_from(at).unwrap_or(u32::MAX)));
        }
        self.forms.push(Form { secret: self.names.len() - 1, text, need });
    }

    /// The names of the secrets that stand in these bytes.
    pub fn hits(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found = Vec::new();
        self.search(bytes, &mut found);
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|secret| self.names[secret].as_str()).collect()
    }

    /// The names of the secrets that stand in a file, and its length.
    ///
    /// # Errors
    /// Those of reading.
    pub fn hits_in_file(&self, path: &Path) -> io::Result<(Vec<&str>, u64)> {
        let mut file = File::open(path)?;
        let (mut found, mut all, mut kept) = (Vec::new(), 0_u64, 0_usize);
        let mut piece = vec![0; PIECE + LONGEST];
        loop {
            let read = file.read(&mut piece[kept..])?;
            if read == 0 {
                break;
            }
            all += read as u64;
            let end = kept + read;
            self.search(&piece[..end], &mut found);
            // What begins here and ends in the next piece.
            let from = end.saturating_sub(LONGEST - 1);
            piece.copy_within(from..end, 0);
            kept = end - from;
        }
        found.sort_unstable();
        found.dedup();
        Ok((found.into_iter().map(|secret| self.names[secret].as_str()).collect(), all))
    }

    fn search(&self, bytes: &[u8], found: &mut Vec<usize>) {
        let mut at = 0;
        while let Some(slice) = bytes.get(at..).and_then(<[u8]>::first_chunk::<SLICE>) {
            // No slice has this byte, so none that would cover it begins before it.
            if !self.occurs[usize::from(slice[SLICE - 1])] {
                at += SLICE;
                continue;
            }
            let bit = place(slice);
            if self.filter[bit >> 6] >> (bit & 63) & 1 == 1
                && let Some((form, begin)) = self.slices.get(slice)
            {
                let form = &self.forms[*form as usize];
                let begin = *begin as usize;
                if bytes[at..].starts_with(&form.text[begin..begin + form.need]) {
                    found.push(form.secret);
                }
            }
            at += 1;
        }
    }
}

/// A place in the filter, from the first eight bytes of a slice.
fn place(slice: &[u8; SLICE]) -> usize {
    let [a, b, c, d, e, f, g, h, ..] = *slice;
    let number = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (64 - FILTER_BITS)) as usize
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = Vec::new();
    for group in bytes.chunks(3) {
        let number = group.iter().enumerate().fold(0_u32, |sum, (at, byte)| sum | u32::from(*byte) << (16 - 8 * at));
        for at in 0..=group.len() {
            text.push(ALPHABET[(number >> (18 - 6 * at)) as usize & 63]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "Zq7Wm2Xk9Hj3Kp8VtB4cD5eF6gH7iJ8kL9mN0oP1qR2";

    fn needles() -> Needles {
        let mut needles = Needles::default();
        needles.add("other", "nothing of the kind at all");
        needles.add("key", SECRET);
        needles
    }

    #[test]
    fn any_slice_of_twelve_is_found_in_every_form_and_eleven_are_not() {
        let needles = needles();
        let begin =
            |from: usize, to: usize| needles.hits(&[b"xx\"", &SECRET.as_bytes()[from..to], b"\"yy"].concat()).len();
        for at in 0..=SECRET.len() - SLICE {
            assert_eq!(begin(at, at + SLICE), 1, "at {at}");
            assert_eq!(begin(at, at + SLICE - 1), 0, "at {at}");
        }
        let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
        let url: String = SECRET.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for text in [hex, url] {
            assert_eq!(needles.hits(format!("a{text}b").as_bytes()), ["key"]);
        }
        for offset in 0..3 {
            let inner = [vec![b'{'; offset], SECRET.as_bytes().to_vec(), b"}".to_vec()].concat();
            assert_eq!(needles.hits(&base64(&inner)), ["key"], "offset {offset}");
        }
        assert_eq!(needles.hits(b"an innocent text of some length, with nothing in it"), Vec::<&str>::new());
    }

    #[test]
    fn a_secret_is_found_behind_zeros_and_across_the_pieces_of_a_file() {
        let path = std::env::temp_dir().join(format!("claviger-canary-{}", std::process::id()));
        for before in [0, 1, SLICE - 1, SLICE, 4093, PIECE - 5, PIECE + LONGEST - 7, 2 * PIECE + 40] {
            let text = [vec![0; before], SECRET.as_bytes().to_vec(), vec![0; 9000]].concat();
            std::fs::write(&path, &text).expect("written");
            let found = needles();
            let (names, length) = found.hits_in_file(&path).expect("read");
            assert_eq!((names, length), (vec!["key"], text.len() as u64), "behind {before}");
        }
        std::fs::remove_file(&path).expect("removed");
    }
}
