//! The receipt: why one request cost what it cost, to the last unit (`money.md` §4).

use super::found;
use super::object::RequestObject;
use crate::authorize::Member;
use crate::query::Query;
use crate::respond::Refusal;
use crate::serve::Call;
use axum::Json;
use axum::extract::State;
use claviger_domain::audit::{Action, Chain};
use claviger_domain::ledger::{TransferId, TransferKind};
use claviger_domain::money::{Nano, Price};
use claviger_domain::price::{CostLine, PriceSheet};
use claviger_domain::request::RequestRecord;
use claviger_storage::{AuditFilter, PageRequest};
use serde::Serialize;

/// Digits behind the point of an exact amount: nano-units per 10⁶ units.
const EXACT_DIGITS: usize = 15;

#[derive(Serialize)]
pub(crate) struct Receipt {
    object: &'static str,
    request: RequestObject,
    lines: Vec<Line>,
    /// The sum of the lines before rounding.
    exact: String,
    /// What rounding up added; below one nano-unit.
    rounding: String,
    charged: String,
    held: String,
    released: String,
    absorbed: String,
    currency: String,
    /// The movement of money, if there was one.
    transfer: Option<String>,
    /// What refused, in words, for refusals.
    refusal: Option<&'static str>,
    /// The rule that refused, and who set it last, for refusals by a rule.
    refused_by: Option<RefusedByRule>,
}

#[derive(Serialize)]
struct RefusedByRule {
    rule: String,
    value: String,
    set_by: Option<String>,
    set_at: Option<i64>,
}

#[derive(Serialize)]
struct Line {
    meter: &'static str,
    quantity: u64,
    /// Per 1,000,000 units; `null` when the model is free.
    price: Option<String>,
    /// The meter whose price stands in, when this one has none.
    priced_as: Option<&'static str>,
    amount: String,
}

pub(crate) async fn handler(State(call): State<Call<Member>>, query: Query) -> Result<Json<Receipt>, Refusal> {
    query.finish()?;
    let record = found(&call).await?;
    let store = call.control.store();
    let sheet = match record.price_version {
        None => None,
        Some(version) => store.find_price_version(version).await?,
    };
    let refused_by = rule_of(&call, &record).await?;
    let currency = call.control.settings().currency.clone();
    Ok(Json(Receipt { refused_by, ..receipt(&record, sheet.as_ref(), currency) }))
}

/// The rule that refused, and the last act before the request on whatever the rule is of.
async fn rule_of(call: &Call<Member>, record: &RequestRecord) -> Result<Option<RefusedByRule>, Refusal> {
    let Some(refused) = record.refused_by.as_deref() else { return Ok(None) };
    let (target, actions) = match refused.rule.split('.').next() {
        Some("key") => (record.key.to_string(), vec![Action::KeyCreated, Action::KeyUpdated]),
        Some("environment") => {
            (record.environment.to_string(), vec![Action::RateLimitUpdated, Action::ModelPermissionsUpdated])
        }
        _ => (record.organization.to_string(), vec![Action::RateLimitUpdated, Action::OrganizationUpdated]),
    };
    let filter =
        AuditFilter { until: Some(record.completed_at), actions, targets: vec![target], ..AuditFilter::default() };
    let page = PageRequest { limit: 1, ..PageRequest::default() };
    let found = call.control.store().list_audit_of(Chain::Organization(record.organization), &filter, &page).await?;
    let last = found.and_then(|page| page.data.into_iter().next());
    let by = last.as_ref().map(|entry| entry.record.attribution.actor.parts());
    Ok(Some(RefusedByRule {
        rule: refused.rule.clone(),
        value: refused.value.clone(),
        set_by: by.map(|(kind, id)| format!("{kind} {id}")),
        set_at: last.as_ref().map(|entry| entry.record.attribution.at.seconds()),
    }))
}

fn receipt(record: &RequestRecord, sheet: Option<&PriceSheet>, currency: String) -> Receipt {
    let told = record.conditions.as_deref().cloned().unwrap_or_default();
    let settled = sheet.map(|sheet| sheet.settling(&told).0);
    let sheet = settled.as_deref();
    let cost_lines = sheet.map(|sheet| sheet.lines(&record.meters)).unwrap_or_default();
    let exact: i128 = cost_lines.iter().map(products).sum();
    let cost = sheet.and_then(|sheet| sheet.cost(&record.meters)).unwrap_or_default();
    let lines = match sheet {
        Some(_) => cost_lines.iter().map(Line::priced).collect(),
        None => record.meters.iter().map(|(meter, quantity)| Line::free(meter.name(), quantity)).collect(),
    };
    let refusal = record.error_code.and_then(summary);
    Receipt {
        object: "organization.request.receipt",
        request: RequestObject::new(record),
        lines,
        exact: exact_text(exact),
        rounding: exact_text(i128::from(cost.0).saturating_mul(1_000_000).saturating_sub(exact)),
        charged: record.charge.to_string(),
        held: record.hold.to_string(),
        released: record.hold.saturating_sub(record.charge).to_string(),
        absorbed: record.absorbed.to_string(),
        currency,
        transfer: (record.charge > Nano::ZERO)
            .then(|| TransferId::of(TransferKind::Charge, &record.id.to_string()).to_string()),
        refusal,
        refused_by: None,
    }
}

/// What a public code means, in one sentence.
fn summary(code: &str) -> Option<&'static str> {
    use claviger_domain::error::Code;
    Code::ALL.iter().find(|candidate| candidate.text() == code).map(|found| found.summary())
}

fn products(line: &CostLine) -> i128 {
    i128::from(line.quantity).saturating_mul(i128::from(line.price.0))
}

impl Line {
    fn priced(line: &CostLine) -> Self {
        Self {
            meter: line.meter.name(),
            quantity: line.quantity,
            price: Some(price_text(line.price)),
            priced_as: (line.priced_as != line.meter).then_some(line.priced_as.name()),
            amount: exact_text(products(line)),
        }
    }

    fn free(meter: &'static str, quantity: u64) -> Self {
        Self { meter, quantity, price: None, priced_as: None, amount: Nano::ZERO.to_string() }
    }
}

/// A price per 1,000,000 units without superfluous zeros: `2.50`, `0.075`, `10`.
fn price_text(price: Price) -> String {
    let text = Nano(price.0).to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        short if short.len() < 2 => format!("{whole}.{short:0<2}"),
        kept => format!("{whole}.{kept}"),
    }
}

/// Nano-units × 10⁻⁶ as a decimal text: 9 digits behind the point, more only where they are not zero.
fn exact_text(products: i128) -> String {
    const UNIT: u128 = 1_000_000_000_000_000;
    let sign = if products < 0 { "-" } else { "" };
    let magnitude = products.unsigned_abs();
    let fraction = format!("{:0EXACT_DIGITS$}", magnitude % UNIT);
    let (nano, rest) = fraction.split_at_checked(9).unwrap_or((&fraction, ""));
    format!("{sign}{}.{nano}{}", magnitude / UNIT, rest.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_amounts_show_every_digit_that_is_not_zero() {
        assert_eq!(exact_text(1_808 * 2_500_000_000), "0.004520000");
        assert_eq!(exact_text(2_500_000), "0.0000000025");
        assert_eq!(exact_text(0), "0.000000000");
        assert_eq!(exact_text(12_345_678_900_000_000_000), "12345.678900000");
    }

    #[test]
    fn prices_are_written_as_price_lists_write_them() {
        for (nano, text) in
            [(2_500_000_000, "2.50"), (75_000_000, "0.075"), (10_000_000_000, "10"), (600_000_000, "0.60")]
        {
            assert_eq!(price_text(Price(nano)), text);
        }
    }
}
