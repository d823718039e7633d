//! Each act on a key at its edges.

use super::*;
use crate::id::{EnvironmentId, KeyId, OrganizationId};
use crate::key::{Class, Policy};

const T: Timestamp = Timestamp(1_000_000_000_000);
const DAY_OF_OVERLAP: Rotation = Rotation { overlap: DAY, finish_when_quiet_hours: None, at_deadline: AtDeadline::End };

fn text(byte: u8) -> NewText {
    NewText { digest: Digest::from_bytes([byte; 32]), pepper_version: 1, redacted: format!("clv_…{byte:04}") }
}

fn key() -> Key {
    let mut first = StoredSecret::new(SecretId::from_u128(1), Digest::from_bytes([1; 32]), 1, "clv_…0001".into(), T);
    first.reissue_until = Some(T.plus(limits::REISSUE_WINDOW));
    Key {
        id: KeyId::from_symbols(b"0000000000AZ").unwrap(),
        organization: OrganizationId::from_u128(1),
        environment: EnvironmentId::from_u128(1),
        class: Class::Inference,
        is_test: false,
        is_canary: false,
        name: "k".into(),
        source_tag: None,
        owner: None,
        created_by: "operator".into(),
        role: None,
        state: StoredState::Enabled,
        state_changed: None,
        expires_at: None,
        policy: Policy::default(),
        stored_in: None,
        exposed_at: None,
        rotation_due_since: Some(T),
        new_caller_at: None,
        rate_limited_at: None,
        created_at: T,
        last_used_at: None,
        version: 1,
        secrets: vec![first],
    }
}

fn rotated(key: &Key, number: u8, now: Timestamp) -> Result<Key, Unwilling> {
    rotate(key, SecretId::from_u128(u128::from(number)), text(number), DAY_OF_OVERLAP, "operator", now)
}

#[test]
fn rotation_keeps_the_key_and_ends_the_old_secret_after_the_overlap() {
    let next = rotated(&key(), 2, T).unwrap();
    let [newest, old] = &next.secrets[..] else { panic!() };
    assert_eq!((newest.number, newest.ends_at, old.ends_at), (2, None, Some(T.plus(DAY))));
    assert_eq!((next.name.as_str(), next.rotation_due_since), ("k", None));
    assert!(old.is_live(T.plus(DAY).minus(Duration::from_micros(1))) && !old.is_live(T.plus(DAY)));
    assert_eq!(old.ended(T.plus(DAY)), Some(T.plus(DAY)), "the clock decides, not a job");
}

#[test]
fn an_overlap_ends_with_the_key_and_never_later_than_it_would_have() {
    let short = Key { expires_at: Some(T.plus(HOUR)), ..key() };
    assert_eq!(rotated(&short, 2, T).unwrap().secrets[1].ends_at, Some(T.plus(HOUR)));
    let twice = rotated(&rotated(&key(), 2, T).unwrap(), 3, T.plus(HOUR)).unwrap();
    let ends: Vec<_> = twice.secrets.iter().map(|secret| secret.ends_at).collect();
    assert_eq!(ends, [None, Some(T.plus(HOUR).plus(DAY)), Some(T.plus(DAY))]);
}

#[test]
fn a_fourth_live_secret_is_refused_and_the_next_end_named() {
    let third = rotated(&rotated(&key(), 2, T).unwrap(), 3, T).unwrap();
    assert_eq!(rotated(&third, 4, T).unwrap_err(), Unwilling::TooManySecrets { next_end: Some(T.plus(DAY)) });
    assert!(rotated(&third, 4, T.plus(DAY)).is_ok(), "ended ones do not count");
    let at_once = Rotation { overlap: Duration::ZERO, ..DAY_OF_OVERLAP };
    let next = rotate(&third, SecretId::from_u128(4), text(4), at_once, "operator", T).unwrap();
    assert_eq!(next.live_secrets(T).count(), 1, "without overlap there is never a fourth");
}

#[test]
fn only_an_active_key_is_rotated() {
    let expired = Key { expires_at: Some(T), ..key() };
    assert_eq!(rotated(&expired, 2, T).unwrap_err(), Unwilling::NotActive(KeyState::Expired { at: T }));
    let disabled = disable(&key(), None, "operator", T).unwrap().unwrap();
    assert_eq!(rotated(&disabled, 2, T).unwrap_err(), Unwilling::NotActive(KeyState::Disabled));
    let revoked = revoke(&key(), RevocationReason::Other, "operator", T).unwrap();
    assert_eq!(rotated(&revoked, 2, T).unwrap_err(), Unwilling::Revoked);
}

#[test]
fn a_lost_value_is_issued_again_within_ten_minutes_and_before_its_first_use() {
    let last = T.plus(limits::REISSUE_WINDOW).minus(Duration::from_micros(1));
    let lost = SecretId::from_u128(77);
    let next = reissue(&key(), text(9), lost, "operator", last).unwrap();
    let [secret, former] = &next.secrets[..] else { panic!() };
    assert_eq!((former.id, former.number, former.ended_at), (lost, 1, Some(last)));
    assert!(former.is_lost() && former.digest.matches(&key().secrets[0].digest) && !former.is_live(last));
    assert_eq!((secret.id, secret.number), (SecretId::from_u128(1), 1));
    assert!(secret.digest.matches(&Digest::from_bytes([9; 32])));
    let late = reissue(&key(), text(9), lost, "operator", T.plus(limits::REISSUE_WINDOW));
    assert_eq!(late.unwrap_err(), Unwilling::WindowOver);
    let mut used = key();
    used.secrets[0].first_used_at = Some(T);
    assert_eq!(reissue(&used, text(9), lost, "operator", T).unwrap_err(), Unwilling::SecretUsed);
    let again = |key: &Key| reissue(key, text(9), lost, "operator", T);
    let often = (0..limits::REISSUES).fold(key(), |key, _| again(&key).unwrap());
    assert_eq!(again(&often).unwrap_err(), Unwilling::WindowOver);
}

#[test]
fn one_secret_ends_and_the_newest_only_with_the_key() {
    let next = rotated(&key(), 2, T).unwrap();
    let (newest, old) = (SecretId::from_u128(2), SecretId::from_u128(1));
    assert_eq!(end_secret(&next, newest, T).unwrap_err(), Unwilling::NewestSecret);
    assert_eq!(end_secret(&next, SecretId::from_u128(7), T).unwrap_err(), Unwilling::UnknownSecret);
    let ended = end_secret(&next, old, T).unwrap().unwrap();
    assert_eq!((ended.secrets[1].ended_at, ended.secrets[1].end_reason), (Some(T), Some(EndReason::Ended)));
    assert!(end_secret(&ended, old, T).unwrap().is_none(), "repeating changes nothing");
}

#[test]
fn an_overlap_is_extended_to_thirty_days_from_the_rotation() {
    let next = rotated(&key(), 2, T).unwrap();
    let old = SecretId::from_u128(1);
    let latest = T.plus(limits::OVERLAP_MAX);
    let extend = |until| extend_secret(&next, old, until, T.plus(HOUR));
    assert_eq!(extend(latest.plus(HOUR)).unwrap_err(), Unwilling::TooLate { latest });
    assert_eq!(extend(latest).unwrap().unwrap().secrets[1].ends_at, Some(latest));
    assert!(extend(T.plus(DAY)).unwrap().is_none());
    assert_eq!(extend_secret(&next, old, latest, T.plus(DAY)).unwrap_err(), Unwilling::NoOverlap);
}

#[test]
fn a_rotation_finishes_when_the_old_secret_is_quiet_and_the_new_one_used() {
    let how = Rotation { finish_when_quiet_hours: Some(2), ..DAY_OF_OVERLAP };
    let mut next = rotate(&key(), SecretId::from_u128(2), text(2), how, "operator", T).unwrap();
    assert!(tend(&next, T.plus(HOUR.saturating_mul(3))).is_none(), "nobody uses the new one yet");
    next.secrets[0].first_used_at = Some(T.plus(HOUR));
    next.secrets[1].last_used_at = Some(T.plus(HOUR));
    assert!(tend(&next, T.plus(HOUR.saturating_mul(3)).minus(Duration::from_micros(1))).is_none());
    let now = T.plus(HOUR.saturating_mul(3));
    let ended = tend(&next, now).unwrap();
    assert_eq!((ended.secrets[1].ended_at, ended.secrets[1].end_reason), (Some(now), Some(EndReason::Replaced)));
    assert!(is_safe_to_end(&next, &next.secrets[1], now) && !is_safe_to_end(&next, &next.secrets[0], now));
}

#[test]
fn an_overlap_in_use_is_extended_day_by_day_if_asked_for() {
    let how = Rotation { at_deadline: AtDeadline::Extend, ..DAY_OF_OVERLAP };
    let mut next = rotate(&key(), SecretId::from_u128(2), text(2), how, "operator", T).unwrap();
    let late = T.plus(DAY).minus(HOUR);
    assert!(tend(&next, late).is_none(), "nobody uses it");
    next.secrets[1].last_used_at = Some(late);
    assert_eq!(tend(&next, late).unwrap().secrets[1].ends_at, Some(T.plus(DAY).plus(DAY)));
    next.secrets[1].ends_at = Some(T.plus(limits::OVERLAP_MAX));
    let last = T.plus(limits::OVERLAP_MAX).minus(HOUR);
    next.secrets[1].last_used_at = Some(last);
    assert!(tend(&next, last).is_none(), "30 days are the end");
    let over = tend(&next, T.plus(limits::OVERLAP_MAX)).unwrap();
    assert_eq!(over.secrets[1].end_reason, Some(EndReason::Replaced));
}
