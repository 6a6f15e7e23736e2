//! `https`, with certificates that are trusted and some that are not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rcgen::CertifiedKey;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::lab::{Lab, Names, answer_for_ever, exchange, exchange_again, failure};
use crate::executors::http::error::Error;

const BOUND: Duration = Duration::from_secs(30);

/// What a server called `secure.example` needs, and its certificate.
fn acceptor() -> (TlsAcceptor, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["secure.example".to_owned()]).expect("a certificate");
    let certificate = cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the usual versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("it belongs to the key");
    (TlsAcceptor::from(Arc::new(config)), certificate)
}

/// A server of that name, and its certificate.
async fn secure_server() -> (SocketAddr, CertificateDer<'static>) {
    let (acceptor, certificate) = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                continue;
            };
            let mut head = [0; 4_096];
            let _ = stream.read(&mut head).await;
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecure";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, certificate)
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_bear_the_name_in_the_url() {
    let (address, certificate) = secure_server().await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("it is one");
    let names = Names::answering(&[&["127.0.0.1"]]);
    let stranger = Lab::open_to(&[address]).names(names);
    let url = |host: &str| json!({"url": format!("https://{host}:{}/", address.port())});

    let (message, retryable) = failure(
        &exchange(&stranger, url("secure.example"))
            .await
            .expect_err("not trusted"),
    );
    assert!(
        message.contains("certificate") && message.contains("UnknownIssuer"),
        "{message}"
    );
    assert!(retryable, "certificates are renewed");

    let trusting = stranger.roots(roots);
    let output = exchange(&trusting, url("secure.example")).await.expect("it is trusted");
    assert_eq!((&output["status"], &output["body"]), (&json!(200), &json!("secure")));

    let (message, _) = failure(
        &exchange(&trusting, url("other.example"))
            .await
            .expect_err("another name"),
    );
    assert!(message.contains("certificate"), "{message}");
}

/// The pool goes on with a connection that it began for a request, and that the request no longer needs as another one
/// became free.
#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up_although_no_request_waits_for_it() {
    let (acceptor, certificate) = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let asked = Arc::new(Notify::new());
    let first_is_asked = Arc::clone(&asked);
    let server = tokio::spawn(async move {
        const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure";
        let mut head = [0; 4_096];
        let (first, _) = listener.accept().await.expect("a connection");
        let mut first = acceptor.accept(first).await.expect("a handshake");
        assert!(first.read(&mut head).await.expect("a request") > 0);
        first_is_asked.notify_one();
        let (mut silent, _) = listener.accept().await.expect("a connection for the second request");
        first.write_all(ANSWER).await.expect("an answer");
        assert!(first.read(&mut head).await.expect("the second request") > 0);
        first.write_all(ANSWER).await.expect("another answer");
        // What it says first, and its end.
        let _ = silent.read_to_end(&mut Vec::new()).await;
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("it is one");
    let lab = Lab::open_to(&[address])
        .names(Names::answering(&[&["127.0.0.1"]]))
        .roots(roots)
        .connected_within(Duration::from_secs(2));
    let http = lab.http();
    let input = || json!({"url": format!("https://secure.example:{}/", address.port())});
    let (first, second) = tokio::join!(exchange_again(&http, input()), async {
        asked.notified().await;
        exchange_again(&http, input()).await
    });
    for answer in [first, second] {
        assert_eq!(answer.expect("it answers")["body"], "secure");
    }
    let ended = timeout(BOUND, server).await;
    ended.expect("the silent connection ends").expect("no panic");
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_told_as_what_it_is() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    let lab = Lab::open_to(&[address]).connected_within(Duration::from_millis(200));
    let (message, retryable) = failure(
        &exchange(&lab, json!({"url": format!("https://{address}/")}))
            .await
            .expect_err("it says nothing"),
    );
    assert_eq!(
        message,
        "the request to `127.0.0.1` failed: it was not connected within 0.2 s"
    );
    assert!(retryable);
}

#[tokio::test]
async fn what_is_received_is_bounded_below_tls() {
    let (acceptor, certificate) = acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a connection");
        let mut stream = acceptor.accept(stream).await.expect("a handshake");
        answer_for_ever(&mut stream, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n").await;
    });
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("it is one");
    let lab = Lab::open_to(&[address])
        .names(Names::answering(&[&["127.0.0.1"]]))
        .roots(roots)
        .body_max_bytes(100_000);
    let input = json!({"url": format!("https://secure.example:{}/", address.port())});
    let error = exchange(&lab, input).await.expect_err("it never answers");
    assert!(matches!(error, Error::TooMuchReceived { most: 1_248_576 }), "{error}");
}
