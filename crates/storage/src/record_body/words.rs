//! The words that most bodies have, as two bytes each: a third of a body would be names.
//!
//! A word that a list here has is written as its place in it, behind a byte that stands where a name has its length; any
//! other by its name. Places are for good: a list grows at its end only, and nobody must add to it, since a word that is
//! missing costs a few bytes and nothing else.

use super::{Reader, put_text};
use claviger_domain::endpoint::EndpointName;
use claviger_domain::meter::{Meter, UsageSource};
use claviger_domain::request::{Delivery, Outcome};

/// Stands where a name has its length: no name of a list is as long.
const PLACE: u8 = 254;

pub(super) const ENDPOINTS: [EndpointName; 3] =
    [EndpointName::ChatCompletions, EndpointName::Completions, EndpointName::Embeddings];

pub(super) const OUTCOMES: [Outcome; 4] =
    [Outcome::Complete, Outcome::CutAtHold, Outcome::ClientClosed, Outcome::Refused];

pub(super) const SOURCES: [UsageSource; 4] =
    [UsageSource::UpstreamFinal, UsageSource::UpstreamRunning, UsageSource::Estimated, UsageSource::None];

pub(super) const DELIVERIES: [Delivery; 2] = [Delivery::Delivered, Delivery::NotDelivered];

pub(super) const METERS: [Meter; 7] = [
    Meter::InputToken,
    Meter::OutputToken,
    Meter::CachedInputToken,
    Meter::AudioInputToken,
    Meter::ReasoningToken,
    Meter::AudioOutputToken,
    Meter::CacheWriteToken,
];

/// Writes a word: its place in the list, or its name.
pub(super) fn put<T: PartialEq>(out: &mut Vec<u8>, list: &[T], word: &T, name: &str) {
    match list.iter().position(|known| known == word).map(u8::try_from) {
        Some(Ok(place)) => out.extend_from_slice(&[PLACE, place]),
        _ => put_text(out, name),
    }
}

/// Writes the words that every body has, in their order.
pub(super) fn put_all(
    out: &mut Vec<u8>,
    endpoint: EndpointName,
    outcome: Outcome,
    source: UsageSource,
    delivery: Delivery,
) {
    put(out, &ENDPOINTS, &endpoint, endpoint.name());
    put(out, &OUTCOMES, &outcome, outcome.name());
    put(out, &SOURCES, &source, source.name());
    put(out, &DELIVERIES, &delivery, delivery.name());
}

impl Reader<'_> {
    /// Reads a word, whichever way it was written.
    pub(super) fn word<T: Copy>(&mut self, list: &[T], from_name: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        if self.0.first() != Some(&PLACE) {
            return from_name(self.text()?);
        }
        let [_, place] = self.array()?;
        list.get(usize::from(place)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record_body::Body;

    #[test]
    fn the_places_of_words_are_those_of_every_version() {
        assert_eq!(ENDPOINTS.map(EndpointName::name), ["chat.completions", "completions", "embeddings"]);
        assert_eq!(OUTCOMES.map(Outcome::name), ["complete", "cut_at_hold", "client_closed", "refused"]);
        assert_eq!(SOURCES.map(UsageSource::name), ["upstream_final", "upstream_running", "estimated", "none"]);
        assert_eq!(DELIVERIES.map(Delivery::name), ["delivered", "not_delivered"]);
        let meters = ["input_token", "output_token", "cached_input_token", "audio_input_token", "reasoning_token"];
        assert_eq!(METERS.map(Meter::name), [&meters[..], &["audio_output_token", "cache_write_token"]].concat()[..]);
    }

    /// As it was written before there were lists: every word by its name.
    const FORMER: &str = "987f27dd45e487a82771dc902800a201e765fe0f67eca4aec87515c02600a2013f17bf6c7283fcbf457515c02600a201\
        1be296cdefebdf917f70b7d62600a2014130325573356b724d55503410636861742e636f6d706c6574696f6e7308636f\
        6d706c6574650e757073747265616d5f66696e616c0964656c6976657265640962656e6368203832310a62656e63682d\
        667265650000010562656e6368011a7265715f3033353166354270534f4d5a3554555a696e4b657371000000000001c8\
        0084dc759ed0600600dfe0759ed060060000000000000000000000000000000000000000000000000001dee0759ed060\
        06000006000b696e7075745f746f6b656e3700000000000000126361636865645f696e7075745f746f6b656e00000000\
        0000000011617564696f5f696e7075745f746f6b656e00000000000000000c6f75747075745f746f6b656e2c00000000\
        0000000f726561736f6e696e675f746f6b656e000000000000000012617564696f5f6f75747075745f746f6b656e0000\
        00000000000001000373696dc8000100000000000000000000";

    #[test]
    fn a_body_with_names_reads_and_is_shorter_when_it_is_written_again() {
        let digits = FORMER.as_bytes().chunks(2);
        let former: Vec<u8> =
            digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect();
        let record = Body::read(&former).unwrap().record();
        assert_eq!((record.endpoint, record.outcome), (EndpointName::ChatCompletions, Outcome::Complete));
        assert_eq!(record.meters.of(Meter::InputToken), Some(55));
        let mut again = Vec::new();
        super::super::put(&mut again, &record);
        assert_eq!(Body::read(&again).unwrap().record(), record);
        assert!(again.len() * 3 < former.len() * 2 + 60, "{} of {}", again.len(), former.len());
    }

    #[test]
    fn a_word_reads_the_same_by_its_place_and_by_its_name() {
        for meter in Meter::ALL {
            let (mut short, mut long) = (Vec::new(), Vec::new());
            put(&mut short, &METERS, meter, meter.name());
            put(&mut long, &[], meter, meter.name());
            assert_eq!(short.len() == 2, METERS.contains(meter));
            for bytes in [&short, &long] {
                assert_eq!(Reader(bytes).word(&METERS, Meter::from_name), Some(*meter));
            }
        }
        assert_eq!(Reader(&[PLACE, 200]).word(&METERS, Meter::from_name), None, "a word of a later program");
        assert_eq!(Reader(&[PLACE]).word(&METERS, Meter::from_name), None);
    }
}
