//! The vectors of `money.md` §1, and the properties that every price book keeps.

use super::*;
use proptest::prelude::*;

fn sheet(rows: &[(Meter, &str)]) -> PriceSheet {
    PriceSheet::new("m", rows_of(rows), None).unwrap()
}

fn rows_of(rows: &[(Meter, &str)]) -> Vec<(Meter, Price)> {
    rows.iter().map(|(meter, text)| (*meter, parse_price(text, 1_000_000).unwrap())).collect()
}

fn meters(list: &[(Meter, u64)]) -> Meters {
    list.iter().fold(Meters::NONE, |sum, (meter, n)| sum.with(*meter, *n))
}

fn tiered(mode: TierMode, upper: &[(Meter, &str)]) -> PriceSheet {
    let base = [(Meter::InputToken, "1.25"), (Meter::CachedInputToken, "0.125"), (Meter::OutputToken, "10")];
    PriceSheet::new("m", rows_of(&base), Some((mode, Tier { input_over: 200_000, rows: rows_of(upper) }))).unwrap()
}

const WHOLE: [(Meter, &str); 3] =
    [(Meter::InputToken, "2.50"), (Meter::CachedInputToken, "0.25"), (Meter::OutputToken, "15")];
const MARGINAL: [(Meter, &str); 2] = [(Meter::InputToken, "2.50"), (Meter::CachedInputToken, "0.25")];

/// One price of each base.
const BASES: [Meter; 8] = [
    Meter::InputToken,
    Meter::OutputToken,
    Meter::Character,
    Meter::AudioSecond,
    Meter::SearchUnit,
    Meter::Image,
    Meter::VideoSecond,
    Meter::Request,
];

#[test]
fn every_base_measures_an_endpoint_or_would_give_it_away() {
    for base in BASES {
        let sheet = sheet(&[(base, "0.000001")]);
        for endpoint in EndpointName::ALL.iter().copied().filter(|endpoint| !endpoint.counted().is_empty()) {
            let least: Vec<_> = endpoint.counted().iter().map(|meter| (*meter, 1)).collect();
            let cost = sheet.cost(&meters(&least)).unwrap();
            assert_eq!(sheet.measures(endpoint), cost > Nano::ZERO, "{} by {base}", endpoint.name());
        }
        let measured = EndpointName::ALL.iter().filter(|endpoint| sheet.measures(**endpoint)).count();
        assert!(measured > 0, "{base} prices something");
    }
    assert!(!sheet(&[(Meter::Character, "15")]).measures(EndpointName::ChatCompletions));
    assert!(!sheet(&[(Meter::OutputToken, "15")]).measures(EndpointName::Embeddings));
    let free_input = sheet(&[(Meter::InputToken, "0"), (Meter::OutputToken, "15")]);
    assert!(free_input.measures(EndpointName::Messages) && !free_input.measures(EndpointName::AudioTranscriptions));
    assert!(sheet(&[(Meter::Character, "15")]).measures(EndpointName::Models), "the free list needs no price");
}

#[test]
fn plain_vectors() {
    let v1 = sheet(&[(Meter::InputToken, "0.15"), (Meter::OutputToken, "0.60")]);
    assert_eq!(v1.cost(&meters(&[(Meter::InputToken, 1_234), (Meter::OutputToken, 567)])), Some(Nano(525_300)));
    let v2 = sheet(&[(Meter::InputToken, "0.0025")]);
    assert_eq!(v2.cost(&meters(&[(Meter::InputToken, 1)])), Some(Nano(3)));
    assert_eq!(v2.cost(&meters(&[(Meter::InputToken, 1_000_000)])), Some(Nano(2_500_000)));
    let v4 = sheet(&[(Meter::InputToken, "2.50"), (Meter::CachedInputToken, "1.25"), (Meter::OutputToken, "10")]);
    let used = meters(&[
        (Meter::InputToken, 1_808),
        (Meter::CachedInputToken, 8_192),
        (Meter::OutputToken, 180),
        (Meter::ReasoningToken, 320),
    ]);
    assert_eq!(v4.cost(&used), Some(Nano(19_760_000)));
    assert_eq!(
        v4.lines(&used).last().map(|line| (line.meter, line.priced_as)),
        Some((Meter::ReasoningToken, Meter::OutputToken))
    );
    let v5 = sheet(&[(Meter::InputToken, "1.25"), (Meter::CachedInputToken, "0.20"), (Meter::OutputToken, "2.50")]);
    assert_eq!(
        v5.cost(&meters(&[
            (Meter::InputToken, 9_992),
            (Meter::CachedInputToken, 128),
            (Meter::OutputToken, 1_499),
            (Meter::ReasoningToken, 2_809)
        ])),
        Some(Nano(23_285_600))
    );
    let v6 = sheet(&[
        (Meter::InputToken, "3"),
        (Meter::CachedInputToken, "0.30"),
        (Meter::CacheWriteToken, "3.75"),
        (Meter::CacheWrite1hToken, "6"),
        (Meter::OutputToken, "15"),
    ]);
    assert_eq!(
        v6.cost(&meters(&[
            (Meter::InputToken, 1_000),
            (Meter::CachedInputToken, 20_000),
            (Meter::CacheWriteToken, 3_000),
            (Meter::CacheWrite1hToken, 500),
            (Meter::OutputToken, 700)
        ])),
        Some(Nano(33_750_000))
    );
}

#[test]
fn tier_vectors() {
    let v7 = meters(&[(Meter::InputToken, 200_000), (Meter::CachedInputToken, 50_000), (Meter::OutputToken, 2_000)]);
    assert_eq!(tiered(TierMode::Whole, &WHOLE).cost(&v7), Some(Nano(542_500_000)));
    assert_eq!(tiered(TierMode::Marginal, &MARGINAL).cost(&v7), Some(Nano(338_750_000)));
    let v8 = meters(&[(Meter::InputToken, 150_000), (Meter::CachedInputToken, 50_000), (Meter::OutputToken, 2_000)]);
    let above = v8.with(Meter::InputToken, 150_001);
    assert_eq!(tiered(TierMode::Whole, &WHOLE).cost(&v8), Some(Nano(213_750_000)));
    assert_eq!(tiered(TierMode::Whole, &WHOLE).cost(&above), Some(Nano(417_502_500)));
    assert_eq!(tiered(TierMode::Marginal, &MARGINAL).cost(&above), Some(Nano(213_752_500)));
}

#[test]
fn other_bases() {
    let rate =
        |meter, text: &str, per| PriceSheet::new("m", vec![(meter, parse_price(text, per).unwrap())], None).unwrap();
    assert_eq!(rate(Meter::AudioSecond, "0.006", 60).cost(&meters(&[(Meter::AudioSecond, 62)])), Some(Nano(6_200_000)));
    assert_eq!(
        rate(Meter::AudioSecond, "0.0043", 60).cost(&meters(&[(Meter::AudioSecond, 62)])),
        Some(Nano(4_443_334))
    );
    assert_eq!(parse_price("0.0043", 60), Ok(Price(71_666_666_667)));
    assert_eq!(rate(Meter::SearchUnit, "2.00", 1_000).cost(&meters(&[(Meter::SearchUnit, 3)])), Some(Nano(6_000_000)));
    assert_eq!(rate(Meter::Character, "15", 1_000_000).cost(&meters(&[(Meter::Character, 11)])), Some(Nano(165_000)));
    let v14 = PriceSheet::new(
        "m",
        vec![
            (Meter::InputToken, parse_price("1", 1_000_000).unwrap()),
            (Meter::OutputToken, parse_price("5", 1_000_000).unwrap()),
            (Meter::Request, parse_price("0.005", 1).unwrap()),
            (Meter::ToolCall, parse_price("10", 1_000).unwrap()),
        ],
        None,
    )
    .unwrap();
    assert_eq!(
        v14.cost(&meters(&[(Meter::InputToken, 300), (Meter::OutputToken, 40), (Meter::ToolCall, 2)])),
        Some(Nano(25_500_000))
    );
}

#[test]
fn hold_and_clamp_vectors() {
    let v15 = sheet(&[(Meter::InputToken, "2.50"), (Meter::OutputToken, "10")]);
    let bound = Bound { input: meters(&[(Meter::InputToken, 3_024)]), output_per_choice: 16_384, choices: 1 };
    assert_eq!(v15.upper_bound(&bound), Some(Nano(171_400_000)));
    for (available, tokens) in [(100_000_000, Some(9_244)), (8_000_000, Some(44)), (7_600_000, Some(4)), (1_000, None)]
    {
        assert_eq!(v15.clamp(&bound, Nano(available)), tokens, "{available}");
    }
    assert_eq!(v15.upper_bound(&Bound { output_per_choice: 9_244, ..bound }), Some(Nano(100_000_000)));
    let v17 = Bound { input: meters(&[(Meter::InputToken, 1_001_024)]), output_per_choice: 8_192, choices: 1 };
    assert_eq!(tiered(TierMode::Whole, &WHOLE).upper_bound(&v17), Some(Nano(2_625_440_000)));
    let absurd = Bound { input: meters(&[(Meter::InputToken, u64::MAX)]), output_per_choice: u64::MAX, choices: 128 };
    assert_eq!(v15.upper_bound(&absurd), None);
}

#[test]
fn a_request_price_alone_makes_bound_and_cost_equal() {
    let sheet = PriceSheet::new("m", vec![(Meter::Request, parse_price("0.0000001", 1).unwrap())], None).unwrap();
    let bound = Bound { input: meters(&[(Meter::InputToken, 5_000)]), output_per_choice: 100, choices: 2 };
    assert_eq!(sheet.upper_bound(&bound), Some(Nano(100)));
    assert_eq!(sheet.cost(&meters(&[(Meter::InputToken, 7), (Meter::OutputToken, 3)])), Some(Nano(100)));
    assert_eq!(sheet.clamp(&bound, Nano(50)), None);
}

#[test]
fn texts_that_are_no_prices() {
    for text in ["", "-1", "+1", "1e3", ".5", "1.", "NaN", "0.0000000000000001", "12345678901", "1,5"] {
        assert!(matches!(parse_price(text, 1_000_000), Err(InvalidPrice::NotAPrice(_))), "{text}");
    }
    assert!(matches!(parse_price("9224", 1), Err(InvalidPrice::OutOfRange(_))));
    assert!(parse_price("9223", 1).is_ok());
    assert_eq!(parse_price("1", 7), Err(InvalidPrice::UnknownPer(7)));
}

#[test]
fn sets_that_are_no_price_versions() {
    let one = |rows: &[(Meter, &str)]| PriceSheet::new("m", rows_of(rows), None);
    assert_eq!(one(&[]).unwrap_err(), InvalidPrice::Empty);
    assert_eq!(one(&[(Meter::InputToken, "0"), (Meter::OutputToken, "0")]).unwrap_err(), InvalidPrice::ZeroNotFree);
    assert_eq!(
        one(&[(Meter::InputToken, "1"), (Meter::InputToken, "2")]).unwrap_err(),
        InvalidPrice::Duplicate(Meter::InputToken)
    );
    assert_eq!(one(&[(Meter::InputToken, "1"), (Meter::Character, "2")]).unwrap_err(), InvalidPrice::Bases("two"));
    assert_eq!(one(&[(Meter::CachedInputToken, "1")]).unwrap_err(), InvalidPrice::Bases("none"));
    let missing = Tier { input_over: 5, rows: rows_of(&[(Meter::InputToken, "2")]) };
    let base = rows_of(&[(Meter::InputToken, "1"), (Meter::OutputToken, "2")]);
    assert!(matches!(PriceSheet::new("m", base, Some((TierMode::Whole, missing))), Err(InvalidPrice::Tiers(_))));
}

#[test]
fn a_version_is_named_by_its_content_and_reads_back() {
    let one = tiered(TierMode::Whole, &WHOLE);
    assert_eq!(PriceSheet::from_canonical(&one.canonical()), Ok(one.clone()));
    assert_ne!(one.version, tiered(TierMode::Marginal, &MARGINAL).version);
    assert!(PriceSheet::from_canonical("claviger-price/1\nmodel m\n0 input_token x\n").is_err());
}

/// `⌈Σ uᵢ·pᵢ / 10⁶⌉` by schoolbook long arithmetic on decimal digits, independent of `i128`.
fn oracle(products: &[(u64, i64)]) -> String {
    let mut sum = [0_u32; 48];
    for (quantity, price) in products {
        let (a, b) = (digits(*quantity), digits(u64::try_from(*price).unwrap()));
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                sum[i + j] += x * y;
            }
        }
        for index in 0..47 {
            sum[index + 1] += sum[index] / 10;
            sum[index] %= 10;
        }
    }
    let is_inexact = sum[..6].iter().any(|digit| *digit > 0);
    let mut whole: Vec<u32> = sum[6..].to_vec();
    if is_inexact {
        whole[0] += 1;
        for index in 0..41 {
            whole[index + 1] += whole[index] / 10;
            whole[index] %= 10;
        }
    }
    let text: String = whole.iter().rev().map(|digit| char::from_digit(*digit, 10).unwrap()).collect();
    let text = text.trim_start_matches('0').to_owned();
    if text.is_empty() { "0".to_owned() } else { text }
}

fn digits(mut number: u64) -> Vec<u32> {
    let mut out = vec![u32::try_from(number % 10).unwrap()];
    while number >= 10 {
        number /= 10;
        out.push(u32::try_from(number % 10).unwrap());
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100_000))]
    #[test]
    fn costs_equal_the_exact_rational_oracle(input in 0_u64..1_000_000_000, output in 0_u64..1_000_000_000, p in 1_i64..1_000_000_000_000, q in 0_i64..1_000_000_000_000) {
        let sheet = PriceSheet::new("m", vec![(Meter::InputToken, Price(p)), (Meter::OutputToken, Price(q))], None).unwrap();
        let cost = sheet.cost(&meters(&[(Meter::InputToken, input), (Meter::OutputToken, output)]));
        prop_assert_eq!(cost.map(|nano| nano.0.to_string()), Some(oracle(&[(input, p), (output, q)])));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn bound_covers_cost(input in 0_u64..400_000, cached in 0_u64..400_000, output in 0_u64..50_000, reasoning in 0_u64..50_000, choices in 1_u64..4, prices in prop::array::uniform6(0_i64..20_000_000_000), is_whole: bool) {
        let [a, b, c, d, e, f] = prices;
        let base = vec![(Meter::InputToken, Price(a + 1)), (Meter::CachedInputToken, Price(b)), (Meter::OutputToken, Price(c))];
        let upper = if is_whole { vec![(Meter::InputToken, Price(d)), (Meter::CachedInputToken, Price(e)), (Meter::OutputToken, Price(f))] } else { vec![(Meter::InputToken, Price(d))] };
        let mode = if is_whole { TierMode::Whole } else { TierMode::Marginal };
        let sheet = PriceSheet::new("m", base, Some((mode, Tier { input_over: 200_000, rows: upper }))).unwrap();
        let bound = Bound { input: meters(&[(Meter::InputToken, 400_000)]), output_per_choice: 50_000, choices };
        let cached = cached.min(400_000 - input);
        let reasoning = reasoning.min(50_000 * choices - output);
        let used = meters(&[(Meter::InputToken, input), (Meter::CachedInputToken, cached), (Meter::OutputToken, output), (Meter::ReasoningToken, reasoning)]);
        prop_assert!(sheet.cost(&used).unwrap() <= sheet.upper_bound(&bound).unwrap());
    }

    #[test]
    fn a_clamp_fits_and_is_the_largest_that_does(input in 0_u64..100_000, available in 0_i64..10_000_000_000, p in 1_i64..20_000_000_000, q in 1_i64..20_000_000_000, choices in 1_u64..5) {
        let sheet = PriceSheet::new("m", vec![(Meter::InputToken, Price(p)), (Meter::OutputToken, Price(q))], None).unwrap();
        let bound = Bound { input: meters(&[(Meter::InputToken, input)]), output_per_choice: 1_000_000, choices };
        if let Some(tokens) = sheet.clamp(&bound, Nano(available)) {
            let fits = sheet.upper_bound(&Bound { output_per_choice: tokens, ..bound }).unwrap();
            let next = sheet.upper_bound(&Bound { output_per_choice: tokens + 1, ..bound }).unwrap();
            prop_assert!(fits <= Nano(available) && next > Nano(available));
        }
    }
}

#[test]
fn what_a_base_counts_is_taken_from_the_estimate_when_nobody_said_it() {
    let pair = meters(&[(Meter::InputToken, 40), (Meter::SearchUnit, 3)]);
    let guess = Estimate { input: pair, source: UsageSource::Estimated, has_output: false };
    let (units, tokens) = (sheet(&[(Meter::SearchUnit, "2000")]), sheet(&[(Meter::InputToken, "1")]));
    let usage = |rows: &[(Meter, u64)], source| Usage { meters: meters(rows), source, is_anomalous: false };
    let (told, computed, guessed) = (UsageSource::UpstreamFinal, UsageSource::Computed, UsageSource::Estimated);
    for (sheet, said, expected) in [
        (&units, usage(&[(Meter::SearchUnit, 2)], told), usage(&[(Meter::SearchUnit, 2)], told)),
        (
            &units,
            usage(&[(Meter::InputToken, 9)], told),
            usage(&[(Meter::InputToken, 9), (Meter::SearchUnit, 3)], computed),
        ),
        (
            &units,
            Usage { meters: pair, source: guessed, is_anomalous: false },
            usage(&[(Meter::SearchUnit, 3)], computed),
        ),
        (&tokens, usage(&[(Meter::InputToken, 9)], told), usage(&[(Meter::InputToken, 9)], told)),
        (
            &tokens,
            usage(&[(Meter::SearchUnit, 2)], told),
            usage(&[(Meter::InputToken, 40), (Meter::SearchUnit, 2)], guessed),
        ),
    ] {
        assert_eq!(sheet.measured(said, &guess), expected, "{said:?}");
    }
    let unread = Estimate { input: meters(&[(Meter::AudioSecond, 7)]), source: guessed, has_output: false };
    let by_seconds = sheet(&[(Meter::AudioSecond, "100")]);
    let nothing = usage(&[(Meter::AudioSecond, 7)], guessed);
    assert_eq!(by_seconds.measured(nothing, &unread).source, guessed, "a guess at seconds stays one");
}
