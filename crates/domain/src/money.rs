//! Amounts of the instance's one currency, and the one rounding.
//!
//! Unit: 1 nano = 10⁻⁹ of the currency. Integers only; sums run in `i128`; an overflow is a value, never a wrap.
//! Prices as such are `price.rs`; this file refuses to know what is bought.

use std::fmt;
use std::str::FromStr;

/// An amount in nano-units. Range: `i64`, so an account holds at most 9,223,372,036 currency units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nano(pub i64);

/// Nano-units per 1,000,000 units of a meter. Never negative in a valid price book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(pub i64);

/// A text that is not an amount: `^[0-9]{1,10}(\.[0-9]{1,9})?$`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an amount")]
pub struct InvalidAmount;

impl Nano {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` beyond the range.
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` beyond the range.
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// The difference, kept in range. For displays and released rests, never for a balance.
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The smaller of two amounts.
    pub fn min(self, other: Self) -> Self {
        Ord::min(self, other)
    }
}

/// Σ unitsᵢ × priceᵢ, per 10⁶ units, rounded up once (`money.md` §1). `None` above `i64::MAX`.
pub fn rounded_cost(products: i128) -> Option<Nano> {
    let whole = products.div_euclid(1_000_000);
    let rounded = if products.rem_euclid(1_000_000) == 0 { whole } else { whole.checked_add(1)? };
    i64::try_from(rounded).ok().map(Nano)
}

impl fmt::Display for Nano {
    /// A decimal string with exactly 9 fraction digits: `0.019760000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:09}", magnitude / 1_000_000_000, magnitude % 1_000_000_000)
    }
}

impl FromStr for Nano {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
        let is_digits = |part: &str, most: usize| {
            !part.is_empty() && part.len() <= most && part.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_digits(whole, 10) || fraction.is_some_and(|digits| !is_digits(digits, 9)) {
            return Err(InvalidAmount);
        }
        let whole: i64 = whole.parse().map_err(|_| InvalidAmount)?;
        let fraction: i64 = format!("{:0<9}", fraction.unwrap_or("0")).parse().map_err(|_| InvalidAmount)?;
        whole.checked_mul(1_000_000_000).and_then(|nano| nano.checked_add(fraction)).map(Self).ok_or(InvalidAmount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_with_nine_fraction_digits() {
        assert_eq!(Nano(19_760_000).to_string(), "0.019760000");
        assert_eq!(Nano(i64::MIN).to_string(), "-9223372036.854775808");
        assert_eq!("10".parse(), Ok(Nano(10_000_000_000)));
        assert_eq!("0.019760000".parse(), Ok(Nano(19_760_000)));
    }

    #[test]
    fn other_texts_are_not_amounts() {
        for text in ["", "-1", "+1", "1e3", ".5", "1.", "1.0000000000", "12345678901", "9999999999", "1,0", " 1", "NaN"]
        {
            assert_eq!(text.parse::<Nano>(), Err(InvalidAmount), "{text}");
        }
    }

    #[test]
    fn rounding_goes_up_once() {
        assert_eq!(rounded_cost(2_500_000), Some(Nano(3)));
        assert_eq!(rounded_cost(3_000_000), Some(Nano(3)));
        assert_eq!(rounded_cost(0), Some(Nano(0)));
        assert_eq!(rounded_cost(i128::from(i64::MAX) * 1_000_000), Some(Nano(i64::MAX)));
        assert_eq!(rounded_cost(i128::from(i64::MAX) * 1_000_000 + 1), None);
    }
}
