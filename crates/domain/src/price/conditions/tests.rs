//! Which row prices what: by what is asked, and by what the answer tells.

use super::super::{Bound, PriceSheet, parse_price};
use super::*;
use crate::meter::Meters;
use crate::money::Nano;
use std::sync::Arc;

/// Rows as `meter conditions price`, per one unit.
fn sheet(rows: &[(Meter, &str, &str)]) -> Result<Arc<PriceSheet>, InvalidPrice> {
    let (mut plain, mut conditional) = (Vec::new(), Vec::new());
    for (meter, conditions, price) in rows {
        let price = parse_price(price, if meter.is_token() { 1_000_000 } else { 1 }).unwrap();
        match conditions.parse::<Conditions>().unwrap() {
            conditions if conditions.is_empty() => plain.push((*meter, price)),
            conditions => conditional.push(ConditionalRow { meter: *meter, conditions, price }),
        }
    }
    PriceSheet::with_conditions("acme/draw", plain, conditional, None).map(Arc::new)
}

const DRAW: &[(Meter, &str, &str)] = &[
    (Meter::Image, "size=1024x1024 quality=standard", "0.04"),
    (Meter::Image, "size=1024x1024", "0.06"),
    (Meter::Image, "size=1024x1536 quality=high", "0.25"),
    (Meter::Image, "", "0.17"),
];

fn held(sheet: &Arc<PriceSheet>, asked: &str, images: u64) -> Result<Nano, Condition> {
    let bound = Bound { input: Meters::NONE.with(Meter::Image, images), output_per_choice: 0, choices: 1 };
    let bounding = sheet.bounding(&asked.parse().unwrap()).map_err(|Unpriced(condition)| condition)?;
    Ok(bounding.upper_bound(&bound).unwrap())
}

fn charged(sheet: &PriceSheet, told: &str, meters: Meters) -> (Nano, bool) {
    let (settled, is_guessed) = sheet.settling(&told.parse().unwrap());
    (settled.cost(&meters).unwrap(), is_guessed)
}

#[test]
fn v9_pictures_cost_by_size_and_quality_or_by_their_tokens() {
    let draw = sheet(DRAW).unwrap();
    let three = Meters::NONE.with(Meter::Image, 3);
    assert_eq!(charged(&draw, "size=1024x1536 quality=high", three), (Nano(750_000_000), false));
    assert_eq!(held(&draw, "size=1024x1536 quality=high", 3), Ok(Nano(750_000_000)));
    let tokens = sheet(&[(Meter::InputToken, "", "5"), (Meter::ImageOutputToken, "", "40")]).unwrap();
    let used = Meters::NONE.with(Meter::InputToken, 50).with(Meter::ImageOutputToken, 4_160);
    assert_eq!(charged(&tokens, "size=1024x1536 quality=high", used), (Nano(166_650_000), false));
}

#[test]
fn v11_a_video_costs_by_the_resolution_it_was_delivered_in() {
    let film = sheet(&[(Meter::VideoSecond, "resolution=720p", "0.10"), (Meter::VideoSecond, "", "0.50")]).unwrap();
    // min(⌈5.04⌉, 5) seconds of each of two.
    let used = Meters::NONE.with(Meter::VideoSecond, 10);
    assert_eq!(charged(&film, "resolution=720p", used), (Nano(1_000_000_000), false));
    assert_eq!(charged(&film, "resolution=1080p", used).0, Nano(5_000_000_000));
}

#[test]
fn the_row_with_the_most_matching_conditions_wins() {
    let draw = sheet(DRAW).unwrap();
    let one = Meters::NONE.with(Meter::Image, 1);
    for (told, nano) in [
        ("size=1024x1024 quality=standard", 40_000_000),
        ("size=1024x1024 quality=hd", 60_000_000),
        ("size=1024x1024", 60_000_000),
        ("size=512x512 quality=standard", 170_000_000),
        ("quality=high", 170_000_000),
        ("", 170_000_000),
    ] {
        assert_eq!(charged(&draw, told, one), (Nano(nano), false), "{told}");
    }
}

#[test]
fn what_is_left_open_is_held_at_the_dearest_row_that_can_come_of_it() {
    let draw = sheet(DRAW).unwrap();
    for (asked, nano) in [
        ("", 250_000_000),
        ("quality=standard", 170_000_000),
        // The row of this size is certain, so the one without conditions cannot win any more.
        ("size=1024x1024", 60_000_000),
        ("size=1024x1024 quality=standard", 40_000_000),
        ("size=1024x1536", 250_000_000),
        ("size=512x512", 170_000_000),
    ] {
        assert_eq!(held(&draw, asked, 1), Ok(Nano(nano)), "{asked}");
    }
}

#[test]
fn a_word_without_a_row_is_refused_and_one_that_an_answer_tells_is_the_cheapest() {
    let strict = sheet(&DRAW[..3]).unwrap();
    assert_eq!(held(&strict, "size=512x512", 1), Err(Condition::Size));
    assert_eq!(held(&strict, "size=1024x1536 quality=low", 1), Err(Condition::Quality));
    assert_eq!(held(&strict, "", 1), Ok(Nano(250_000_000)));
    let one = Meters::NONE.with(Meter::Image, 1);
    assert_eq!(charged(&strict, "size=512x512", one), (Nano(40_000_000), true), "nobody agreed to more");
    // A price for everybody is none for being served first.
    let chat: &[(Meter, &str, &str)] = &[(Meter::InputToken, "", "1"), (Meter::OutputToken, "", "2")];
    assert_eq!(held(&sheet(chat).unwrap(), "service_tier=priority", 0), Err(Condition::ServiceTier));
    let fast = [chat, &[(Meter::InputToken, "service_tier=priority", "3")]].concat();
    let fast = sheet(&fast).unwrap();
    let used = Meters::NONE.with(Meter::InputToken, 1_000_000).with(Meter::OutputToken, 1_000_000);
    assert_eq!(charged(&fast, "service_tier=priority", used), (Nano(5_000_000_000), false));
    assert_eq!(charged(&fast, "service_tier=default", used), (Nano(3_000_000_000), false));
    assert_eq!(held(&fast, "service_tier=flex", 0), Err(Condition::ServiceTier));
}

#[test]
fn rows_of_one_rank_that_could_both_match_are_no_price_book() {
    let tie = [(Meter::Image, "size=1024x1024", "1"), (Meter::Image, "quality=high", "2")];
    assert!(matches!(sheet(&tie), Err(InvalidPrice::Tie(Meter::Image, _, _))));
    let twice = [(Meter::Image, "size=1024x1024", "1"), (Meter::Image, "size=1024x1024", "2")];
    assert!(matches!(sheet(&twice), Err(InvalidPrice::Tie(..))));
    let apart = [(Meter::Image, "size=1024x1024", "1"), (Meter::Image, "size=512x512", "2")];
    assert!(sheet(&apart).is_ok());
    let ranks = [(Meter::Image, "size=1024x1024", "1"), (Meter::Image, "size=1024x1024 quality=high", "2")];
    assert!(sheet(&ranks).is_ok());
    let nothing = [(Meter::Image, "size=1024x1024", "0"), (Meter::Image, "", "0")];
    assert_eq!(sheet(&nothing), Err(InvalidPrice::ZeroNotFree));
}

#[test]
fn conditions_are_part_of_the_version_and_survive_its_text() {
    let draw = sheet(DRAW).unwrap();
    assert_eq!(PriceSheet::from_canonical(&draw.canonical()).as_ref(), Ok(&*draw));
    let other = [DRAW, &[(Meter::Image, "size=512x512", "0.01")]].concat();
    assert_ne!(sheet(&other).unwrap().version, draw.version);
    for text in ["size", "size=a=b", "weight=1", "size=1 size=2", "size="] {
        assert!(text.parse::<Conditions>().is_err(), "{text}");
    }
}

#[test]
fn no_condition_gives_an_endpoint_away() {
    use crate::endpoint::EndpointName;
    let free_if_small = sheet(&[(Meter::Image, "size=256x256", "0"), (Meter::Image, "", "0.17")]).unwrap();
    assert!(!free_if_small.measures(EndpointName::Images));
    assert!(sheet(DRAW).unwrap().measures(EndpointName::Images));
}

proptest::proptest! {
    /// Whatever an answer tells that fits what was asked, it costs no more than was held.
    #[test]
    fn a_hold_covers_every_answer_that_fits_what_was_asked(
        rows in proptest::collection::vec((0..4_usize, 0..4_usize, 1..1_000_u32), 1..8),
        asked in (0..4_usize, 0..4_usize),
        told in (0..5_usize, 0..5_usize),
    ) {
        const WORDS: [&str; 5] = ["", "a", "b", "c", "d"];
        let text = |(size, quality): (usize, usize)| {
            let word = |name: &str, at: usize| if at == 0 { String::new() } else { format!("{name}={} ", WORDS[at]) };
            format!("{}{}", word("size", size), word("quality", quality))
        };
        let prices: Vec<(String, String)> = rows.iter().map(|(size, quality, price)| (text((*size, *quality)), price.to_string())).collect();
        let listed: Vec<(Meter, &str, &str)> =
            prices.iter().map(|(conditions, price)| (Meter::Image, conditions.as_str(), price.as_str())).collect();
        // What is no price book proves nothing.
        let Ok(sheet) = sheet(&listed) else { return Ok(()) };
        // An answer keeps to what was asked, and is free where nothing was.
        let told = (if asked.0 == 0 { told.0 } else { asked.0 }, if asked.1 == 0 { told.1 } else { asked.1 });
        if let Ok(held) = held(&sheet, &text(asked), 1) {
            let (charge, is_guessed) = charged(&sheet, &text(told), Meters::NONE.with(Meter::Image, 1));
            proptest::prop_assert!(charge <= held || is_guessed, "{charge} above {held}");
        }
    }
}
