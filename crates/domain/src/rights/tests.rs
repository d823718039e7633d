//! Nobody is stronger than their maker: judged by what a credential is let do, not by comparing lists.
//!
//! The model is a world of few models, addresses, endpoints and environments, small enough to ask of each whether a
//! credential may. Whatever the judge lets pass must be let do nothing that its maker is not.

use super::*;
use crate::endpoint::EndpointName;
use crate::right::Bound;
use proptest::prelude::*;
use std::net::IpAddr;

const MODELS: [&str; 6] = ["a/x", "a/y", "a/b/z", "b/x", "b/y", "gpt-4"];
const PATTERNS: [&str; 7] = ["a/*", "a/b/*", "b/*", "a/x", "b/y", "gpt-4", "a/b/z"];
const ADDRESSES: [&str; 6] = ["10.0.0.1", "10.0.1.1", "10.9.9.9", "192.0.2.7", "2001:db8::1", "2001:db9::1"];
const NETWORKS: [&str; 8] =
    ["10.0.0.0/8", "10.0.0.0/24", "10.0.1.0/24", "0.0.0.0/0", "192.0.2.7", "2001:db8::/32", "::/0", "10.0.0.1"];
const ENDPOINTS: &[EndpointName] = &[EndpointName::ChatCompletions, EndpointName::Models];

fn list<T: Clone + std::fmt::Debug + 'static>(from: Vec<T>) -> impl Strategy<Value = Option<Vec<T>>> {
    prop_oneof![2 => Just(None), 3 => proptest::sample::subsequence(from.clone(), 1..=from.len()).prop_map(Some)]
}

fn count() -> impl Strategy<Value = Option<u32>> {
    prop_oneof![Just(None), Just(Some(1)), Just(Some(6)), Just(Some(60)), Just(Some(600))]
}

fn restrictions() -> impl Strategy<Value = Restrictions> {
    let models = list(PATTERNS.iter().map(|text| text.parse::<ModelPattern>().unwrap()).collect());
    let networks = || list(NETWORKS.iter().map(|text| text.parse::<Cidr>().unwrap()).collect());
    let limits = (count(), count(), count(), count());
    let limits = limits.prop_map(|(rpm, tpm, concurrency, burst)| Limits { rpm, tpm, concurrency, burst });
    (models, list(ENDPOINTS.to_vec()), networks(), networks(), limits).prop_map(
        |(models, endpoints, ips, ips_denied, limits)| Restrictions { models, endpoints, ips, ips_denied, limits },
    )
}

fn standing() -> impl Strategy<Value = Standing> {
    let role = || proptest::sample::select(Role::ALL.to_vec());
    prop_oneof![
        role().prop_map(Standing::Member),
        (role(), proptest::option::of(role()))
            .prop_map(|(role, owner)| Standing::AdminKey { role, owner: owner.map_or(Bound::Gone, Bound::Role) }),
        role().prop_map(|role| Standing::AdminKey { role, owner: Bound::Nobody }),
        any::<bool>().prop_map(|can_verify| {
            let extra = can_verify.then_some(Permission::KeysVerify);
            Standing::InferenceKey(INFERENCE_KEY_PERMISSIONS.iter().copied().chain(extra).collect())
        }),
    ]
}

fn rights() -> impl Strategy<Value = Rights> {
    let reach = proptest::sample::select(vec![Reach::Organization, Reach::Environment]);
    (standing(), restrictions(), reach, 1_u128..4).prop_map(|(standing, restrictions, reach, environment)| Rights {
        standing,
        restrictions,
        reach,
        environment: Some(EnvironmentId::from_u128(environment)),
    })
}

/// Everything the world can be asked about a credential; `true` where it may.
fn deeds(rights: &Rights) -> Vec<bool> {
    let restrictions = &rights.restrictions;
    let mut may = Vec::new();
    for creators in Creators::ALL {
        for permission in Permission::ALL {
            let extent = rights.standing.extent(*permission, *creators);
            may.extend([extent >= Extent::Own, extent >= Extent::All]);
        }
    }
    let is_model = |id: &str| restrictions.models.as_ref().is_none_or(|list| list.iter().any(|one| one.matches(id)));
    may.extend(MODELS.iter().map(|id| is_model(id)));
    may.extend(ENDPOINTS.iter().map(|one| restrictions.endpoints.as_ref().is_none_or(|list| list.contains(one))));
    may.extend(ADDRESSES.iter().map(|text| {
        let address: IpAddr = text.parse().unwrap();
        let is_in = |list: &Vec<Cidr>| list.iter().any(|one| one.contains(address));
        restrictions.ips.as_ref().is_none_or(is_in) && !restrictions.ips_denied.as_ref().is_some_and(is_in)
    }));
    for limit in [restrictions.limits.rpm, restrictions.limits.tpm, restrictions.limits.concurrency] {
        may.extend([1, 2, 6, 7, 60, 61, 600, 601].map(|times| limit.is_none_or(|limit| times <= limit)));
    }
    may.extend(
        (1..4)
            .map(|id| rights.reach == Reach::Organization || rights.environment == Some(EnvironmentId::from_u128(id))),
    );
    may
}

fn is_stronger(child: &Rights, maker: &Rights) -> bool {
    deeds(child).into_iter().zip(deeds(maker)).any(|(child, maker)| child && !maker)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100_000, max_global_rejects: 0, ..ProptestConfig::default() })]

    #[test]
    fn nobody_makes_a_credential_stronger_than_their_own(maker in rights(), child in rights()) {
        if is_within(&child, &maker).is_ok() {
            prop_assert!(!is_stronger(&child, &maker), "{child:?} passed for {maker:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn a_narrowed_copy_of_oneself_always_passes(maker in rights(), narrower in restrictions()) {
        prop_assert_eq!(is_within(&maker, &maker), Ok(()));
        let mut child = maker.clone();
        if maker.restrictions.models.is_none() {
            child.restrictions.models = narrower.models;
        }
        if maker.restrictions.ips.is_none() && maker.restrictions.ips_denied.is_none() {
            child.restrictions.ips = narrower.ips;
        }
        child.restrictions.limits.rpm = maker.restrictions.limits.rpm.map(|rpm| rpm.min(1));
        prop_assert_eq!(is_within(&child, &maker), Ok(()));
    }

    /// A chain of credentials, each made or edited by the one before: the last is never stronger than the first.
    #[test]
    fn no_chain_of_makers_climbs(first in rights(), asks in prop::collection::vec(rights(), 200)) {
        let mut actor = first.clone();
        for ask in asks {
            if is_within(&ask, &actor).is_ok() {
                actor = ask;
            }
        }
        prop_assert!(!is_stronger(&actor, &first));
    }
}

#[test]
fn an_excess_is_named() {
    let maker = Rights {
        restrictions: Restrictions {
            models: Some(vec!["a/*".parse().unwrap()]),
            limits: Limits { rpm: Some(60), ..Limits::default() },
            ..Restrictions::default()
        },
        ..Rights::of_member(Role::Admin)
    };
    let what = |change: fn(&mut Rights)| {
        let mut child = maker.clone();
        change(&mut child);
        is_within(&child, &maker).err().map(|exceeds| exceeds.what)
    };
    assert_eq!(what(|_| {}), None);
    assert_eq!(what(|child| child.standing = Standing::Member(Role::Billing)), Some("role"));
    assert_eq!(what(|child| child.restrictions.models = None), Some("models"));
    assert_eq!(what(|child| child.restrictions.models = Some(vec!["a/b/*".parse().unwrap()])), None);
    assert_eq!(what(|child| child.restrictions.limits.rpm = Some(61)), Some("rpm"));
    assert_eq!(what(|child| child.restrictions.limits.burst = Some(11)), Some("burst"));
    let person = Rights::of_member(Role::Viewer);
    let verifier = Rights { standing: Standing::InferenceKey(vec![Permission::KeysVerify]), ..person.clone() };
    assert_eq!(is_within(&verifier, &person), Err(Exceeds { what: "permissions" }));
}
