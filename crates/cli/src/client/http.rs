//! Requests to the api, and its errors as a person wants to read them.

use std::fmt::Write;
use std::time::Duration;

use anyhow::{Context, bail};
use reqwest::{Client, Method, Response};
use serde_json::Value;

use super::Server;

/// Longer than the longest `wait_seconds`.
const TIMEOUT: Duration = Duration::from_secs(90);

pub(super) struct Http {
    client: Client,
    url: String,
    key: Option<String>,
    pub(super) json: bool,
}

impl Http {
    pub(super) fn new(server: &Server) -> anyhow::Result<Self> {
        let client = Client::builder().timeout(TIMEOUT).build()?;
        let url = server.url.trim_end_matches('/').to_owned();
        Ok(Self {
            client,
            url,
            key: server.key.clone(),
            json: server.json,
        })
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<Value> {
        self.send(Method::GET, path, query, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        self.send(Method::POST, path, &[], body).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        self.send(Method::PATCH, path, &[], Some(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, &[], None).await
    }

    pub(super) async fn text(&self, path: &str, query: &[(&str, String)]) -> anyhow::Result<String> {
        Ok(self.call(Method::GET, path, query, None).await?.text().await?)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let text = self.call(method, path, query, body).await?.text().await?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).context("the api did not answer JSON")
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> anyhow::Result<Response> {
        let mut request = self.client.request(method, format!("{}{path}", self.url)).query(query);
        if let Some(key) = &self.key {
            request = request.header("authorization", format!("ApiKey {key}"));
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| {
            format!(
                "there is no api at {}: start one with `orchestratum dev`, or give --url",
                self.url
            )
        })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let text = response.text().await.unwrap_or_default();
        bail!("{}", problem(status.as_u16(), &text))
    }
}

/// A problem document (RFC 9457) as lines of text.
fn problem(status: u16, text: &str) -> String {
    let Ok(problem) = serde_json::from_str::<Value>(text) else {
        return format!("the api answered {status}: {text}");
    };
    let field = |name: &str| problem[name].as_str().unwrap_or_default();
    let mut lines = format!("{} ({status} {}): {}", field("title"), field("code"), field("detail"));
    for error in problem["errors"].as_array().into_iter().flatten() {
        let (pointer, message) = (error["pointer"].as_str(), error["message"].as_str());
        // Writing to a String cannot fail.
        let _ = write!(
            lines,
            "\n  {}: {}",
            pointer.unwrap_or_default(),
            message.unwrap_or_default()
        );
    }
    if status == 401 {
        lines.push_str("\n  Give a key with --key or ORCHESTRATUM_KEY.");
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_every_broken_rule() {
        let text = r#"{"title":"Invalid","code":"invalid","detail":"2 rules","errors":[{"pointer":"/name","message":"must"}]}"#;
        assert_eq!(problem(422, text), "Invalid (422 invalid): 2 rules\n  /name: must");
        assert_eq!(problem(502, "<html>"), "the api answered 502: <html>");
    }
}
