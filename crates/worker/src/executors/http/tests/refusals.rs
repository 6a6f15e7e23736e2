//! Where requests may not go, however the place is written and whoever names it.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::StatusCode;
use orchestratum_core::task::HttpInput;
use orchestratum_testkit::HttpServer;
use serde_json::json;

use super::lab::{Lab, Names, exchange, exchange_again, failure};
use crate::executors::http::connect::Resolve;
use crate::executors::http::error::Error;

/// Names that lead inside.
struct Treacherous;

#[async_trait]
impl Resolve for Treacherous {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let address = match host.trim_end_matches('.') {
            "localhost" | "loopback.example" => "127.0.0.1",
            "metadata.google.internal" => "169.254.169.254",
            "private.example" => "10.0.0.1",
            "six.example" => "fd00::1",
            "mapped.example" => "::ffff:10.0.0.1",
            other => panic!("{other} is no name of this test"),
        };
        Ok(vec![address.parse().expect("an address")])
    }
}

/// Every one of them is refused without a packet that leaves.
const INSIDE: &[(&str, &str)] = &[
    ("http://127.0.0.1/", "loopback"),
    ("http://127.1/", "loopback"),
    ("http://127.0.1/", "loopback"),
    ("http://2130706433/", "loopback"),
    ("http://0x7f000001/", "loopback"),
    ("http://0x7f.0.0.1/", "loopback"),
    ("http://0x7f.1/", "loopback"),
    ("http://0177.0.0.1/", "loopback"),
    ("http://017700000001/", "loopback"),
    ("http://127.0.0.1./", "loopback"),
    ("http://127.255.255.254/", "loopback"),
    ("http://①②⑦.⓪.⓪.①/", "loopback"),
    ("http://127。0。0。1/", "loopback"),
    ("http://%31%32%37.0.0.1/", "loopback"),
    ("http:\\\\127.0.0.1\\", "loopback"),
    ("http:127.0.0.1", "loopback"),
    ("https://127.0.0.1/", "loopback"),
    ("http://127.0.0.1:443/", "loopback"),
    ("http://@127.0.0.1/", "loopback"),
    ("http://localhost/", "loopback"),
    ("http://LOCALHOST./", "loopback"),
    ("http://loopback.example/", "loopback"),
    ("https://loopback.example./", "loopback"),
    ("http://[::1]/", "loopback"),
    ("http://[0:0:0:0:0:0:0:1]/", "loopback"),
    ("http://0/", "this host itself"),
    ("http://0.0.0.0/", "this host itself"),
    ("http://0.1.2.3/", "this host itself"),
    ("http://[::]/", "this host itself"),
    ("http://[::ffff:127.0.0.1]/", "inside of an IPv6 one"),
    ("http://[::ffff:7f00:1]/", "inside of an IPv6 one"),
    ("http://[::ffff:8.8.8.8]/", "inside of an IPv6 one"),
    ("http://[::127.0.0.1]/", "inside of an IPv6 one"),
    ("http://mapped.example/", "inside of an IPv6 one"),
    ("http://[::ffff:0:127.0.0.1]/", "given to nobody"),
    ("http://[64:ff9b::127.0.0.1]/", "NAT64"),
    ("http://[64:ff9b::a9fe:a9fe]/", "NAT64"),
    ("http://[64:ff9b:1::10.0.0.1]/", "NAT64"),
    ("http://[2002:7f00:1::]/", "6to4"),
    ("http://[2002:a00:1::1]/", "6to4"),
    ("http://192.88.99.1/", "6to4"),
    ("http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "Teredo"),
    ("http://10.0.0.1/", "private"),
    ("http://167772161/", "private"),
    ("http://012.0.0.1/", "private"),
    ("http://172.16.0.1/", "private"),
    ("http://172.31.255.255/", "private"),
    ("http://192.168.0.1/", "private"),
    ("http://0xc0.0xa8.0x0.0x1/", "private"),
    ("http://private.example/", "private"),
    ("http://six.example/", "private"),
    ("http://[fc00::1]/", "private"),
    ("http://[fd12:3456::1]/", "private"),
    ("http://[fec0::1]/", "private"),
    ("http://[fe80::1]/", "link-local"),
    ("http://169.254.0.1/", "link-local"),
    ("http://169.254.169.254/latest/meta-data/", "a cloud's own services"),
    ("http://2852039166/", "a cloud's own services"),
    ("http://0xA9FEA9FE/", "a cloud's own services"),
    ("http://0251.0376.0251.0376/", "a cloud's own services"),
    (
        "http://metadata.google.internal/computeMetadata/v1/",
        "a cloud's own services",
    ),
    ("http://[fd00:ec2::254]/", "a cloud's own services"),
    ("http://100.100.100.200/", "a cloud's own services"),
    ("http://168.63.129.16/", "a cloud's own services"),
    ("http://192.0.0.192/", "a cloud's own services"),
    ("http://100.64.0.1/", "behind a carrier"),
    ("http://100.127.255.255/", "behind a carrier"),
    ("http://192.0.0.1/", "of a protocol"),
    ("http://192.0.2.1/", "documentation"),
    ("http://198.51.100.1/", "documentation"),
    ("http://203.0.113.1/", "documentation"),
    ("http://[2001:db8::1]/", "documentation"),
    ("http://198.18.0.1/", "benchmarks"),
    ("http://224.0.0.1/", "multicast"),
    ("http://[ff02::1]/", "multicast"),
    ("http://255.255.255.255/", "broadcast"),
    ("http://240.0.0.1/", "reserved"),
    ("http://[100::1]/", "given to nobody"),
    ("http://8.8.8.8:22/", "port 22"),
    ("http://8.8.8.8:6379/", "port 6379"),
    ("https://[2606:4700::1111]:8443/", "port 8443"),
    ("http://8.8.8.8:0/", "port 0"),
];

/// No URLs at all, or none of the web.
const NONE: &[&str] = &[
    "http://example.com@127.0.0.1/",
    "http://127.0.0.1:80@example.com/",
    "http://user:password@example.com/",
    "http://[fe80::1%25eth0]/",
    "http://[fe80::1%eth0]/",
    "http://[::1/",
    "http://[::1]x/",
    "http://256.256.256.256/",
    "http://0x100000000/",
    "http://1.2.3.4.5/",
    "http://exa mple.com/",
    "http://127.0.0.1\t/",
    "http://:80/",
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "gopher://127.0.0.1:6379/_FLUSHALL",
    "dict://127.0.0.1:11211/",
    "unix:/var/run/docker.sock",
    "//127.0.0.1/",
];

#[tokio::test]
async fn every_way_to_write_a_place_that_is_not_public_is_refused_for_good() {
    let http = Lab::closed().names(Arc::new(Treacherous)).http();
    for (url, rule) in INSIDE {
        let error = exchange_again(&http, json!({"url": url})).await.expect_err(url);
        assert!(matches!(error, Error::Refused(_)), "{url}: {error}");
        let (message, retryable) = failure(&error);
        assert!(message.contains(rule) && !retryable, "{url}: {message}");
    }
    for url in NONE {
        assert!(HttpInput::read(&json!({"url": url}).to_string()).is_err(), "{url}");
    }
}

#[tokio::test]
async fn a_redirect_leads_to_no_place_that_is_refused() {
    let locations = INSIDE.iter().map(|(url, _)| (*url).to_owned()).collect::<Vec<_>>();
    let server = HttpServer::start(move |request| {
        let index: usize = request.target[1..].parse().expect("a number");
        let location = locations[index].clone();
        async move { (StatusCode::FOUND, [("location", location)]) }
    });
    let server = server.await.expect("a server");
    let lab = Lab::open_to(&[server.address()]).names(Arc::new(Treacherous));
    let http = lab.http();
    // A header holds ASCII; and without slashes it is a path at the same server.
    let sendable = |url: &str| url.is_ascii() && url != "http:127.0.0.1";
    for (index, (url, rule)) in INSIDE.iter().enumerate().filter(|(_, (url, _))| sendable(url)) {
        let input = json!({"url": server.url(&format!("/{index}"))});
        let error = exchange_again(&http, input).await.expect_err(url);
        assert!(
            matches!(&error, Error::Refused(_)) && error.to_string().contains(rule),
            "{url}: {error}"
        );
    }
}

#[tokio::test]
async fn a_redirect_chain_is_checked_at_each_step() {
    let inner = HttpServer::start(async |_| "the treasure").await.expect("a server");
    let location = inner.url("/");
    let outer = HttpServer::start(move |request| {
        let location = match request.target.as_str() {
            "/1" => "/2".to_owned(),
            _ => location.clone(),
        };
        async move { (StatusCode::FOUND, [("location", location)]) }
    });
    let outer = outer.await.expect("a server");
    let error = exchange(&Lab::open_to(&[outer.address()]), json!({"url": outer.url("/1")})).await;
    let error = error.expect_err("the second redirect leads inside");
    assert!(matches!(error, Error::Refused(_)), "{error}");
    let expected = format!(
        "`{}` redirected the request: the host `{}` is refused: it has a loopback address",
        outer.address(),
        inner.address()
    );
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_eq!((outer.seen().len(), inner.seen().len()), (2, 0));
}

#[tokio::test]
async fn a_name_that_first_leads_outside_and_then_inside_is_refused_where_it_is_connected() {
    let server = HttpServer::start(async |_| [("connection", "close")])
        .await
        .expect("a server");
    let outside = [server.address().to_string()];
    let input = || json!({"url": format!("http://rebinding.example:{}/", server.address().port())});

    let names = Names::answering(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let http = Lab::closed().allow(outside.clone()).names(names).http();
    exchange_again(&http, input())
        .await
        .expect("the first answer may be connected to");
    let error = exchange_again(&http, input())
        .await
        .expect_err("the second one may not");
    assert!(matches!(error, Error::Refused(_)), "{error}");

    // One that fails first, so that whoever only checks beforehand has nothing to check.
    let names = Names::answering(&[&[], &["127.0.0.2"]]);
    let http = Lab::closed().allow(outside.clone()).names(names).http();
    let error = exchange_again(&http, input()).await.expect_err("no answer");
    assert!(failure(&error).1, "it may be found the next time: {error}");
    let error = exchange_again(&http, input()).await.expect_err("it leads inside");
    assert!(matches!(error, Error::Refused(_)), "{error}");

    // One that has both at a time: only what is permitted is connected to.
    let names = Names::answering(&[&["127.0.0.2", "::1", "127.0.0.1"]]);
    let http = Lab::closed().allow(outside).names(names).http();
    exchange_again(&http, input())
        .await
        .expect("one of its addresses is permitted");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn what_the_settings_allow_by_name_is_reached_by_that_name_alone() {
    let server = HttpServer::start(async |_| "inside").await.expect("a server");
    let port = server.address().port();
    let names = Names::answering(&[&["127.0.0.1"]]);
    let lab = Lab::closed().allow([format!("billing.internal:{port}")]).names(names);
    let url = |host: &str| json!({"url": format!("http://{host}:{port}/")});
    assert_eq!(
        exchange(&lab, url("billing.internal")).await.expect("allowed")["body"],
        "inside"
    );
    assert_eq!(
        exchange(&lab, url("BILLING.internal.")).await.expect("allowed")["body"],
        "inside"
    );
    for host in ["other.internal", "127.0.0.1", "billing.internal.example"] {
        let error = exchange(&lab, url(host)).await.expect_err(host);
        assert!(matches!(error, Error::Refused(_)), "{host}: {error}");
    }
}
