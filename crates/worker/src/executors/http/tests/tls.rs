//! `https`, with certificates that are trusted and some that are not.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::lab::{Lab, Names, exchange, failure};

/// A server called `secure.example`, and its certificate.
async fn secure_server() -> (SocketAddr, CertificateDer<'static>) {
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
    let acceptor = TlsAcceptor::from(Arc::new(config));
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
