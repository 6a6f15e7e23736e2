//! Connections that are ready for a request: with TLS where the URL asks for it, and all of it in time.
//!
//! The deadline is here, below the pool, because the pool finishes connections by itself for which no request waits any
//! longer. A server that never says a word in the handshake would keep each of them for ever.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use tower::{BoxError, Service};

use super::connect::{ConnectError, Connector};
use super::received::Metered;

#[derive(Clone)]
pub(super) struct Establish {
    connector: HttpsConnector<Connector>,
    opened: Arc<AtomicUsize>,
    patience: Duration,
}

impl Establish {
    pub(super) fn new(connector: Connector, roots: RootCertStore, patience: Duration) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has the ciphers of TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let opened = connector.opened();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        Self {
            connector,
            opened,
            patience,
        }
    }

    /// How many connections were opened so far, by all clones of this.
    pub(super) fn opened(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.opened)
    }
}

impl Service<Uri> for Establish {
    type Response = MaybeHttpsStream<TokioIo<Metered>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let establishing = timeout(self.patience, self.connector.call(uri));
        let seconds = self.patience.as_secs_f64();
        Box::pin(async move {
            let established = establishing.await;
            established.unwrap_or_else(|_| Err(ConnectError::TooSlow { seconds }.into()))
        })
    }
}
