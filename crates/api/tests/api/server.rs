//! The process: what it refuses to start with, its listeners, its deadlines, its end.

mod folder;
mod rest;

use std::time::Duration;

use orchestratum_api::{Error, Started, start};
use orchestratum_engine::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const KEY: &str = "the bootstrap key of the tests";

fn settings(overrides: &[(&str, &str)]) -> Settings {
    let mut all = vec![
        ("database.url", "sqlite::memory:"),
        ("broker.url", "database"),
        ("api.listen", "127.0.0.1:0"),
        ("auth.bootstrap_key", KEY),
    ];
    all.extend_from_slice(overrides);
    Settings::load_with(&all).expect("valid settings")
}

async fn started(overrides: &[(&str, &str)], stop: &CancellationToken) -> Result<Started, Error> {
    start(settings(overrides), stop.clone()).await
}

/// A server in the background, until the token is cancelled.
async fn serving(
    overrides: &[(&str, &str)],
    stop: &CancellationToken,
) -> (orchestratum_api::Addresses, JoinHandle<()>) {
    let started = started(overrides, stop).await.expect("started");
    let addresses = started.addresses();
    (addresses, tokio::spawn(started.serve(async {})))
}

async fn ended(server: JoinHandle<()>) {
    tokio::time::timeout(Duration::from_secs(20), server)
        .await
        .expect("it ends in time")
        .expect("no panic");
}

/// Sends raw bytes and reads until the server closes the connection.
async fn exchange(address: std::net::SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    // A reset instead of an orderly end is an end as well.
    let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer))
        .await
        .expect("it ends in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_public_address_without_any_key_is_refused() {
    let stop = CancellationToken::new();
    let public = [("api.listen", "0.0.0.0:0"), ("auth.bootstrap_key", "")];
    assert!(matches!(started(&public, &stop).await, Err(Error::PublicWithoutKey(_))));
    let loopback = [("auth.bootstrap_key", "")];
    assert!(
        started(&loopback, &stop)
            .await
            .expect("loopback is fine")
            .first_key()
            .is_none()
    );
    assert!(
        started(&[("api.listen", "0.0.0.0:0")], &stop).await.is_ok(),
        "a bootstrap key is a key"
    );
}

#[tokio::test]
async fn the_first_key_is_made_once_and_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("first.db").display());
    let stop = CancellationToken::new();
    let overrides = [
        ("database.url", url.as_str()),
        ("api.listen", "0.0.0.0:0"),
        ("auth.bootstrap_key", ""),
        ("auth.create_first_key", "true"),
    ];
    let first = started(&overrides, &stop).await.expect("started");
    let key = first.first_key().expect("a key").reveal();
    assert!(first.engine().authenticate(&key).await.is_ok());
    first.engine().close().await;
    drop(first);
    let second = started(&overrides, &stop).await.expect("started again");
    assert!(second.first_key().is_none());
    assert!(second.engine().authenticate(&key).await.is_ok());
}

#[tokio::test]
async fn a_start_that_cannot_listen_makes_no_key_and_gives_the_file_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}", folder.path().join("first.db").display());
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = held.local_addr().expect("an address").to_string();
    let stop = CancellationToken::new();
    let overrides = |listen| {
        [
            ("database.url", url.as_str()),
            ("api.listen", listen),
            ("auth.bootstrap_key", ""),
            ("auth.create_first_key", "true"),
        ]
    };
    let refused = started(&overrides(&taken), &stop).await;
    assert!(matches!(refused, Err(Error::Server(_))), "{refused:?}");
    let next = started(&overrides("127.0.0.1:0"), &stop)
        .await
        .expect("the file is free");
    assert!(next.first_key().is_some(), "it was not made before it could be shown");
}

#[tokio::test]
async fn a_broker_url_that_can_never_work_ends_the_start() {
    for url in ["ampq://user:secret@127.0.0.1", "amqp://user:secret@127.0.0.1:port"] {
        let stop = CancellationToken::new();
        let overrides = [("broker.url", url)];
        let refused = tokio::time::timeout(Duration::from_secs(20), started(&overrides, &stop)).await;
        let error = refused
            .expect("sooner than an outage is given up")
            .expect_err("no broker has it");
        let told = orchestratum_engine::error::chain(&error);
        assert!(told.contains("`broker.url` is not usable"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
}

#[tokio::test]
async fn a_short_bootstrap_key_is_refused() {
    let short = started(&[("auth.bootstrap_key", "fifteen letters")], &CancellationToken::new()).await;
    assert!(matches!(short, Err(Error::BootstrapKeyTooShort)));
}

#[tokio::test]
async fn a_public_https_address_needs_a_certificate() {
    let public = [("api.tls.listen", "0.0.0.0:0")];
    assert!(matches!(
        started(&public, &CancellationToken::new()).await,
        Err(Error::Server(_))
    ));
}

#[tokio::test]
async fn both_listeners_serve_the_same_calls() {
    let stop = CancellationToken::new();
    let (addresses, server) = serving(&[("api.tls.listen", "127.0.0.1:0")], &stop).await;
    let _ = rustls::crypto::ring::default_provider().install_default();
    // The certificate is self-signed: there is nobody who could vouch for it.
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .expect("a client");
    let secure = format!("https://{}", addresses.tls.expect("an address"));
    for url in [format!("http://{}", addresses.plain), secure] {
        let created = client
            .post(format!("{url}/api/tasks"))
            .header("x-api-key", KEY)
            .json(&serde_json::json!({"name": "echo"}));
        let created = created.send().await.expect("an answer");
        assert_eq!(created.status(), 201);
        let expected = if url.starts_with("https") {
            reqwest::Version::HTTP_2
        } else {
            reqwest::Version::HTTP_11
        };
        assert_eq!(created.version(), expected, "{url}");
    }
    drop(client);
    stop.cancel();
    ended(server).await;
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_are_cut_off() {
    let stop = CancellationToken::new();
    let limits = [
        ("api.header_timeout_seconds", "0.2"),
        ("api.body_timeout_seconds", "0.2"),
    ];
    let (addresses, server) = serving(&limits, &stop).await;
    let slow_headers = exchange(addresses.plain, b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow: ").await;
    assert!(!slow_headers.contains("200 OK"), "{slow_headers}");
    let head = format!(
        "POST /api/tasks HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nContent-Type: application/json\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{{"
    );
    let slow_body = exchange(addresses.plain, head.as_bytes()).await;
    assert!(
        slow_body.starts_with("HTTP/1.1 408") && slow_body.contains("request_timeout"),
        "{slow_body}"
    );
    stop.cancel();
    ended(server).await;
}

/// Sends a request on a connection that is kept, and reads its answer.
async fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream
        .write_all(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        .await?;
    let mut answer = vec![0; 4_096];
    let read = stream.read(&mut answer).await?;
    answer.truncate(read);
    Ok(String::from_utf8(answer).expect("UTF-8"))
}

#[tokio::test]
async fn a_connection_that_is_kept_outlasts_the_deadline_for_headers() {
    let stop = CancellationToken::new();
    let (addresses, server) = serving(&[("api.header_timeout_seconds", "0.1")], &stop).await;
    let mut stream = TcpStream::connect(addresses.plain).await.expect("a connection");
    for _ in 0..3 {
        let answer = ask(&mut stream).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let ended = tokio::time::timeout(Duration::from_millis(500), stream.read_u8()).await;
        assert!(ended.is_err(), "it is kept: {ended:?}");
    }
    stop.cancel();
    ended(server).await;
}

#[tokio::test]
async fn a_connection_that_lies_idle_for_too_long_is_ended() {
    let stop = CancellationToken::new();
    let limits = [
        ("api.header_timeout_seconds", "60"),
        ("api.idle_timeout_seconds", "0.2"),
    ];
    let (addresses, server) = serving(&limits, &stop).await;
    let mut stream = TcpStream::connect(addresses.plain).await.expect("a connection");
    let answer = ask(&mut stream).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let end = tokio::time::timeout(Duration::from_secs(20), stream.read_u8()).await;
    assert!(end.expect("in time").is_err());
    stop.cancel();
    ended(server).await;
}

#[tokio::test]
async fn idle_connections_make_room_where_places_are_short() {
    let stop = CancellationToken::new();
    let limits = [("api.max_connections", "2"), ("api.header_timeout_seconds", "0.2")];
    let (addresses, server) = serving(&limits, &stop).await;
    let mut idle = Vec::new();
    for _ in 0..4 {
        let mut stream = TcpStream::connect(addresses.plain).await.expect("a connection");
        let answer = tokio::time::timeout(Duration::from_secs(20), ask(&mut stream)).await;
        let answer = answer.expect("in time").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        idle.push(stream);
    }
    stop.cancel();
    ended(server).await;
}

#[tokio::test]
async fn too_large_headers_are_refused() {
    let stop = CancellationToken::new();
    let (addresses, server) = serving(&[], &stop).await;
    let request = format!(
        "GET /health/live HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    let answer = exchange(addresses.plain, request.as_bytes()).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    stop.cancel();
    ended(server).await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let stop = CancellationToken::new();
    let (addresses, server) = serving(
        &[("api.max_connections", "1"), ("api.header_timeout_seconds", "0.2")],
        &stop,
    )
    .await;
    let _holds_the_place = TcpStream::connect(addresses.plain).await.expect("a connection");
    let waits = exchange(
        addresses.plain,
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(
        waits.starts_with("HTTP/1.1 200"),
        "served once the silent one was cut off: {waits}"
    );
    stop.cancel();
    ended(server).await;
}

#[tokio::test]
async fn both_listeners_together_take_no_more_connections_than_the_limit() {
    let stop = CancellationToken::new();
    let limits = [
        ("api.max_connections", "1"),
        ("api.header_timeout_seconds", "60"),
        ("api.tls.listen", "127.0.0.1:0"),
    ];
    let (addresses, server) = serving(&limits, &stop).await;
    let url = format!("https://{}/health/live", addresses.tls.expect("an address"));
    let holds_the_place = http2(1 << 20);
    assert_eq!(holds_the_place.get(url).send().await.expect("an answer").status(), 200);
    let request = b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let waits = exchange(addresses.plain, request);
    tokio::pin!(waits);
    let answered = tokio::time::timeout(Duration::from_millis(300), waits.as_mut()).await;
    assert!(answered.is_err(), "{answered:?}");
    drop(holds_the_place);
    let answer = waits.await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stop.cancel();
    ended(server).await;
}

#[tokio::test]
async fn a_stop_answers_open_requests_and_those_that_wait_at_once() {
    let stop = CancellationToken::new();
    let (addresses, server) = serving(&[], &stop).await;
    let body = r#"{"name": "echo"}"#;
    let request = format!(
        "POST /api/tasks HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEY}\r\nPrefer: wait=60\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(addresses.plain).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    // The task is there, so its request is under way.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::new();
    let listed = || {
        client
            .get(format!("http://{}/api/tasks", addresses.plain))
            .header("x-api-key", KEY)
            .send()
    };
    while !listed()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("a text")
        .contains("Pending")
    {
        tokio::task::yield_now().await;
    }
    drop(client);
    stop.cancel();
    let mut answer = Vec::new();
    // Sooner than api.shutdown_seconds, when it would be cut off, and than the wait that was asked for.
    tokio::time::timeout(Duration::from_secs(8), stream.read_to_end(&mut answer))
        .await
        .expect("it is not waited for")
        .expect("the answer, then the end");
    let answer = String::from_utf8(answer).expect("UTF-8");
    assert!(
        answer.starts_with("HTTP/1.1 201") && answer.contains("\"status\":\"Pending\""),
        "what is known is answered: {answer}"
    );
    ended(server).await;
    assert!(
        TcpStream::connect(addresses.plain).await.is_err(),
        "nobody listens any more"
    );
}

/// A page that anyone may ask for, larger than the buffers of a socket hold when it is asked for often.
const LARGE_PAGE: &str = "/swagger/swagger-ui-bundle.js";

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_loses_its_place() {
    let stop = CancellationToken::new();
    let limits = [("api.max_connections", "1"), ("api.write_timeout_seconds", "0.3")];
    let (addresses, server) = serving(&limits, &stop).await;
    let mut deaf = TcpStream::connect(addresses.plain).await.expect("a connection");
    let request = format!("GET {LARGE_PAGE} HTTP/1.1\r\nHost: x\r\n\r\n");
    deaf.write_all(request.repeat(100).as_bytes()).await.expect("sent");
    let waits = exchange(
        addresses.plain,
        b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(waits.starts_with("HTTP/1.1 200"), "{waits}");
    stop.cancel();
    ended(server).await;
}

/// HTTP/2 by an accepted self-signed certificate, with a window for all streams that is never more than `window`.
fn http2(window: u32) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .http2_initial_stream_window_size(window)
        .http2_initial_connection_window_size(window)
        .build()
        .expect("a client")
}

#[tokio::test]
async fn an_idle_connection_of_http_2_loses_its_place_and_one_that_waits_keeps_it() {
    let stop = CancellationToken::new();
    let limits = [
        ("api.max_connections", "1"),
        ("api.header_timeout_seconds", "0.3"),
        ("api.tls.listen", "127.0.0.1:0"),
    ];
    let (addresses, server) = serving(&limits, &stop).await;
    let url = format!("https://{}", addresses.tls.expect("an address"));
    let (first, second) = (http2(1 << 20), http2(1 << 20));
    let waiting = first
        .post(format!("{url}/api/tasks"))
        .header("x-api-key", KEY)
        .header("prefer", "wait=2")
        .json(&serde_json::json!({"name": "echo"}))
        .send();
    let started = tokio::time::Instant::now();
    let waited = waiting.await.expect("an answer");
    assert_eq!(waited.status(), 201);
    assert!(
        started.elapsed() > Duration::from_secs(1),
        "it waited longer than it may idle"
    );
    let live = tokio::time::timeout(Duration::from_secs(20), second.get(format!("{url}/health/live")).send());
    assert_eq!(live.await.expect("in time").expect("an answer").status(), 200);
    drop(first);
    stop.cancel();
    ended(server).await;
}

#[tokio::test]
async fn a_client_of_http_2_that_grants_no_window_loses_its_place() {
    let stop = CancellationToken::new();
    let limits = [
        ("api.max_connections", "1"),
        ("api.write_timeout_seconds", "0.3"),
        ("api.tls.listen", "127.0.0.1:0"),
    ];
    let (addresses, server) = serving(&limits, &stop).await;
    let url = format!("https://{}", addresses.tls.expect("an address"));
    let (deaf, other) = (http2(1 << 16), http2(1 << 20));
    // Its window is used up, and it never reads on.
    let held = deaf
        .get(format!("{url}{LARGE_PAGE}"))
        .send()
        .await
        .expect("the headers");
    assert_eq!(held.status(), 200);
    let live = tokio::time::timeout(Duration::from_secs(20), other.get(format!("{url}/health/live")).send());
    assert_eq!(live.await.expect("in time").expect("an answer").status(), 200);
    assert!(held.bytes().await.is_err(), "it was cut off");
    drop(deaf);
    stop.cancel();
    ended(server).await;
}

#[tokio::test]
async fn a_slow_client_of_http_2_gets_all_of_a_large_answer() {
    let stop = CancellationToken::new();
    let limits = [
        ("api.header_timeout_seconds", "0.2"),
        ("api.write_timeout_seconds", "1"),
        ("api.tls.listen", "127.0.0.1:0"),
    ];
    let (addresses, server) = serving(&limits, &stop).await;
    let url = format!("https://{}", addresses.tls.expect("an address"));
    let client = http2(1 << 16);
    let page = format!("{url}{LARGE_PAGE}");
    let whole = client
        .get(&page)
        .send()
        .await
        .expect("an answer")
        .bytes()
        .await
        .expect("a body");
    let mut slow = client.get(&page).send().await.expect("an answer");
    let mut read = Vec::new();
    while let Some(piece) = slow.chunk().await.expect("it goes on") {
        read.extend_from_slice(&piece);
        // Slower than the limits for an idle connection, faster than those for one that takes nothing.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(read.len(), whole.len());
    drop(client);
    stop.cancel();
    ended(server).await;
}
