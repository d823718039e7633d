//! Base62 in ASCII order (`0-9`, `A-Z`, `a-z`), big-endian and left-padded with `0`.
//!
//! The one alphabet of key texts and ids (`keys.md` §1). It refuses to know what the digits stand for.

/// The 62 symbols in value order.
pub const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The most digits whose value fits 64 bits.
const CHUNK_DIGITS: usize = 10;
/// 62 to that power.
const CHUNK: u128 = 839_299_365_868_340_224;

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
///
/// Ten digits at a time: a 128-bit division is a call of some 30 ns, and seven ids are written for every request.
pub fn encode_u128<const N: usize>(number: u128) -> [u8; N] {
    let mut out = [b'0'; N];
    let mut rest = number;
    for digits in out.rchunks_mut(CHUNK_DIGITS) {
        let mut low = u64::try_from(rest % CHUNK).unwrap_or(0);
        rest /= CHUNK;
        for slot in digits.iter_mut().rev() {
            *slot = symbol(u8::try_from(low % 62).unwrap_or(0));
            low /= 62;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_chunk_is_ten_digits() {
        assert_eq!(CHUNK, 62_u128.pow(10));
        assert_eq!(&encode_u128::<22>(u128::MAX), b"7n42DGM5Tflk9n8mt7Fhc7");
        assert_eq!(&encode_u128::<6>(u128::from(u32::MAX)), b"4gfFC3");
        assert_eq!(&encode_u128::<6>(61), b"00000z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number: u128) {
            prop_assert_eq!(decode_u128(&encode_u128::<22>(number)), Some(number));
        }
    }
}
