//! Addresses that everybody reads alike, and networks that are nobody's to reach.

use super::*;

fn guarded(listed: &[&str]) -> Reach {
    Reach::Guarded(listed.iter().map(|text| text.parse().unwrap()).collect())
}

#[test]
fn one_place_has_one_spelling() {
    for (text, url, origin) in [
        ("https://API.Example.com", "https://api.example.com", "https://api.example.com:443"),
        ("https://api.example.com:443/", "https://api.example.com", "https://api.example.com:443"),
        ("https://api.example.com/a/v1/", "https://api.example.com/a", "https://api.example.com:443"),
        ("http://10.1.2.3:8000/v1", "http://10.1.2.3:8000", "http://10.1.2.3:8000"),
        ("http://[2001:DB8::1]", "http://[2001:db8::1]", "http://[2001:db8::1]:80"),
    ] {
        let read = Destination::parse(text).unwrap().without_end("/v1");
        assert_eq!((read.url().as_str(), read.origin().as_str()), (url, origin), "{text}");
        assert_eq!(Destination::parse(url).unwrap().without_end("/v1"), read, "{url}");
    }
}

#[test]
fn what_parsers_read_differently_is_no_destination() {
    use InvalidDestination as No;
    for (text, why) in [
        ("ftp://a.example", No::Scheme),
        ("HTTPS://a.example", No::Scheme),
        ("//a.example", No::Scheme),
        ("file:///etc/passwd", No::Scheme),
        ("gopher://127.0.0.1:6379/_x", No::Scheme),
        (" https://a.example", No::Scheme),
        ("https://user@a.example", No::Extra),
        ("https://a.example#@b.example", No::Extra),
        ("https://a.example?x=1", No::Extra),
        ("https://", No::Host),
        ("https:///path", No::Host),
        ("https://a..example", No::Host),
        ("https://a.example.", No::Host),
        ("https://127.1", No::Host),
        ("https://127.0.0.1.", No::Host),
        ("https://2130706433", No::Host),
        ("https://0x7f000001", No::Host),
        ("https://0x7f.0.0.1", No::Host),
        ("https://0177.0.0.1", No::Host),
        ("https://127.0.0.01", No::Host),
        ("https://127.0.0.256", No::Host),
        ("https://a.example\\@b.example", No::Extra),
        ("https://a.example\\b", No::Host),
        ("https://a%2eexample", No::Host),
        ("https://ａ.example", No::Host),
        ("https://①②⑦.0.0.1", No::Host),
        ("https://[::1", No::Host),
        ("https://[fe80::1%25eth0]", No::Host),
        ("https://[::1]x", No::Port),
        ("https://::1", No::Host),
        ("https://a.example:", No::Port),
        ("https://a.example:0", No::Port),
        ("https://a.example:65536", No::Port),
        ("https://a.example:+80", No::Port),
        ("https://a.example:080", No::Port),
        ("https://a.example:80:81", No::Port),
        ("https://a.example/../b", No::Path),
        ("https://a.example/./b", No::Path),
        ("https://a.example//b", No::Path),
        ("https://a.example/a b", No::Path),
        ("https://a.example/%2e%2e", No::Path),
        ("https://a.example/\r\nHost: b", No::Path),
    ] {
        assert_eq!(Destination::parse(text).err(), Some(why), "{text:?}");
    }
}

#[test]
fn only_the_open_internet_is_reached_unless_a_network_is_listed() {
    let reach = guarded(&[]);
    let open = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8"];
    let closed = [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "fe80::1",
        "fec0::1",
        "fc00::1",
        "fd00:ec2::254",
        "ff02::1",
        "2001::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
    ];
    let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 443);
    for text in open {
        assert_eq!(reach.choose(true, [at(text)]).as_deref(), Ok(&[at(text)][..]), "{text}");
        assert_eq!(reach.choose(true, [at(text), at("127.0.0.1")]), Err(OutOfReach::Closed), "{text} and an inner one");
    }
    for text in closed {
        assert_eq!(reach.choose(true, [at(text)]), Err(OutOfReach::Closed), "{text}");
        assert!(Reach::Anywhere.choose(false, [at(text)]).is_ok(), "{text}");
    }
    assert_eq!(reach.choose(true, []), Err(OutOfReach::Nowhere));
    let listed = guarded(&["127.0.0.0/8", "fd00::/8"]);
    assert!(listed.choose(false, [at("127.0.0.1"), at("::ffff:127.0.0.9"), at("fd00::5")]).is_ok());
    assert_eq!(listed.choose(false, [at("10.0.0.1")]), Err(OutOfReach::Closed));
}

#[test]
fn outside_listed_networks_only_tls_on_ports_of_the_web_is_spoken() {
    let (reach, listed) = (guarded(&[]), guarded(&["10.0.0.0/8"]));
    let check = |text: &str, reach: &Reach| Destination::parse(text).unwrap().check(reach).err();
    assert_eq!(check("http://api.example.com", &reach), Some(OutOfReach::Bare));
    assert_eq!(check("https://api.example.com:22", &reach), Some(OutOfReach::Port));
    assert_eq!(check("https://api.example.com:25", &reach), Some(OutOfReach::Port));
    assert_eq!(check("https://api.example.com:8443", &reach), None);
    assert_eq!(check("https://8.8.8.8", &reach), None);
    assert_eq!(check("https://10.1.1.1", &reach), Some(OutOfReach::Closed));
    assert_eq!(check("http://10.1.1.1:22", &listed), None);
    assert_eq!(check("http://8.8.8.8", &listed), Some(OutOfReach::Bare));
    assert_eq!(check("http://inner.example", &listed), None, "what it resolves to decides");
    assert_eq!(listed.choose(false, ["8.8.8.8:80".parse().unwrap()]), Err(OutOfReach::Bare));
}
