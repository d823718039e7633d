//! Price texts → price sheets: the short `[[price]]` rows and price files, with the same checks.
//!
//! A file is taken in whole or not at all. Overrides and dated starts are refused until they exist.

use super::Invalid;
use super::layers::{Layered, explained, place};
use super::nearest::suggestion;
use super::typed::{PriceFile, PriceRow, PricedModel};
use claviger_domain::meter::Meter;
use claviger_domain::money::Price;
use claviger_domain::price::{
    Condition, ConditionalRow, Conditions, InvalidPrice, PriceSheet, Tier, TierMode, is_value, parse_price,
};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The only format that is read.
const FORMAT: &str = "claviger-prices/1";
/// Bounds of `money.md` §3.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const MODELS_MAX: usize = 100_000;
const ROWS_MAX: usize = 64;

/// What price texts say about one model.
#[derive(Clone, Debug)]
pub(crate) enum Book {
    /// Marked free.
    Free,
    /// Priced.
    Sheet(PriceSheet),
}

/// Prices by public model id.
pub(super) type Books = BTreeMap<String, Book>;

/// Reads every price of a configuration.
pub(super) fn read(layered: &Layered) -> Result<Books, Invalid> {
    let mut books = Books::new();
    for name in &layered.document.prices.files {
        let file = layered.base().join(name);
        for (model, book) in read_file(&file, &layered.document.prices.currency)? {
            if books.insert(model.clone(), book).is_some() {
                return Err(Invalid::at(file.display(), format_args!("model `{model}` is priced in two files")));
            }
        }
    }
    for (model, book) in short_form(layered)? {
        if books.insert(model.clone(), book).is_some() {
            return Err(Invalid::at(
                layered.place_of(&model),
                format_args!("model `{model}` is priced here and in a price file"),
            ));
        }
    }
    Ok(books)
}

fn short_form(layered: &Layered) -> Result<Books, Invalid> {
    let mut rows: BTreeMap<&str, Vec<(Meter, Price)>> = BTreeMap::new();
    for price in &layered.document.price {
        let at = |what: String| Invalid::at(layered.place_of(&price.model), what);
        let meter = meter(&price.meter).map_err(at)?;
        let parsed = parse_price(&price.sell, price.per.unwrap_or_else(|| default_per(meter)));
        rows.entry(&price.model).or_default().push((meter, parsed.map_err(|error| at(error.to_string()))?));
    }
    rows.into_iter()
        .map(|(model, rows)| {
            let sheet = PriceSheet::new(model, rows, None)
                .map_err(|error| Invalid::at(layered.place_of(model), format_args!("price of `{model}`: {error}")))?;
            Ok((model.to_owned(), Book::Sheet(sheet)))
        })
        .collect()
}

/// Reads one price file, TOML or JSON by its name.
pub(super) fn read_file(file: &Path, currency: &str) -> Result<Books, Invalid> {
    let cannot = |error: std::io::Error| Invalid::at(file.display(), format_args!("cannot be read: {error}"));
    if fs::metadata(file).map_err(cannot)?.len() > FILE_BYTES_MAX {
        return Err(Invalid::at(file.display(), "is larger than 64 MiB"));
    }
    let text = fs::read_to_string(file).map_err(cannot)?;
    let parsed: PriceFile = if file.extension().is_some_and(|extension| extension == "json") {
        serde_json::from_str(&text).map_err(|error| {
            Invalid::at(format_args!("{}:{}", file.display(), error.line()), explained(&error.to_string()))
        })?
    } else {
        toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Invalid::at(format_args!("{}:{line}", file.display()), explained(error.message()))
        })?
    };
    check_head(&parsed, currency).map_err(|what| Invalid::at(file.display(), what))?;
    let mut books = Books::new();
    for model in &parsed.model {
        let at =
            |what: String| Invalid::at(place(file, &text, &model.id), format_args!("model `{}`: {what}", model.id));
        let book = book(model).map_err(at)?;
        if books.insert(model.id.clone(), book).is_some() {
            return Err(at("is priced twice".to_owned()));
        }
    }
    Ok(books)
}

fn check_head(file: &PriceFile, currency: &str) -> Result<(), String> {
    if file.format != FORMAT {
        return Err(format!("`format` is `{}`, but only `{FORMAT}` is read", file.format));
    }
    if file.currency != currency {
        return Err(format!("prices are in {}, but this instance counts in {currency}", file.currency));
    }
    if file.list.as_deref().is_some_and(|list| list != "list") {
        return Err("only the list `list` exists yet; overrides and costs come later".to_owned());
    }
    if file.mode.as_deref().is_some_and(|mode| mode != "patch" && mode != "replace") {
        return Err("`mode` is `patch` or `replace`".to_owned());
    }
    if file.model.len() > MODELS_MAX {
        return Err(format!("more than {MODELS_MAX} models"));
    }
    Ok(())
}

fn book(model: &PricedModel) -> Result<Book, String> {
    let mut rows = map_rows(&model.price)?;
    let mut conditional = Vec::new();
    for row in &model.row {
        let meter = meter(&row.meter)?;
        let price = parse_price(&row.price, row.per.unwrap_or_else(|| default_per(meter))).map_err(text)?;
        let conditions = conditions(row)?;
        match conditions.is_empty() {
            true => rows.push((meter, price)),
            false => conditional.push(ConditionalRow { meter, conditions, price }),
        }
    }
    if rows.len().saturating_add(conditional.len()) > ROWS_MAX {
        return Err(format!("more than {ROWS_MAX} rows"));
    }
    if model.free {
        return match (rows.is_empty() && conditional.is_empty(), model.tier.is_empty()) {
            (true, true) => Ok(Book::Free),
            _ => Err("is marked free and priced: choose one".to_owned()),
        };
    }
    let tier = match (model.tiers.as_deref(), model.tier.as_slice()) {
        (None, []) => None,
        (Some(mode), [tier]) => {
            let mode = match mode {
                "whole" => TierMode::Whole,
                "marginal" => TierMode::Marginal,
                _ => return Err("`tiers` is `whole` or `marginal`".to_owned()),
            };
            Some((mode, Tier { input_over: tier.input_over, rows: map_rows(&tier.price)? }))
        }
        (None, _) => return Err("has `tier` rows, but `tiers` does not say `whole` or `marginal`".to_owned()),
        (Some(_), []) => return Err("`tiers` is set, but there is no `tier`".to_owned()),
        (Some(_), _) => return Err("has more than one `tier`; one exists yet".to_owned()),
    };
    PriceSheet::with_conditions(&model.id, rows, conditional, tier).map(Book::Sheet).map_err(text)
}

/// When a row holds.
fn conditions(row: &PriceRow) -> Result<Conditions, String> {
    let said = [
        (Condition::Size, &row.size),
        (Condition::Quality, &row.quality),
        (Condition::Resolution, &row.resolution),
        (Condition::ServiceTier, &row.service_tier),
    ];
    let mut conditions = Conditions::NONE;
    for (condition, value) in said {
        if let Some(value) = value {
            if !is_value(value) {
                return Err(text(InvalidPrice::NotAValue(value.clone())));
            }
            conditions = conditions.with(condition, value);
        }
    }
    Ok(conditions)
}

fn map_rows(prices: &BTreeMap<String, String>) -> Result<Vec<(Meter, Price)>, String> {
    prices
        .iter()
        .map(|(name, price)| {
            let meter = meter(name)?;
            Ok((meter, parse_price(price, default_per(meter)).map_err(text)?))
        })
        .collect()
}

fn meter(name: &str) -> Result<Meter, String> {
    Meter::from_name(name).ok_or_else(|| {
        format!("unknown meter `{name}`{}", suggestion(name, Meter::ALL.iter().map(|meter| meter.name())))
    })
}

/// 1,000,000 for tokens and characters, else 1 (`money.md` §3).
fn default_per(meter: Meter) -> u64 {
    if meter.name().ends_with("_token") || meter == Meter::Character || meter.name().ends_with("1h_token") {
        1_000_000
    } else {
        1
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function of map_err")]
fn text(error: InvalidPrice) -> String {
    error.to_string()
}
