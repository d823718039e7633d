//! Links to results: whoever has one may fetch that result until it is forgotten, without a key (`wire.md` W18).
//!
//! A link's last segment is `<until>-<version>-<mac>`: seconds since 1970, the pepper's version, and the first 16 bytes of
//! HMAC-SHA-256 over what it opens and until when, in hexadecimal digits. It holds no key and is shaped like none. What a
//! result is and where it lies is not known here.

use crate::id::TaskId;
use crate::secret::Pepper;
use crate::time::Timestamp;
use std::fmt::Write as _;
use subtle::ConstantTimeEq as _;

/// What the key of links is derived for.
const LABEL: &str = "claviger result link 1";

/// The last segment of a link to a task's result; `None` without a pepper.
pub fn result_link(peppers: &[Pepper], task: TaskId, until: Timestamp) -> Option<String> {
    let pepper = peppers.last()?;
    Some(text(pepper, task, until.seconds()))
}

/// Whether this is the last segment of a link to a task's result that is still good.
pub fn is_result_link(peppers: &[Pepper], task: TaskId, link: &str, now: Timestamp) -> bool {
    let mut parts = link.splitn(3, '-');
    let until = parts.next().and_then(|until| until.parse::<i64>().ok());
    let version = parts.next().and_then(|version| version.parse::<u16>().ok());
    let (Some(until), Some(version)) = (until, version) else { return false };
    let pepper = peppers.iter().find(|pepper| pepper.version == version);
    let is_signed = |pepper| bool::from(text(pepper, task, until).as_bytes().ct_eq(link.as_bytes()));
    now.seconds() < until && pepper.is_some_and(is_signed)
}

fn text(pepper: &Pepper, task: TaskId, until: i64) -> String {
    let mac = pepper.sign(LABEL, format!("{task}/{until}").as_bytes());
    let mut text = format!("{until}-{}-", pepper.version);
    for byte in mac.iter().take(16) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_opens_one_result_until_its_time_is_over() {
        let peppers = [Pepper::new(1, [1; 32]), Pepper::new(2, [2; 32])];
        let (task, until, now) = (TaskId::from_u128(7), Timestamp::from_seconds(1_000), Timestamp::from_seconds(999));
        let link = result_link(&peppers, task, until).unwrap();
        assert!(link.starts_with("1000-2-") && link.len() == 39, "{link}");
        assert!(is_result_link(&peppers, task, &link, now));
        assert!(!is_result_link(&peppers, task, &link, until), "it is over");
        assert!(!is_result_link(&peppers, TaskId::from_u128(8), &link, now), "another's");
        assert!(!is_result_link(&peppers[..1], task, &link, now), "of a pepper that is gone");
        let longer = link.replacen("1000", "9999", 1);
        assert!(!is_result_link(&peppers, task, &longer, now), "nobody but us makes it longer");
        for odd in ["", "-", "1000-2", "1000-2-", "+1000-2-0", &link.to_uppercase()[..]] {
            assert!(!is_result_link(&peppers, task, odd, now), "{odd}");
        }
        let old = result_link(&peppers[..1], task, until).unwrap();
        assert!(is_result_link(&peppers, task, &old, now), "a new pepper does not end it");
    }
}
