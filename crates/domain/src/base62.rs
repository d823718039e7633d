//! Base62 in ASCII order (`0-9`, `A-Z`, `a-z`), big-endian and left-padded with `0`.
//!
//! The one alphabet of key texts and ids (`keys.md` §1). It refuses to know what the digits stand for.

/// The 62 symbols in value order.
pub const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether `byte` is a base62 symbol.
pub const fn is_symbol(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// The value of one symbol, 0 to 61.
pub const fn value(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte.wrapping_sub(b'0')),
        b'A'..=b'Z' => Some(byte.wrapping_sub(b'A').wrapping_add(10)),
        b'a'..=b'z' => Some(byte.wrapping_sub(b'a').wrapping_add(36)),
        _ => None,
    }
}

/// Writes `number` as `N` symbols; higher digits than fit are lost, so choose `N` for the number's width
/// (6 for 32 bits, 22 for 128).
pub fn encode_u128<const N: usize>(mut number: u128) -> [u8; N] {
    let mut out = [b'0'; N];
    for slot in out.iter_mut().rev() {
        *slot = symbol(u8::try_from(number % 62).unwrap_or(0));
        number /= 62;
    }
    out
}

/// Reads symbols as one number; `None` for a foreign symbol or a value of 2¹²⁸ and more.
pub fn decode_u128(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0_u128, |sum, byte| sum.checked_mul(62)?.checked_add(u128::from(value(*byte)?)))
}

/// Writes 32 bytes, read as one big-endian integer, as 43 symbols.
pub fn encode_256(bytes: &[u8; 32]) -> [u8; 43] {
    let mut rest = *bytes;
    let mut out = [b'0'; 43];
    for slot in out.iter_mut().rev() {
        let mut remainder = 0_u16;
        for byte in &mut rest {
            let current = (remainder << 8) | u16::from(*byte);
            *byte = u8::try_from(current / 62).unwrap_or(0);
            remainder = current % 62;
        }
        *slot = symbol(u8::try_from(remainder).unwrap_or(0));
    }
    out
}

fn symbol(value: u8) -> u8 {
    ALPHABET.get(usize::from(value)).copied().unwrap_or(b'0')
}
