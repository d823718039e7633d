//! Networks and clients: tables of what is said, and properties against simple models.

use super::*;
use proptest::prelude::*;

fn cidr(text: &str) -> Cidr {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn client(peer: &str, trusted: &[&str], header: ForwardingHeader, lines: &[&str]) -> Option<String> {
    let trusted: Vec<Cidr> = trusted.iter().map(|text| cidr(text)).collect();
    match client_address(ip(peer), &trusted, header, lines.iter().map(|line| line.as_bytes())) {
        ClientAddress::Known(address) => Some(address.to_string()),
        ClientAddress::Unknown => None,
    }
}

fn forwarded_for_of(lines: &[&str]) -> Option<String> {
    client("10.0.0.1", &["10.0.0.0/8"], ForwardingHeader::XForwardedFor, lines)
}

fn forwarded(lines: &[&str]) -> Option<String> {
    client("10.0.0.1", &["10.0.0.0/8"], ForwardingHeader::Forwarded, lines)
}

#[test]
fn networks_are_shown_as_they_are_understood() {
    for (text, shown) in [
        ("203.0.113.7", "203.0.113.7"),
        ("203.0.113.7/32", "203.0.113.7"),
        ("203.0.113.7/24", "203.0.113.0/24"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:DB8::1", "2001:db8::1"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::/0", "::/0"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
    ] {
        assert_eq!(cidr(text).to_string(), shown, "{text}");
    }
    for text in [
        "",
        "10.0.0.0/33",
        "::1/129",
        "10.0.0",
        "010.0.0.1",
        "10.0.0.0/08",
        "10.0.0.0/+8",
        "10.0.0.0/",
        "fe80::1%eth0",
        "fe80::1%1/64",
        "::ffff:10.0.0.1/64",
        " 10.0.0.1",
        "example.com",
        "[::1]",
        "10.0.0.1:80",
    ] {
        assert_eq!(text.parse::<Cidr>(), Err(InvalidCidr), "{text}");
    }
}

#[test]
fn ipv4_written_as_ipv6_is_ipv4() {
    assert!(cidr("10.0.0.0/8").contains(ip("::ffff:10.9.9.9")));
    assert!(cidr("::ffff:10.0.0.0/104").contains(ip("10.9.9.9")));
    assert!(!cidr("::/0").contains(ip("10.9.9.9")), "a list of IPv6 says nothing of IPv4");
    assert!(!cidr("0.0.0.0/0").contains(ip("::1")));
}

#[test]
fn an_untrusted_peer_is_the_client_whatever_it_says() {
    let said = |trusted: &[&str]| client("203.0.113.7", trusted, ForwardingHeader::XForwardedFor, &["10.1.1.1"]);
    assert_eq!(said(&[]).as_deref(), Some("203.0.113.7"));
    assert_eq!(said(&["10.0.0.0/8"]).as_deref(), Some("203.0.113.7"));
    assert_eq!(
        client("::ffff:203.0.113.7", &[], ForwardingHeader::Forwarded, &["garbage"]).as_deref(),
        Some("203.0.113.7")
    );
}

#[test]
fn behind_trusted_proxies_the_right_most_untrusted_entry_is_the_client() {
    assert_eq!(forwarded_for_of(&["1.1.1.1, 203.0.113.7, 10.0.0.9"]).as_deref(), Some("203.0.113.7"));
    assert_eq!(forwarded_for_of(&["1.1.1.1", "203.0.113.7,10.0.0.9"]).as_deref(), Some("203.0.113.7"), "two lines");
    assert_eq!(forwarded_for_of(&["garbage, 203.0.113.7"]).as_deref(), Some("203.0.113.7"), "left of it nobody reads");
    assert_eq!(forwarded_for_of(&[]).as_deref(), Some("10.0.0.1"), "the proxy itself calls");
    assert_eq!(forwarded_for_of(&["10.3.0.1, 10.2.0.1"]).as_deref(), Some("10.3.0.1"), "all hops are ours");
    assert_eq!(forwarded_for_of(&["::ffff:203.0.113.7"]).as_deref(), Some("203.0.113.7"));
    assert_eq!(forwarded_for_of(&["203.0.113.7:5123"]).as_deref(), Some("203.0.113.7"));
    assert_eq!(forwarded_for_of(&["[2001:db8::1]:5123"]).as_deref(), Some("2001:db8::1"));
    assert_eq!(forwarded_for_of(&[" , 203.0.113.7 , "]).as_deref(), Some("203.0.113.7"));
    let thousand = vec!["1.2.3.4"; 1_000].join(", ");
    assert_eq!(forwarded_for_of(&[&thousand]).as_deref(), Some("1.2.3.4"));
}

#[test]
fn what_cannot_be_read_makes_the_client_unknown() {
    for line in [
        "unknown",
        "203.0.113.7, fe80::1%eth0",
        "203.0.113.7, [fe80::1%1]:80",
        "203.0.113.7, x",
        "203.0.113.7, \u{e9}",
        "\"203.0.113.7\"",
    ] {
        assert_eq!(forwarded_for_of(&[line]), None, "{line}");
    }
    let bytes: &[u8] = b"203.0.113.7, \xff";
    let trusted = [cidr("10.0.0.0/8")];
    let address = client_address(ip("10.0.0.1"), &trusted, ForwardingHeader::XForwardedFor, std::iter::once(bytes));
    assert_eq!(address, ClientAddress::Unknown);
    let trusted_hops = |hops: usize| format!("203.0.113.7{}", ", 10.0.0.2".repeat(hops));
    assert_eq!(forwarded_for_of(&[&trusted_hops(31)]).as_deref(), Some("203.0.113.7"));
    assert_eq!(forwarded_for_of(&[&trusted_hops(32)]), None, "a chain of more than 32 is read no further");
}

#[test]
fn forwarded_is_read_as_rfc_7239_has_it() {
    assert_eq!(forwarded(&["for=203.0.113.7;proto=https;by=10.0.0.1"]).as_deref(), Some("203.0.113.7"));
    assert_eq!(forwarded(&["For=\"[2001:db8:cafe::17]:4711\""]).as_deref(), Some("2001:db8:cafe::17"));
    assert_eq!(forwarded(&["for=1.1.1.1, for=203.0.113.7, for=\"10.0.0.2:80\""]).as_deref(), Some("203.0.113.7"));
    assert_eq!(forwarded(&["host=\"a,b;c\";for=203.0.113.7"]).as_deref(), Some("203.0.113.7"));
    for line in [
        "for=unknown",
        "for=_hidden",
        "by=10.0.0.1",
        "for=203.0.113.7;for=10.0.0.2",
        "203.0.113.7",
        "for=\"[fe80::1%25eth0]\"",
        // A quote left open by the sender must not let it choose what the proxy behind it says.
        "for=\"1.1.1.1, for=203.0.113.7",
        "for=\"1.1.1.1\\, for=\"[2001:db8::1]\"",
    ] {
        assert_eq!(forwarded(&[line]), None, "{line}");
    }
}

#[test]
fn what_is_denied_is_judged_before_what_is_allowed() {
    let (wide, narrow) = ([cidr("10.0.0.0/8")], [cidr("10.1.0.0/16")]);
    let known = |text: &str| ClientAddress::Known(ip(text));
    let check = |denied: Option<&[Cidr]>, allowed: Option<&[Cidr]>, client| check_lists(denied, allowed, client);
    assert_eq!(check(None, None, ClientAddress::Unknown), Ok(()));
    assert_eq!(check(None, Some(&wide), known("10.1.2.3")), Ok(()));
    assert_eq!(check(Some(&narrow), Some(&wide), known("10.2.2.3")), Ok(()));
    for (denied, allowed, client) in [
        (Some(&narrow[..]), Some(&wide[..]), "10.1.2.3"),
        (Some(&narrow[..]), None, "10.1.2.3"),
        (None, Some(&wide[..]), "11.1.2.3"),
        (None, Some(&wide[..]), "::1"),
    ] {
        assert_eq!(check(denied, allowed, known(client)), Err(AddressRefused::NotAllowed(ip(client))), "{client}");
    }
    assert_eq!(check(None, Some(&wide), ClientAddress::Unknown), Err(AddressRefused::Unknown));
    assert_eq!(check(Some(&wide), None, ClientAddress::Unknown), Err(AddressRefused::Unknown));
}

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u32>().prop_map(|bits| IpAddr::V6(Ipv4Addr::from_bits(bits).to_ipv6_mapped())),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ]
}

/// The bits of an address as text: the slow and obvious way to compare prefixes.
fn bits(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => format!("{:032b}", address.to_bits()),
        IpAddr::V6(address) => format!("{:0128b}", address.to_bits()),
    }
}

proptest! {
    #[test]
    fn a_network_contains_what_shares_its_leading_bits(network in any_ip(), other in any_ip(), near in any::<u32>(), length in 0_u8..=128) {
        let Ok(cidr) = Cidr::new(network, length) else { return Ok(()) };
        let shown: Cidr = cidr.to_string().parse().unwrap();
        prop_assert_eq!(shown, cidr);
        let neighbour = match network.to_canonical() {
            IpAddr::V4(address) => IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() ^ (near >> (near % 32)))),
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() ^ (u128::from(near) << (near % 96)))),
        };
        for address in [other, network, neighbour] {
            let (mine, theirs) = (bits(network), bits(address));
            let is_same = mine.len() == theirs.len() && mine[..usize::from(cidr.length)] == theirs[..usize::from(cidr.length)];
            prop_assert_eq!(cidr.contains(address), is_same, "{} in {}", address, cidr);
        }
    }

    #[test]
    fn nothing_a_sender_writes_changes_what_the_trusted_proxy_says(
        sent in "[ -~]{0,60}", client in any_ip(), is_forwarded in any::<bool>(), has_own_line in any::<bool>(),
    ) {
        let proxy = ip("10.0.0.1");
        let trusted = [cidr("10.0.0.1")];
        prop_assume!(!trusted[0].contains(client));
        let (header, said) = if is_forwarded {
            let quoted = if client.is_ipv4() { format!("for={client}") } else { format!("for=\"[{client}]\"") };
            (ForwardingHeader::Forwarded, quoted)
        } else {
            (ForwardingHeader::XForwardedFor, client.to_string())
        };
        let lines = if has_own_line { vec![sent, said] } else { vec![format!("{sent}, {said}")] };
        let found = client_address(proxy, &trusted, header, lines.iter().map(|line| line.as_bytes()));
        let is_told = found == ClientAddress::Known(client.to_canonical());
        // A quote opened in the sender's part of the same line may hide the truth, but never replace it.
        prop_assert!(is_told || (found == ClientAddress::Unknown && is_forwarded && !has_own_line), "{:?}", found);
    }

    #[test]
    fn no_header_can_break_the_reader(line in proptest::collection::vec(any::<u8>(), 0..200), is_forwarded in any::<bool>()) {
        let header = if is_forwarded { ForwardingHeader::Forwarded } else { ForwardingHeader::XForwardedFor };
        let _ = client_address(ip("10.0.0.1"), &[cidr("10.0.0.0/8")], header, std::iter::once(line.as_slice()));
    }
}
