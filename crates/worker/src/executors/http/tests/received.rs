//! Servers that send what reaches no cap of a body.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use orchestratum_testkit::HttpServer;
use serde_json::json;
use tokio::net::TcpListener;

use super::lab::{Lab, answer_for_ever, exchange, exchange_again, failure, raw_server, root_url};

const BODY_MAX_BYTES: usize = 100_000;

/// Twice that, and a mebibyte.
const RECEIVED_MAX_BYTES: usize = 1_248_576;

const HINT: &str = "HTTP/1.1 103 Early Hints\r\n\r\n";

/// The headers of a gzip that ends with its connection.
const GZIP: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";

const MEMBER_HEADER: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";

/// One block of nothing, the last one, then the checksum and the size of nothing.
const MEMBER_WITHOUT_DATA: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x03\0\0\0\0\0\0\0\0\0";

/// A stored one with no bytes in it, after which there is another one.
const BLOCK_WITHOUT_DATA: &[u8] = b"\0\0\0\xff\xff";

fn lab(address: SocketAddr) -> Lab {
    Lab::open_to(&[address]).body_max_bytes(BODY_MAX_BYTES)
}

/// A task that uses no retry: the server would do the same again.
fn too_much() -> (String, bool) {
    let message = format!(
        "more than {RECEIVED_MAX_BYTES} bytes were received, with all redirects, interim answers, headers and framing"
    );
    (message, false)
}

async fn endless_server(beginning: Vec<u8>, rest: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        answer_for_ever(&mut stream, &beginning, &rest).await;
    });
    address
}

#[tokio::test]
async fn a_server_that_never_comes_to_the_point_is_left_long_before_the_deadline() {
    let large_hint = format!("HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n", "a".repeat(30_000));
    for (what, beginning, rest) in [
        ("interim answers", Vec::new(), b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
        ("large interim answers", Vec::new(), large_hint.into_bytes()),
        ("members of gzip", GZIP.to_vec(), MEMBER_WITHOUT_DATA.to_vec()),
        (
            "blocks of deflate",
            [GZIP, MEMBER_HEADER].concat(),
            BLOCK_WITHOUT_DATA.to_vec(),
        ),
    ] {
        let address = endless_server(beginning, rest).await;
        let error = exchange(&lab(address), json!({"url": root_url(address)})).await;
        assert_eq!(failure(&error.expect_err(what)), too_much(), "{what}");
    }
}

#[tokio::test]
async fn what_comes_before_a_redirect_counts_for_what_comes_after_it() {
    let redirect = "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let hints = HINT.repeat(RECEIVED_MAX_BYTES * 2 / 3 / HINT.len());
    let address = raw_server(format!("{hints}{redirect}").into_bytes()).await;
    let input = json!({"url": root_url(address), "expected_statuses": [302]});
    let once = exchange(&lab(address), input).await.expect("there is room for one");
    assert_eq!(once["status"], 302);
    let error = exchange(&lab(address), json!({"url": root_url(address)})).await;
    assert_eq!(failure(&error.expect_err("there is none for two")), too_much());
}

#[tokio::test]
async fn what_one_task_received_does_not_count_for_the_next_one_on_its_connection() {
    let server = HttpServer::start(async |_| "a".repeat(BODY_MAX_BYTES))
        .await
        .expect("a server");
    let http = lab(server.address()).http();
    let requests = 4 * RECEIVED_MAX_BYTES / BODY_MAX_BYTES;
    for _ in 0..requests {
        let output = exchange_again(&http, json!({"url": server.url("/")})).await;
        let output = output.expect("there is room for each");
        assert_eq!(output["body"].as_str().map(str::len), Some(BODY_MAX_BYTES));
    }
    let peers: BTreeSet<SocketAddr> = server.seen().iter().map(|seen| seen.peer).collect();
    // So one of them received more than a task may.
    assert!(peers.len() <= 2, "{requests} requests on {} connections", peers.len());
}
