//! Immutable price versions; what quantities cost, and the most a request could cost.
//!
//! `charge = ⌈Σ unitsᵢ × priceᵢ / 10⁶⌉`, summed in `i128`, rounded up once per request (`money.md` §1, §3, §5). Where
//! quantities come from is not known here.

mod conditions;

pub use conditions::{Condition, ConditionalRow, Conditions, Unpriced, is_value};

use crate::endpoint::EndpointName;
use crate::id::PriceVersionId;
use crate::meter::{ABSURD_QUANTITY, Meter, Meters, Side, Usage, UsageSource};
use crate::money::{Nano, Price, rounded_cost};
use crate::settlement::Estimate;
use conditions::Rows;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

/// The most a single unit may cost, in currency units (`money.md` §1).
const PRICE_MAX: i64 = 9_223 * 1_000_000_000;

/// A price or a set of prices that the book does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrice {
    /// Not `^[0-9]{1,10}(\.[0-9]{1,15})?$`.
    #[error("`{0}` is not a price: write digits with at most 15 behind the point, without sign or exponent")]
    NotAPrice(String),
    /// Above 9,223 per single unit.
    #[error("a price of `{0}` is above 9,223 per unit")]
    OutOfRange(String),
    /// `per` is not 1, 60, 1000, 3600 or 1000000.
    #[error("`per` is 1, 60, 1000, 3600 or 1000000, not {0}")]
    UnknownPer(u64),
    /// Two prices for one meter.
    #[error("two prices for `{0}`")]
    Duplicate(Meter),
    /// Two rows that could both be the one.
    #[error("two prices of `{0}` are of one rank, `{1}` and `{2}`: a request could match both")]
    Tie(Meter, String, String),
    /// A condition's value that is no plain word.
    #[error("`{0}` is no value of a condition: write letters, digits, `_`, `-`, `.` and `:`, at most 32")]
    NotAValue(String),
    /// No price at all.
    #[error("no price")]
    Empty,
    /// Every price is zero, and the model is not marked free.
    #[error("every price is zero: mark the model `free = true` if that is meant")]
    ZeroNotFree,
    /// More than one base, or none (`money.md` §2).
    #[error("prices of one model form exactly one base; these form {0}")]
    Bases(&'static str),
    /// A tier row is missing or superfluous.
    #[error("tiers: {0}")]
    Tiers(&'static str),
    /// A stored text that does not read.
    #[error("stored price version does not read")]
    Unreadable,
}

/// How the rows above a threshold of total input apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TierMode {
    /// Every token of the request at the upper rows.
    Whole,
    /// Only input above the threshold.
    Marginal,
}

/// Prices above a threshold of total input tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier {
    /// Total input **above** this selects the tier.
    pub input_over: u64,
    /// Its rows.
    pub rows: Vec<(Meter, Price)>,
}

/// One immutable price version of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceSheet {
    /// Content-addressed: equal prices of a model have equal ids on every node.
    pub version: PriceVersionId,
    /// The public model id.
    pub model: String,
    rows: Vec<(Meter, Price)>,
    /// What holds under terms only; a sheet that was settled under some has none.
    conditional: Vec<ConditionalRow>,
    tier: Option<(TierMode, Tier)>,
}

/// One line of a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CostLine {
    /// What was used.
    pub meter: Meter,
    /// How much.
    pub quantity: u64,
    /// Its price per 10⁶ units.
    pub price: Price,
    /// The meter whose price that is; another one than `meter` is a stated fallback.
    pub priced_as: Meter,
}

/// Quantities that a request cannot exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The input side, and output that no limit changes: images, seconds of video.
    pub input: Meters,
    /// Output tokens of one choice.
    pub output_per_choice: u64,
    /// Choices.
    pub choices: u64,
}

/// Reads a price text for `per` units as nano per 10⁶ units, rounded up where it is finer than that.
///
/// # Errors
/// [`InvalidPrice`].
pub fn parse_price(text: &str, per: u64) -> Result<Price, InvalidPrice> {
    if !matches!(per, 1 | 60 | 1_000 | 3_600 | 1_000_000) {
        return Err(InvalidPrice::UnknownPer(per));
    }
    let invalid = || InvalidPrice::NotAPrice(text.to_owned());
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, rest)| (whole, Some(rest)));
    let is_digits =
        |part: &str, most: usize| (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole, 10) || fraction.is_some_and(|digits| !is_digits(digits, 15)) {
        return Err(invalid());
    }
    // Femto-units of the currency: 10 + 15 digits fit an i128 many times over.
    let femto: i128 = format!("{whole}{:0<15}", fraction.unwrap_or("0")).parse().map_err(|_| invalid())?;
    let numerator = femto.checked_mul(1_000_000).ok_or_else(invalid)?;
    let divisor = i128::from(per).checked_mul(1_000_000).ok_or_else(invalid)?;
    let nano = numerator.div_euclid(divisor);
    let nano = if numerator.rem_euclid(divisor) == 0 { nano } else { nano.saturating_add(1) };
    let per_unit = nano.div_euclid(1_000_000);
    if per_unit > i128::from(PRICE_MAX) {
        return Err(InvalidPrice::OutOfRange(text.to_owned()));
    }
    i64::try_from(nano).map(Price).map_err(|_| InvalidPrice::OutOfRange(text.to_owned()))
}

impl PriceSheet {
    /// Checks rows and tier and names the version by its content.
    ///
    /// # Errors
    /// [`InvalidPrice`]: nothing of it may come into force.
    pub fn new(model: &str, rows: Vec<(Meter, Price)>, tier: Option<(TierMode, Tier)>) -> Result<Self, InvalidPrice> {
        Self::with_conditions(model, rows, Vec::new(), tier)
    }

    /// The same, with rows that hold under terms.
    ///
    /// # Errors
    /// As [`PriceSheet::new`].
    pub fn with_conditions(
        model: &str,
        mut rows: Vec<(Meter, Price)>,
        mut conditional: Vec<ConditionalRow>,
        tier: Option<(TierMode, Tier)>,
    ) -> Result<Self, InvalidPrice> {
        rows.sort_by_key(|(meter, _)| *meter);
        conditional.sort();
        if conditional.is_empty() {
            check_rows(&rows)?;
        } else {
            check_unique(&rows)?;
            conditions::check(&conditional)?;
            if tier.is_some() {
                return Err(InvalidPrice::Tiers("rows with conditions stand beside no tier"));
            }
        }
        let upper = tier.iter().flat_map(|(_, tier)| &tier.rows);
        let all = rows.iter().chain(upper).map(|(_, price)| price).chain(conditional.iter().map(|row| &row.price));
        if all.into_iter().all(|price| price.0 == 0) {
            return Err(InvalidPrice::ZeroNotFree);
        }
        let meters: Vec<Meter> =
            rows.iter().map(|(meter, _)| *meter).chain(conditional.iter().map(|row| row.meter)).collect();
        check_base(&meters)?;
        let tier = tier.map(|(mode, mut tier)| {
            tier.rows.sort_by_key(|(meter, _)| *meter);
            (mode, tier)
        });
        if let Some((mode, tier)) = &tier {
            check_tier(*mode, tier, &rows)?;
        }
        let mut sheet =
            Self { version: PriceVersionId::from_u128(0), model: model.to_owned(), rows, conditional, tier };
        let hash = Sha256::digest(sheet.canonical().as_bytes());
        let (first, _) = hash.split_at(16);
        sheet.version =
            PriceVersionId::from_u128(first.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte)));
        Ok(sheet)
    }

    /// The version as text: what its id is the hash of, and what storage keeps.
    pub fn canonical(&self) -> String {
        let mut text = format!("claviger-price/1\nmodel {}\n", self.model);
        let mut line = |tier: u64, rows: &[(Meter, Price)]| {
            for (meter, price) in rows {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{tier} {meter} {}", price.0);
            }
        };
        line(0, &self.rows);
        if let Some((mode, tier)) = &self.tier {
            line(tier.input_over, &tier.rows);
            text.push_str(if *mode == TierMode::Whole { "whole\n" } else { "marginal\n" });
        }
        for ConditionalRow { meter, conditions, price } in &self.conditional {
            let _ = writeln!(text, "0 {meter} {} {conditions}", price.0);
        }
        text
    }

    /// Reads what [`Self::canonical`] wrote.
    ///
    /// # Errors
    /// `Unreadable`, or the rule that the text breaks.
    pub fn from_canonical(text: &str) -> Result<Self, InvalidPrice> {
        let body = text.strip_prefix("claviger-price/1\nmodel ").ok_or(InvalidPrice::Unreadable)?;
        let (model, lines) = body.split_once('\n').ok_or(InvalidPrice::Unreadable)?;
        let (mut rows, mut conditional) = (Vec::new(), Vec::new());
        let mut upper: Option<Tier> = None;
        let mut mode = None;
        for line in lines.lines() {
            match line {
                "whole" => mode = Some(TierMode::Whole),
                "marginal" => mode = Some(TierMode::Marginal),
                _ => {
                    let mut parts = line.split(' ');
                    let (Some(over), Some(meter), Some(price)) = (
                        parts.next().and_then(|part| part.parse::<u64>().ok()),
                        parts.next().and_then(Meter::from_name),
                        parts.next().and_then(|part| part.parse::<i64>().ok()),
                    ) else {
                        return Err(InvalidPrice::Unreadable);
                    };
                    let conditions = Conditions::read(parts).ok_or(InvalidPrice::Unreadable)?;
                    if !conditions.is_empty() {
                        conditional.push(ConditionalRow { meter, conditions, price: Price(price) });
                    } else if over == 0 {
                        rows.push((meter, Price(price)));
                    } else {
                        upper
                            .get_or_insert(Tier { input_over: over, rows: Vec::new() })
                            .rows
                            .push((meter, Price(price)));
                    }
                }
            }
        }
        let tier = match (mode, upper) {
            (None, None) => None,
            (Some(mode), Some(tier)) => Some((mode, tier)),
            _ => return Err(InvalidPrice::Unreadable),
        };
        Self::with_conditions(model, rows, conditional, tier)
    }

    /// Whether prices depend on what a request asks for besides quantities.
    pub fn has_conditions(&self) -> bool {
        !self.conditional.is_empty()
    }

    /// The prices that bound a request with these terms: of each meter the dearest that its answer can come to.
    ///
    /// # Errors
    /// The condition whose value has no price.
    pub fn bounding(self: &Arc<Self>, asked: &Conditions) -> Result<Arc<Self>, Unpriced> {
        if !self.has_conditions() {
            return match asked.of(Condition::ServiceTier) {
                Some(_) => Err(Unpriced(Condition::ServiceTier)),
                None => Ok(Arc::clone(self)),
            };
        }
        Ok(Arc::new(self.of_rows(self.every_row().dearest(asked)?)))
    }

    /// The prices of an answer that came to these terms, and whether one of them had no row and was taken from another.
    pub fn settling(&self, told: &Conditions) -> (Cow<'_, Self>, bool) {
        if !self.has_conditions() {
            return (Cow::Borrowed(self), false);
        }
        let (rows, is_guessed) = self.every_row().settled(told);
        (Cow::Owned(self.of_rows(rows)), is_guessed)
    }

    fn of_rows(&self, rows: Vec<(Meter, Price)>) -> Self {
        Self { version: self.version, model: self.model.clone(), rows, conditional: Vec::new(), tier: None }
    }

    fn every_row(&self) -> Rows<'_> {
        Rows { plain: &self.rows, conditional: &self.conditional }
    }

    /// What these quantities cost. Rounded up once. `None`: beyond the range of money.
    pub fn cost(&self, meters: &Meters) -> Option<Nano> {
        let mut sum = 0_i128;
        for line in self.lines(meters) {
            sum = sum.checked_add(i128::from(line.quantity).checked_mul(i128::from(line.price.0))?)?;
        }
        rounded_cost(sum)
    }

    /// The lines of a cost, in meter order; a marginal tier splits a meter into two lines.
    ///
    /// A meter without a price, its own or its fallback's, has no line: its base does not measure it.
    pub fn lines(&self, meters: &Meters) -> Vec<CostLine> {
        // `request` is priced per request, whatever an upstream reports.
        let meters = meters.with(Meter::Request, 1);
        let input = total_input(&meters);
        match &self.tier {
            Some((TierMode::Whole, tier)) if input > tier.input_over => meters
                .iter()
                .filter_map(|(meter, n)| line_of(&tier.rows, meter, n).or_else(|| line_of(&self.rows, meter, n)))
                .collect(),
            Some((TierMode::Marginal, tier)) if input > tier.input_over => self.marginal_lines(tier, &meters),
            _ => meters.iter().filter_map(|(meter, n)| line_of(&self.rows, meter, n)).collect(),
        }
    }

    /// Input fills the lower tier in the order cached, cache write, image, audio, uncached (`money.md` §3).
    fn marginal_lines(&self, tier: &Tier, meters: &Meters) -> Vec<CostLine> {
        let mut room = tier.input_over;
        let mut lines = Vec::new();
        for meter in INPUT_TOKENS {
            let Some(quantity) = meters.of(meter) else { continue };
            let below = quantity.min(room);
            room = room.saturating_sub(below);
            lines.extend(line_of(&self.rows, meter, below));
            let above = quantity.saturating_sub(below);
            lines.extend(line_of(&tier.rows, meter, above).or_else(|| line_of(&self.rows, meter, above)));
        }
        lines.extend(
            meters
                .iter()
                .filter(|(meter, _)| !INPUT_TOKENS.contains(meter))
                .filter_map(|(meter, n)| line_of(&self.rows, meter, n)),
        );
        lines.retain(|line| line.quantity > 0);
        lines.sort_by_key(|line| line.meter);
        lines
    }

    /// Whether every answer of this endpoint costs something at these prices, whatever its upstream reports.
    pub fn measures(&self, endpoint: EndpointName) -> bool {
        // Whatever terms an answer comes to.
        let cheapest = self.has_conditions().then(|| self.every_row().cheapest());
        let rows = cheapest.as_ref().unwrap_or(&self.rows);
        let is_priced = |meter: Meter| line_of(rows, meter, 1).is_some_and(|line| line.price.0 > 0);
        let counted = endpoint.counted();
        counted.is_empty() || is_priced(Meter::Request) || counted.iter().any(|meter| is_priced(*meter))
    }

    /// Usage as these prices measure it: what their base counts and the upstream did not say is taken from the estimate,
    /// and a guess at tokens is left out where nothing is priced by them.
    pub fn measured(&self, usage: Usage, estimate: &Estimate) -> Usage {
        let is_base = |meter: Meter| !matches!(meter, Meter::Request | Meter::ToolCall);
        if !self.rows.iter().any(|(meter, _)| is_base(*meter)) {
            return usage;
        }
        let is_priced = |meter: Meter| is_base(meter) && line_of(&self.rows, meter, 1).is_some();
        let is_told = usage.meters.iter().any(|(meter, _)| is_priced(meter));
        if self.rows.iter().any(|(meter, _)| meter.is_token()) {
            if is_told {
                return usage;
            }
            return Usage {
                meters: usage.meters.or(&estimate.input),
                source: usage.source.max(estimate.source),
                ..usage
            };
        }
        if is_told && usage.source != UsageSource::Estimated {
            return usage;
        }
        let is_guess = usage.source == UsageSource::Estimated;
        let told = if is_guess { usage.meters.without_tokens() } else { usage.meters };
        let counted = estimate.input.without_tokens();
        // A guess that is about tokens says nothing against what was counted beside them.
        let is_counted = estimate.source != UsageSource::Estimated || counted != estimate.input;
        let source = if is_counted { UsageSource::Computed } else { UsageSource::Estimated };
        Usage { meters: told.or(&counted), source: source.max(if is_guess { source } else { usage.source }), ..usage }
    }

    /// Upper bound of what a request within `bound` can cost; rounded up once, never below [`Self::cost`] of any usage
    /// within the bound (property: `bound_covers_cost`). `None`: beyond the range of money (`amount_overflow`).
    ///
    /// Each side is bounded at its dearest reachable row: any token may turn out to be of the dearest kind.
    pub fn upper_bound(&self, bound: &Bound) -> Option<Nano> {
        let fixed = self.input_products(bound)?;
        let output = i128::from(bound.output_per_choice).checked_mul(i128::from(bound.choices))?;
        rounded_cost(fixed.checked_add(output.checked_mul(i128::from(self.dearest(bound, &OUTPUT_TOKENS).0))?)?)
    }

    /// The output tokens a choice may have so that the bound fits `available`; `None` when no output has a price or
    /// not even the input fits.
    pub fn clamp(&self, bound: &Bound, available: Nano) -> Option<u64> {
        let per_token = i128::from(self.dearest(bound, &OUTPUT_TOKENS).0).checked_mul(i128::from(bound.choices))?;
        let rest = i128::from(available.0).checked_mul(1_000_000)?.checked_sub(self.input_products(bound)?)?;
        if per_token <= 0 || rest < 0 {
            return None;
        }
        u64::try_from(rest.div_euclid(per_token)).ok()
    }

    fn input_products(&self, bound: &Bound) -> Option<i128> {
        let tokens = i128::from(total_input(&bound.input));
        let mut sum = tokens.checked_mul(i128::from(self.dearest(bound, &INPUT_TOKENS).0))?;
        for (meter, quantity) in bound.input.with(Meter::Request, 1).iter() {
            if !INPUT_TOKENS.contains(&meter) {
                let price = line_of(&self.rows, meter, quantity).map_or(0, |line| line.price.0);
                sum = sum.checked_add(i128::from(quantity).checked_mul(i128::from(price))?)?;
            }
        }
        Some(sum)
    }

    /// The dearest price among the kinds of tokens, in every tier that the bounded input reaches.
    ///
    /// Reachable kinds only: text requests cannot cause image or audio tokens, and one-hour cache writes are asked for.
    fn dearest(&self, bound: &Bound, kinds: &[Meter]) -> Price {
        let is_upper = |tier: &Tier| total_input(&bound.input) > tier.input_over;
        let tiers = self.tier.iter().filter(|(_, tier)| is_upper(tier)).map(|(_, tier)| tier.rows.as_slice());
        std::iter::once(self.rows.as_slice())
            .chain(tiers)
            .flat_map(|rows| {
                kinds.iter().filter(|meter| is_reachable(**meter, bound)).filter_map(|meter| line_of(rows, *meter, 1))
            })
            .map(|line| line.price)
            .max()
            .unwrap_or_default()
    }
}

/// In the order in which they fill a lower marginal tier.
const INPUT_TOKENS: [Meter; 6] = [
    Meter::CachedInputToken,
    Meter::CacheWriteToken,
    Meter::CacheWrite1hToken,
    Meter::ImageInputToken,
    Meter::AudioInputToken,
    Meter::InputToken,
];
const OUTPUT_TOKENS: [Meter; 4] =
    [Meter::OutputToken, Meter::ReasoningToken, Meter::ImageOutputToken, Meter::AudioOutputToken];

/// Meters a text request can cause, and those that the bound names because its request asks for them; media raise the
/// bound by their own rows when their endpoints exist.
fn is_reachable(meter: Meter, bound: &Bound) -> bool {
    let is_text = !matches!(
        meter,
        Meter::CacheWrite1hToken
            | Meter::ImageInputToken
            | Meter::AudioInputToken
            | Meter::ImageOutputToken
            | Meter::AudioOutputToken
    );
    is_text || bound.input.of(meter).is_some()
}

fn total_input(meters: &Meters) -> u64 {
    INPUT_TOKENS.iter().filter_map(|meter| meters.of(*meter)).fold(0, u64::saturating_add)
}

/// The line of a meter at its own price or, stated, at its fallback's.
fn line_of(rows: &[(Meter, Price)], meter: Meter, quantity: u64) -> Option<CostLine> {
    let mut priced_as = meter;
    loop {
        if let Some((_, price)) = rows.iter().find(|(row, _)| *row == priced_as) {
            return Some(CostLine { meter, quantity, price: *price, priced_as });
        }
        priced_as = priced_as.fallback()?;
    }
}

fn check_rows(rows: &[(Meter, Price)]) -> Result<(), InvalidPrice> {
    if rows.is_empty() {
        return Err(InvalidPrice::Empty);
    }
    check_unique(rows)
}

fn check_unique(rows: &[(Meter, Price)]) -> Result<(), InvalidPrice> {
    let twice = rows.iter().zip(rows.iter().skip(1)).find(|((a, _), (b, _))| a == b);
    twice.map_or(Ok(()), |((meter, _), _)| Err(InvalidPrice::Duplicate(*meter)))
}

/// A model is priced by exactly one base; `request` may join any base or stand alone (`money.md` §2).
fn check_base(meters: &[Meter]) -> Result<(), InvalidPrice> {
    let has = |meter: Meter| meters.contains(&meter);
    let bases = [
        has(Meter::InputToken)
            || has(Meter::OutputToken)
            || has(Meter::ImageOutputToken)
            || has(Meter::AudioOutputToken),
        has(Meter::Character),
        has(Meter::AudioSecond),
        has(Meter::SearchUnit),
        has(Meter::Image),
        has(Meter::VideoSecond),
    ];
    match bases.iter().filter(|is_there| **is_there).count() {
        1 => Ok(()),
        0 if meters.iter().all(|meter| matches!(meter, Meter::Request | Meter::ToolCall)) && has(Meter::Request) => {
            Ok(())
        }
        0 => Err(InvalidPrice::Bases("none")),
        _ => Err(InvalidPrice::Bases("two")),
    }
}

fn check_tier(mode: TierMode, tier: &Tier, base: &[(Meter, Price)]) -> Result<(), InvalidPrice> {
    check_rows(&tier.rows)?;
    if tier.input_over == 0 || tier.input_over > ABSURD_QUANTITY {
        return Err(InvalidPrice::Tiers("`input_over` is above zero"));
    }
    let is_token = |meter: &Meter| INPUT_TOKENS.contains(meter) || OUTPUT_TOKENS.contains(meter);
    match mode {
        TierMode::Whole
            if base.iter().any(|(meter, _)| is_token(meter) && !tier.rows.iter().any(|(row, _)| row == meter)) =>
        {
            Err(InvalidPrice::Tiers("a whole tier repeats every token row of the base"))
        }
        TierMode::Marginal if tier.rows.iter().any(|(meter, _)| meter.side() == Side::Output) => {
            Err(InvalidPrice::Tiers("a marginal tier has no output rows"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
