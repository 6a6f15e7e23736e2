//! Answers that are slow, large, broken or not what was expected.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::pending;
use std::io::Read;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::read::GzEncoder;
use futures::{StreamExt, stream};
use orchestratum_core::Timestamp;
use orchestratum_core::task::Ending;
use orchestratum_engine::clock::Clock;
use orchestratum_testkit::{HttpServer, Seen};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use super::lab::{Lab, Names, exchange, exchange_again, failure, raw_server, root_url, task};
use crate::executors::http::client::CONNECTIONS_OF_A_POOL;
use crate::executors::{Context, Executor, Phase};
use crate::held::Attended;
use crate::shared::Life;

const BOUND: Duration = Duration::from_secs(30);

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = Vec::new();
    let mut encoder = GzEncoder::new(bytes, Compression::best());
    encoder.read_to_end(&mut compressed).expect("in memory");
    compressed
}

async fn various(request: Seen) -> Response {
    let size: usize = request
        .target
        .trim_matches(|letter: char| !letter.is_ascii_digit())
        .parse()
        .unwrap_or(0);
    let kind: String = request.target.chars().filter(char::is_ascii_alphabetic).collect();
    match kind.as_str() {
        "busy" => (StatusCode::SERVICE_UNAVAILABLE, "  the kettle\0 is\r\non \u{7} ").into_response(),
        "verbose" => (StatusCode::NOT_FOUND, "x".repeat(100_000)).into_response(),
        "silent" => StatusCode::IM_A_TEAPOT.into_response(),
        "gzip" => ([("content-encoding", "gzip")], gzip(&vec![b'a'; size])).into_response(),
        "brotli" => ([("content-encoding", "br")], "?").into_response(),
        "nonsense" => ([("content-encoding", "gzip")], "?").into_response(),
        "sized" => "a".repeat(size).into_response(),
        "chunked" => {
            let chunks = (0..size).map(|_| Ok::<_, Infallible>(Bytes::from_static(&[b'a'; 1_000])));
            Body::from_stream(stream::iter(chunks)).into_response()
        }
        "endless" => {
            let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"a"))]);
            Body::from_stream(first.chain(stream::pending())).into_response()
        }
        "stuck" => {
            let first = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"the pump is broken"))]);
            let body = Body::from_stream(first.chain(stream::pending()));
            (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
        }
        "squeezed" => {
            // Without its end, so that nothing makes the decoder hand out what it has.
            let compressed = gzip(b"the valve is shut");
            let cut = Bytes::copy_from_slice(&compressed[..compressed.len() - 8]);
            let first = stream::iter([Ok::<_, Infallible>(cut)]);
            let body = Body::from_stream(first.chain(stream::pending()));
            (StatusCode::BAD_GATEWAY, [("content-encoding", "gzip")], body).into_response()
        }
        "never" => pending().await,
        "binary" => vec![0xff, 0x00, 0xfe].into_response(),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn an_unexpected_status_is_a_failure_with_the_beginning_of_the_body() {
    let server = HttpServer::start(various).await.expect("a server");
    let lab = Lab::open_to(&[server.address()]);
    let told = async |target: &str| {
        failure(
            &exchange(&lab, json!({"url": server.url(target)}))
                .await
                .expect_err(target),
        )
    };
    let message = "the answer has the status 503 Service Unavailable, which is not expected: the kettle is\non";
    assert_eq!(told("/busy").await, (message.to_owned(), true));
    let (message, _) = told("/verbose").await;
    assert!(
        message.ends_with(&format!("404 Not Found, which is not expected: {}", "x".repeat(1_024))),
        "{message}"
    );
    let (message, _) = told("/silent").await;
    assert_eq!(
        message,
        "the answer has the status 418 I'm a teapot, which is not expected"
    );
    let input = json!({"url": server.url("/silent"), "expected_statuses": [418]});
    assert_eq!(exchange(&lab, input).await.expect("it is expected")["status"], 418);
    let input = json!({"url": server.url("/sized5"), "expected_statuses": ["4xx"]});
    let (message, _) = failure(&exchange(&lab, input).await.expect_err("200 is not expected"));
    assert_eq!(
        message,
        "the answer has the status 200 OK, which is not expected: aaaaa"
    );
}

#[tokio::test]
async fn a_status_that_is_not_expected_is_told_although_its_body_does_not_end() {
    let server = HttpServer::start(various).await.expect("a server");
    let lab = Lab::open_to(&[server.address()]);
    for (target, expected) in [
        (
            "/stuck",
            "the answer has the status 503 Service Unavailable, which is not expected: the pump is broken",
        ),
        (
            "/squeezed",
            "the answer has the status 502 Bad Gateway, which is not expected: the valve is shut",
        ),
    ] {
        let error = exchange(&lab, json!({"url": server.url(target)}))
            .await
            .expect_err(target);
        assert_eq!(failure(&error), (expected.to_owned(), true));
    }
}

#[tokio::test]
async fn a_body_has_a_cap_however_it_is_sent() {
    let server = HttpServer::start(various).await.expect("a server");
    let lab = Lab::open_to(&[server.address()]).body_max_bytes(100_000);
    for target in ["/sized100000", "/chunked100", "/gzip60000"] {
        let output = exchange(&lab, json!({"url": server.url(target)})).await.expect(target);
        let body = output["body"].as_str().expect("a text");
        assert!(
            body.len() >= 60_000 && body.bytes().all(|byte| byte == b'a'),
            "{target}"
        );
        assert_eq!(output["headers"].get("content-encoding"), None);
    }
    for target in ["/sized100001", "/chunked101", "/chunked1000000"] {
        let error = exchange(&lab, json!({"url": server.url(target)}))
            .await
            .expect_err(target);
        let message = "the body of the answer has more than 100000 bytes".to_owned();
        assert_eq!(error.ending(), Ending::OutputNotStorable { message }, "{target}");
    }
    let binary = exchange(&lab, json!({"url": server.url("/binary")}))
        .await
        .expect("it answers");
    assert_eq!(
        (&binary["body"], &binary["body_base64"]),
        (&json!(null), &json!("/wD+"))
    );
}

#[tokio::test]
async fn what_is_compressed_like_a_bomb_or_in_another_way_is_refused_for_good() {
    let server = HttpServer::start(various).await.expect("a server");
    let lab = Lab::open_to(&[server.address()]);
    for (target, expected, may_be_better) in [
        (
            "/gzip5000000",
            "the body of the answer is compressed to less than 1/100 of its size",
            false,
        ),
        (
            "/brotli",
            "the body of the answer is compressed, and not with gzip, which alone was offered",
            false,
        ),
        ("/nonsense", "the body of the answer is no whole gzip", true),
    ] {
        let error = exchange(&lab, json!({"url": server.url(target)}))
            .await
            .expect_err(target);
        assert_eq!(failure(&error), (expected.to_owned(), may_be_better));
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_to_its_end_in_time_is_given_up() {
    let server = HttpServer::start(various).await.expect("a server");
    let lab = Lab::open_to(&[server.address()]).patience(Duration::from_millis(200));
    for target in ["/never", "/endless"] {
        let started = Instant::now();
        let error = exchange(&lab, json!({"url": server.url(target)}))
            .await
            .expect_err(target);
        assert_eq!(
            failure(&error),
            ("there was no whole answer within 0.2 s".to_owned(), true)
        );
        assert!(started.elapsed() < BOUND, "{target}");
    }
}

#[tokio::test]
async fn a_request_that_is_to_stop_stops_at_once() {
    let server = HttpServer::start(various).await.expect("a server");
    let http = Lab::open_to(&[server.address()]).http();
    for target in ["/never", "/endless"] {
        let (phase, heard) = watch::channel(Phase::Run);
        let life = Life::until(Instant::now() + BOUND, Clock::manual(Timestamp::EPOCH).new_worker_id());
        let task = task(&json!({"url": server.url(target)}));
        let context = Context {
            phase: heard,
            attended: Arc::new(Attended::new(Timestamp::from_micros(0), life)),
            key: (task.id, task.attempt),
            live_logs: Arc::default(),
        };
        let before = server.seen().len();
        let (ended, ()) = tokio::join!(http.run(&task, context), async {
            while server.seen().len() == before {
                tokio::task::yield_now().await;
            }
            phase.send_replace(Phase::Terminate);
        });
        assert!(ended.interrupted, "{target}");
    }
}

#[tokio::test]
async fn broken_answers_are_failures_that_may_be_tried_again() {
    let huge = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "a".repeat(100_000));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(1_000));
    for answer in [
        "",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 999999 OK\r\n\r\n",
        &huge,
        &many,
    ] {
        let address = raw_server(answer.as_bytes().to_vec()).await;
        let error = exchange(&Lab::open_to(&[address]), json!({"url": root_url(address)})).await;
        let begin: String = answer.chars().take(60).collect();
        let (message, retryable) = failure(&error.expect_err(&begin));
        assert!(retryable, "{message}");
        let known = [
            "the request to `127.0.0.1` failed: ",
            "the body of the answer could not be read: ",
        ];
        assert!(
            known.iter().any(|known| message.starts_with(known)),
            "{begin}: {message}"
        );
    }
    let address = raw_server(b"HTTP/1.0 200 OK\r\n\r\nto the end of the connection".to_vec()).await;
    let output = exchange(&Lab::open_to(&[address]), json!({"url": root_url(address)})).await;
    assert_eq!(output.expect("an old server")["body"], "to the end of the connection");
}

#[tokio::test]
async fn a_host_that_is_not_there_may_be_there_the_next_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    drop(listener);
    let error = exchange(&Lab::open_to(&[address]), json!({"url": root_url(address)})).await;
    let (message, retryable) = failure(&error.expect_err("nobody listens"));
    let expected = format!(
        "the request to `127.0.0.1` failed: no connection to port {}: ",
        address.port()
    );
    assert!(message.starts_with(&expected), "{message}");
    assert!(retryable);
    let error = exchange(&Lab::closed(), json!({"url": "http://no.such.example/"})).await;
    let expected = "the request to `no.such.example` failed: the name was not found: no such name";
    assert_eq!(failure(&error.expect_err("no such host")), (expected.to_owned(), true));
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = HttpServer::start(various).await.expect("a server");
    let http = Lab::open_to(&[server.address()]).http();
    for _ in 0..20 {
        let output = exchange_again(&http, json!({"url": server.url("/sized3")})).await;
        assert_eq!(output.expect("it answers")["body"], "aaa");
    }
    let peers: BTreeSet<SocketAddr> = server.seen().iter().map(|seen| seen.peer).collect();
    assert_eq!((server.seen().len(), peers.len()), (20, 1));
}

/// Keeps every connection, and says how many there were at a time at most.
async fn patient_server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&most);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_max(open.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let open = Arc::clone(&open);
            tokio::spawn(async move {
                let mut request = [0; 4_096];
                // The requests of these tests come in one piece.
                while stream.read(&mut request).await.unwrap_or(0) > 0 {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nkept";
                    if stream.write_all(answer).await.is_err() {
                        break;
                    }
                }
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    (address, most)
}

#[tokio::test]
async fn hosts_that_keep_their_connections_do_not_add_up() {
    let (address, most) = patient_server().await;
    let names = Names::answering(&[&["127.0.0.1"]]);
    let http = Lab::open_to(&[address]).names(names).http();
    for number in 0..3 * CONNECTIONS_OF_A_POOL {
        let url = format!("http://host-{number}.example:{}/", address.port());
        let output = exchange_again(&http, json!({"url": url})).await;
        assert_eq!(output.expect("it answers")["body"], "kept");
    }
    let most = most.load(Ordering::Relaxed);
    assert!(most < 2 * CONNECTIONS_OF_A_POOL, "{most} connections at a time");
}
