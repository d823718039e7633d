//! What a price may depend on besides quantity: the size of a picture, its quality, how fast a request is served
//! (`money.md` §3).
//!
//! A row with conditions is chosen by the terms of a request: first by what it asks for, which bounds it, then by what its
//! answer tells, which settles it. Of the rows that match, the one with the most conditions wins; two of one rank are no
//! price book. Quantities are not known here.

use super::InvalidPrice;
use crate::meter::Meter;
use crate::money::Price;
use crate::right::words;
use std::collections::BTreeMap;
use std::fmt;

words! {
    /// What a row may depend on.
    Condition {
        /// The size of a picture: `1024x1536`.
        Size = "size";
        /// Its quality: `high`.
        Quality = "quality";
        /// The height of a video: `720p`.
        Resolution = "resolution";
        /// Whether a video has sound: `true`, `false`.
        Audio = "audio";
        /// How fast a request is served: `priority`.
        ServiceTier = "service_tier";
    }
}

/// Bytes of a condition's value; names of sizes and tiers have some ten.
const VALUE_BYTES: usize = 32;

/// Values of conditions: of a row, of a request, or of its answer. What is not there is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Conditions(BTreeMap<Condition, String>);

impl Conditions {
    /// None.
    pub const NONE: Self = Self(BTreeMap::new());

    /// The same with one more; a value that no row can have is left open.
    #[must_use]
    pub fn with(mut self, condition: Condition, value: &str) -> Self {
        if is_value(value) {
            self.0.insert(condition, value.to_owned());
        }
        self
    }

    /// The same, and where something is open, what `other` says of it.
    #[must_use]
    pub fn or(mut self, other: &Self) -> Self {
        for (condition, value) in &other.0 {
            self.0.entry(*condition).or_insert_with(|| value.clone());
        }
        self
    }

    /// The value of one.
    pub fn of(&self, condition: Condition) -> Option<&str> {
        self.0.get(&condition).map(String::as_str)
    }

    /// Whether all are open.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each with its value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Condition, &str)> {
        self.0.iter().map(|(condition, value)| (*condition, value.as_str()))
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    /// Reads words as [`fmt::Display`] writes them; `None` when one is none.
    pub(super) fn read<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut terms = Self::NONE;
        for word in words {
            let (condition, value) = word.split_once('=')?;
            let condition = Condition::from_name(condition).filter(|_| is_value(value))?;
            if terms.0.insert(condition, value.to_owned()).is_some() {
                return None;
            }
        }
        Some(terms)
    }

    /// Whether nothing here contradicts `other`: what is open on either side contradicts nothing.
    fn may_be(&self, other: &Self) -> bool {
        self.iter().all(|(condition, value)| other.of(condition).is_none_or(|other| other == value))
    }

    /// Whether all of these are said by `other`.
    fn is_met_by(&self, other: &Self) -> bool {
        self.iter().all(|(condition, value)| other.of(condition) == Some(value))
    }
}

/// `size=1024x1024 quality=hd`: what a price version is hashed over.
impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (condition, value)) in self.iter().enumerate() {
            if number > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{}={value}", condition.name())?;
        }
        Ok(())
    }
}

/// Whether a text can be a condition's value: one word without a sign that texts of price versions use.
pub fn is_value(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    (1..=VALUE_BYTES).contains(&text.len()) && text.bytes().all(is_plain)
}

/// A price that holds under terms.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConditionalRow {
    /// What it prices.
    pub meter: Meter,
    /// When; not empty.
    pub conditions: Conditions,
    /// For how much.
    pub price: Price,
}

/// No row prices what a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpriced(pub Condition);

/// Two rows that could both be the one are none.
pub(super) fn check(rows: &[ConditionalRow]) -> Result<(), InvalidPrice> {
    for (number, row) in rows.iter().enumerate() {
        let rivals = rows.iter().skip(number.saturating_add(1)).filter(|other| other.meter == row.meter);
        if let Some(rival) = rivals
            .into_iter()
            .find(|other| other.conditions.len() == row.conditions.len() && other.conditions.may_be(&row.conditions))
        {
            return Err(InvalidPrice::Tie(row.meter, row.conditions.to_string(), rival.conditions.to_string()));
        }
    }
    Ok(())
}

/// Where a price is to be found: rows without conditions, and rows with some.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) plain: &'a [(Meter, Price)],
    pub(super) conditional: &'a [ConditionalRow],
}

impl Rows<'_> {
    /// One price a meter, the dearest that a request with these terms can come to.
    ///
    /// A row can only win where no row with more conditions is certain to match: that one's rank is the least that counts.
    pub(super) fn dearest(self, asked: &Conditions) -> Result<Vec<(Meter, Price)>, Unpriced> {
        // Served faster, or slower, costs another price or is refused; a price for everybody is none for that.
        if let Some(tier) = asked.of(Condition::ServiceTier) {
            let is_named = |row: &ConditionalRow| row.conditions.of(Condition::ServiceTier) == Some(tier);
            if !self.conditional.iter().any(is_named) {
                return Err(Unpriced(Condition::ServiceTier));
            }
        }
        self.each(|meter| {
            let rows = || self.ranked(meter);
            let certain = rows().filter(|(terms, _)| terms.is_met_by(asked)).map(|(terms, _)| terms.len()).max();
            let least = certain.unwrap_or(0);
            let reachable = rows().filter(|(terms, _)| terms.len() >= least && terms.may_be(asked));
            reachable.map(|(_, price)| price).max().ok_or_else(|| self.unpriced(meter, asked))
        })
    }

    /// One price a meter, under the terms that an answer came to. Where no row matches, the one without conditions holds,
    /// else the cheapest: nobody agreed to more. Whether that was so anywhere is told beside.
    pub(super) fn settled(self, terms: &Conditions) -> (Vec<(Meter, Price)>, bool) {
        let mut is_guessed = false;
        let rows = self.each(|meter| {
            let met = self.ranked(meter).filter(|(row, _)| row.is_met_by(terms));
            let best = met.max_by_key(|(row, _)| row.len()).map(|(_, price)| price);
            is_guessed |= best.is_none();
            let cheapest = || self.ranked(meter).map(|(_, price)| price).min().unwrap_or_default();
            Ok::<_, Unpriced>(best.unwrap_or_else(cheapest))
        });
        (rows.unwrap_or_default(), is_guessed)
    }

    /// The cheapest price of each meter.
    pub(super) fn cheapest(self) -> Vec<(Meter, Price)> {
        let rows =
            self.each(|meter| Ok::<_, Unpriced>(self.ranked(meter).map(|(_, price)| price).min().unwrap_or_default()));
        rows.unwrap_or_default()
    }

    fn each(self, mut price: impl FnMut(Meter) -> Result<Price, Unpriced>) -> Result<Vec<(Meter, Price)>, Unpriced> {
        let mut rows = Vec::new();
        for meter in Meter::ALL.iter().copied().filter(|meter| self.ranked(*meter).next().is_some()) {
            rows.push((meter, price(meter)?));
        }
        Ok(rows)
    }

    /// Every row of a meter, those without conditions too.
    fn ranked(self, meter: Meter) -> impl Iterator<Item = (Conditions, Price)> {
        let plain =
            self.plain.iter().filter(move |(row, _)| *row == meter).map(|(_, price)| (Conditions::NONE, *price));
        let conditional = self.conditional.iter().filter(move |row| row.meter == meter);
        plain.chain(conditional.map(|row| (row.conditions.clone(), row.price)))
    }

    /// Which word of the request has no row.
    fn unpriced(self, meter: Meter, asked: &Conditions) -> Unpriced {
        let is_known = |condition: Condition, value: &str| {
            self.ranked(meter).any(|(terms, _)| terms.of(condition).is_none_or(|row| row == value))
        };
        let unknown = asked.iter().find(|(condition, value)| !is_known(*condition, value));
        Unpriced(unknown.or_else(|| asked.iter().last()).map_or(Condition::Size, |(condition, _)| condition))
    }
}

impl std::str::FromStr for Conditions {
    type Err = InvalidPrice;

    fn from_str(text: &str) -> Result<Self, InvalidPrice> {
        Self::read(text.split(' ').filter(|word| !word.is_empty())).ok_or(InvalidPrice::Unreadable)
    }
}

#[cfg(test)]
mod tests;
