//! Three hundred addresses that members of an organization might name, and real listeners that must hear of none (P18).

use super::*;
use claviger_domain::egress::Destination;
use std::cell::Cell;
use std::net::IpAddr;
use tokio::net::TcpListener;

/// Inner addresses, as a resolver may give them for any name.
const INNER: &[&str] = &[
    "127.0.0.1",
    "127.0.0.2",
    "127.1.2.3",
    "0.0.0.0",
    "10.0.0.1",
    "10.255.255.254",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.254",
    "192.0.0.192",
    "192.168.0.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::7f00:1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "3fff::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
];

/// Texts that some parser or resolver takes for an inner address.
const SPELLINGS: &[&str] = &[
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "017700000001",
    "0177.0.0.1",
    "0177.1",
    "127.0.0.01",
    "127.0.0.1.",
    "127.0.0.1..",
    "00127.0.0.1",
    "127.0.0.1%00",
    "127.0.0.1%2eexample",
    "①②⑦.⓪.⓪.①",
    "１２７.0.0.1",
    "localhost.",
    "LOCALHOST",
    "localhost",
    "ip6-localhost",
    "[::1%25lo]",
    "[0:0:0:0:0:0:0:1]",
    "[::0001]",
    "[::ffff:7f00:1]",
    "[::ffff:127.0.0.1]",
    "[::]",
    "[::127.0.0.1]",
    "0",
    "0.0.0.0",
    "127.255.255.255",
    "0x0.0x0",
];

/// What is put around a host so that it is read as another one.
const AROUND: &[&str] = &[
    "https://api.example@{}/",
    "https://{}@api.example/",
    "https://api.example#@{}/",
    "https://{}#@api.example/",
    "https://api.example\\@{}/",
    "https://{}\\.api.example/",
    "https:/\\{}/",
    "https:{}",
    "//{}/",
    "{}",
    " http://{}/",
    "http://{}/",
    "HTTP://{}/",
    "ftp://{}/",
    "file://{}/etc/passwd",
    "gopher://{}/_x",
    "dict://{}/",
    "unix:/{}",
    "http://\t{}/",
    "http://{}\r\nHost: api.example/",
];

struct World {
    port: u16,
    v4: TcpListener,
    v6: Option<TcpListener>,
    tried: Cell<usize>,
}

impl World {
    async fn new() -> Self {
        // All of 127.0.0.0/8 and whatever else is this machine.
        let v4 = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let port = v4.local_addr().unwrap().port();
        let v6 = TcpListener::bind(format!("[::1]:{port}")).await.ok();
        Self { port, v4, v6, tried: Cell::new(0) }
    }

    /// As a provider's row is read, checked and dialled.
    async fn try_url(&self, url: &str, reach: &Reach, answer: &[&str]) {
        self.tried.set(self.tried.get() + 1);
        let Ok(destination) = Destination::parse(url) else { return };
        if destination.check(reach).is_err() {
            return;
        }
        let origin = Origin::of(&Uri::try_from(destination.url()).unwrap(), reach.clone()).unwrap();
        let asked = Cell::new(0);
        let reached = origin.connect(Duration::from_millis(500), async |host, port| {
            asked.set(asked.get() + 1);
            // What is an address already needs nobody's answer.
            let literal: Option<IpAddr> = host.parse().ok();
            let told = answer.iter().map(|text| text.parse().unwrap());
            Ok(literal.into_iter().chain(told).map(|address| SocketAddr::new(address, port)).collect())
        });
        assert!(reached.await.is_err(), "{url} {answer:?}");
        assert!(asked.get() <= 1, "{url}: a name is asked for once");
    }

    async fn has_heard(&self) -> bool {
        let pause = Duration::from_millis(100);
        let v6 = async {
            match &self.v6 {
                Some(v6) => v6.accept().await.is_ok(),
                None => std::future::pending().await,
            }
        };
        tokio::time::timeout(pause, async {
            tokio::select! {
                _ = self.v4.accept() => {}
                _ = v6 => {}
            }
        })
        .await
        .is_ok()
    }
}

#[tokio::test]
async fn ssrf_only_listed_addresses() {
    let world = World::new().await;
    let port = world.port;
    // Nothing is listed; and a list of other networks opens no door to these.
    for reach in [Reach::Guarded([].into()), Reach::Guarded(["192.0.2.0/24".parse().unwrap()].into())] {
        for address in INNER {
            let literal = if address.contains(':') { format!("[{address}]") } else { (*address).to_owned() };
            for scheme in ["http", "https"] {
                world.try_url(&format!("{scheme}://{literal}:{port}/v1"), &reach, &[]).await;
                world.try_url(&format!("{scheme}://inner.example:{port}"), &reach, &[address]).await;
            }
            // One open address does not carry an inner one along, in whatever order.
            world.try_url(&format!("https://both.example:{port}"), &reach, &["8.8.8.8", address]).await;
            world.try_url(&format!("https://both.example:{port}"), &reach, &[address, "8.8.8.8"]).await;
        }
        for host in SPELLINGS {
            for scheme in ["http", "https"] {
                // The worst resolver: it takes everything for this machine.
                world.try_url(&format!("{scheme}://{host}:{port}"), &reach, &["127.0.0.1"]).await;
            }
        }
        for around in AROUND {
            let url = around.replace("{}", &format!("127.0.0.1:{port}"));
            world.try_url(&url, &reach, &["127.0.0.1"]).await;
        }
        for port in ["0", "22", "25", "6379x", "65536", "-1", "080", "", "443:80"] {
            world.try_url(&format!("https://api.example:{port}"), &reach, &["127.0.0.1"]).await;
        }
    }
    assert!(world.tried.get() >= 300, "{} addresses", world.tried.get());
    assert!(!world.has_heard().await, "somebody came");
}

#[tokio::test]
async fn the_address_that_was_judged_is_the_one_that_is_dialled() {
    let world = World::new().await;
    let reach = Reach::Guarded(["127.0.0.0/8".parse().unwrap()].into());
    let url = format!("http://listed.example:{}", world.port);
    let origin = Origin::of(&Uri::try_from(url).unwrap(), reach).unwrap();
    let asked = Cell::new(0_u8);
    let connection = origin.connect(Duration::from_secs(5), async |_, port| {
        asked.set(asked.get() + 1);
        // Asked again it would name another place.
        let address = if asked.get() == 1 { [127, 0, 0, 9] } else { [10, 0, 0, 1] };
        Ok(vec![SocketAddr::from((address, port))])
    });
    assert!(connection.await.is_ok());
    assert_eq!(asked.get(), 1);
    let (stream, _) = world.v4.accept().await.unwrap();
    assert_eq!(stream.local_addr().unwrap().ip(), IpAddr::from([127, 0, 0, 9]));
}
