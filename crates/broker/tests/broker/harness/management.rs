//! RabbitMQ's management API.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{eventually, required};

pub(crate) struct Management {
    client: reqwest::Client,
    url: String,
    user: String,
    password: String,
}

impl Management {
    pub(crate) fn from_environment() -> Self {
        let url = required("RABBITMQ_API");
        let (scheme, rest) = url.split_once("://").expect("RABBITMQ_API is a URL");
        let (login, host) = rest.rsplit_once('@').expect("RABBITMQ_API has a login");
        let (user, password) = login.split_once(':').expect("RABBITMQ_API has a password");
        Self {
            client: reqwest::Client::builder()
                .timeout(Duration::from_secs(10))
                .build()
                .expect("a TLS provider is installed"),
            url: format!("{scheme}://{}", host.trim_end_matches('/')),
            user: user.to_owned(),
            password: password.to_owned(),
        }
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Option<Value> {
        let mut request = self
            .client
            .request(method, format!("{}/api/{path}", self.url))
            .basic_auth(&self.user, Some(&self.password));
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("the management API answers");
        if !response.status().is_success() {
            return None;
        }
        response.json().await.ok()
    }

    async fn named(&self, kind: &str, path: &str, is_ours: impl Fn(&Value) -> bool) -> Vec<String> {
        let all = self.call(Method::GET, path, None).await;
        let Some(Value::Array(all)) = all else {
            panic!("the management API lists {kind}");
        };
        all.iter()
            .filter(|one| is_ours(one))
            .filter_map(|one| one["name"].as_str().map(str::to_owned))
            .collect()
    }

    /// Closes the connection that calls itself `name`, as an operator would, and returns when it is gone.
    pub(crate) async fn close_connection(&self, name: &str) {
        // A connection is listed a moment after it was made.
        let connections = eventually("the connection is listed", async || {
            let ours = self
                .named("connections", "connections", |one| one["user_provided_name"] == name)
                .await;
            if ours.is_empty() { Err(ours) } else { Ok(ours) }
        })
        .await;
        for connection in connections {
            let path = format!("connections/{}", encoded(&connection));
            self.call(Method::DELETE, &path, None).await;
        }
    }

    pub(crate) async fn delete_queue(&self, name: &str) {
        self.call(Method::DELETE, &format!("queues/%2F/{name}"), None).await;
    }

    pub(crate) async fn delete_exchange(&self, name: &str) {
        self.call(Method::DELETE, &format!("exchanges/%2F/{name}"), None).await;
    }

    /// Publishes to a queue, as whoever may write to it can. The properties and the payload are JSON.
    pub(crate) async fn publish(&self, queue: &str, properties: &str, payload: &str) {
        let body = format!(
            r#"{{"routing_key": "{queue}", "properties": {properties}, "payload": {payload}, "payload_encoding": "string"}}"#
        );
        let routed = self
            .client
            .post(format!("{}/api/exchanges/%2F/amq.default/publish", self.url))
            .basic_auth(&self.user, Some(&self.password))
            .body(body)
            .send()
            .await
            .expect("the management API answers");
        let told = routed.text().await.expect("an answer");
        assert_eq!(told, r#"{"routed":true}"#);
    }

    pub(crate) async fn declare_odd_queue(&self, name: &str) {
        self.declare_queue(name, json!({"x-max-length": 1_000})).await;
    }

    pub(crate) async fn declare_queue(&self, name: &str, arguments: Value) {
        let body = json!({"durable": true, "arguments": arguments});
        self.call(Method::PUT, &format!("queues/%2F/{name}"), Some(body)).await;
    }

    /// The arguments with which a queue was declared; nothing if there is none.
    pub(crate) async fn arguments(&self, queue: &str) -> Option<Value> {
        let mut told = self.call(Method::GET, &format!("queues/%2F/{queue}"), None).await?;
        Some(told["arguments"].take())
    }
}

/// A connection's name has blanks, a colon and an arrow.
fn encoded(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        write!(encoded, "%{byte:02X}").expect("a string takes everything");
        encoded
    })
}
