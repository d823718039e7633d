//! How long an uploaded sound is (W16), read from the file itself: all its packets are walked, for one field of a head
//! can be anything.
//!
//! Nothing is decoded. A file that is none, or that ends a reader's patience, has no length here; its bound follows from
//! its bytes.

use bytes::Bytes;
use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};
use symphonia::core::codecs::CODEC_TYPE_NULL;
use symphonia::core::formats::{FormatOptions, FormatReader};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::meta::MetadataOptions;
use symphonia::core::probe::Hint;

/// Packets of one file: a day of sound has some four million.
const PACKETS: u32 = 8_000_000;

/// Whole seconds, rounded up; at least one. `None` when it cannot be read.
pub(super) fn seconds(file: Bytes) -> Option<u64> {
    // A reader of other people's formats must not be able to end a request otherwise than by a refusal.
    catch_unwind(AssertUnwindSafe(|| walk(file))).ok().flatten()
}

fn walk(file: Bytes) -> Option<u64> {
    let source = MediaSourceStream::new(Box::new(Cursor::new(file)), MediaSourceStreamOptions::default());
    let (format, metadata) = (FormatOptions::default(), MetadataOptions::default());
    let mut reader = symphonia::default::get_probe().format(&Hint::new(), source, &format, &metadata).ok()?.format;
    let track = reader.tracks().iter().find(|track| track.codec_params.codec != CODEC_TYPE_NULL)?;
    let (id, base, rate) = (track.id, track.codec_params.time_base, track.codec_params.sample_rate);
    let units = units(reader.as_mut(), id)?;
    let (numerator, denominator) = match (base, rate) {
        (Some(base), _) => (base.numer, base.denom),
        (None, Some(rate)) => (1, rate),
        (None, None) => return None,
    };
    let scaled = units.checked_mul(u64::from(numerator))?;
    (denominator > 0).then(|| scaled.div_ceil(u64::from(denominator)).max(1))
}

/// Time units from the first packet to the end of the last; what packets say of their own lengths, if that is more.
fn units(reader: &mut dyn FormatReader, track: u32) -> Option<u64> {
    let (mut first, mut end, mut sum, mut packets) = (None, 0_u64, 0_u64, 0_u32);
    // Whatever ends it, what was walked is there: a file is often cut at its end.
    while let Ok(packet) = reader.next_packet() {
        packets = packets.checked_add(1).filter(|packets| *packets <= PACKETS)?;
        if packet.track_id() == track {
            first.get_or_insert(packet.ts());
            end = end.max(packet.ts().saturating_add(packet.dur()));
            sum = sum.saturating_add(packet.dur());
        }
    }
    Some(end.saturating_sub(first?).max(sum))
}
