//! A corner of RabbitMQ that belongs to one test.

use std::sync::Arc;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use orchestratum_broker::{Broker, Options, RabbitBroker};
use orchestratum_testkit::{AmqpSender, Corner, Servers};

use super::{Management, healthy};

/// A prefix of its own. What the test has made under it is deleted at its end, also when it fails.
pub(crate) struct Rabbit {
    pub(crate) prefix: String,
    pub(crate) management: Management,
    url: String,
    _corner: Corner,
}

impl Rabbit {
    pub(crate) async fn new() -> Self {
        // Both connectors of the process need one, and only the first call can win.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let servers = Servers::from_environment();
        let corner = Corner::unique(&servers).await.expect("RabbitMQ is there");
        Self {
            prefix: corner.prefix().to_owned(),
            management: Management::from_environment(),
            url: servers.amqp_url,
            _corner: corner,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn queue(&self, target: &str) -> String {
        format!("{}.tasks.{target}", self.prefix)
    }

    pub(crate) fn signals(&self) -> String {
        format!("{}.signals", self.prefix)
    }

    /// Another process, so to speak.
    pub(crate) async fn broker(&self) -> Arc<RabbitBroker> {
        self.broker_with(&self.url, 16).await
    }

    pub(crate) async fn broker_with(&self, url: &str, prefetch: u16) -> Arc<RabbitBroker> {
        let options = Options {
            prefix: self.prefix.clone(),
            prefetch,
        };
        let broker = Arc::new(RabbitBroker::start(url, &options).expect("a usable URL"));
        healthy(&*broker).await;
        broker
    }

    /// The URL of the same server behind a proxy.
    pub(crate) fn url_through(&self, port: u16) -> String {
        let (login, rest) = self.url.split_once('@').expect("a URL with a login");
        let path = rest.split_once('/').map_or("", |(_, path)| path);
        format!("{login}@127.0.0.1:{port}/{path}")
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> String {
        let (_, rest) = self.url.split_once('@').expect("a URL with a login");
        rest.split('/').next().expect("a host").to_owned()
    }

    /// Puts bodies into a queue as anyone with the login could.
    pub(crate) async fn publish_raw(&self, target: &str, bodies: &[&[u8]]) {
        let sender = AmqpSender::connect(&self.url).await.expect("the server is up");
        for body in bodies {
            let sent = sender.send("", &self.queue(target), body, None).await;
            assert!(sent.expect("confirmed"), "the queue is there");
        }
    }

    /// They come in one piece, however large.
    pub(crate) async fn publish_with_large_headers(&self, target: &str) {
        let sender = AmqpSender::connect(&self.url).await.expect("the server is up");
        let mut headers = FieldTable::default();
        headers.insert("x-large".into(), AMQPValue::LongString("a".repeat(100 << 10).into()));
        let properties = BasicProperties::default().with_headers(headers);
        let sent = sender.send_with("", &self.queue(target), b"{}", properties).await;
        assert!(sent.expect("confirmed"), "the queue is there");
    }

    pub(crate) async fn finish(self, brokers: impl IntoIterator<Item = Arc<RabbitBroker>>) {
        for broker in brokers {
            broker.close().await;
        }
        drop(self);
    }
}
