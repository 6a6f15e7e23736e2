//! The HTTP interface, as a caller uses it.

use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::Value;

use crate::wait::{eventually, eventually_within};

/// A caller with a key.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    url: String,
    key: String,
}

impl Api {
    pub fn new(url: String, key: String) -> anyhow::Result<Self> {
        // Another test of the same process may have installed it before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(Duration::from_secs(90)).build()?;
        Ok(Self { client, url, key })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client
            .get(format!("{}{path}", self.url))
            .header("authorization", format!("ApiKey {}", self.key))
    }

    pub fn put(&self, path: &str) -> RequestBuilder {
        self.client
            .put(format!("{}{path}", self.url))
            .header("authorization", format!("ApiKey {}", self.key))
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client
            .post(format!("{}{path}", self.url))
            .header("authorization", format!("ApiKey {}", self.key))
    }

    /// Waits until the api answers that it is ready.
    pub async fn ready(&self) {
        eventually("the api is ready", || async {
            let answer = self
                .get("/health/ready")
                .send()
                .await
                .map_err(|error| error.to_string())?;
            let status = answer.status();
            let text = answer.text().await.unwrap_or_default();
            if status.is_success() {
                Ok(())
            } else {
                Err(format!("{status} {text}"))
            }
        })
        .await;
    }

    /// Creates a task and returns its id.
    pub async fn create(&self, body: &Value) -> anyhow::Result<String> {
        let answer = self.post("/api/tasks").json(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status == StatusCode::CREATED, "{status}: {text}");
        let task: Value = serde_json::from_str(&text)?;
        Ok(task["id"].as_str().context("an id")?.to_owned())
    }

    pub async fn task(&self, id: &str) -> anyhow::Result<Value> {
        self.json(&format!("/api/tasks/{id}")).await
    }

    pub async fn attempts(&self, id: &str) -> anyhow::Result<Vec<Value>> {
        let list = self.json(&format!("/api/tasks/{id}/attempts")).await?;
        Ok(list["items"].as_array().context("items")?.clone())
    }

    pub async fn json(&self, path: &str) -> anyhow::Result<Value> {
        let answer = self.get(path).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        ensure!(status.is_success(), "{status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// Waits until the task has the status.
    pub async fn until(&self, id: &str, status: &str, patience: Duration) -> Value {
        eventually_within(patience, &format!("task {id} is {status}"), || async {
            let task = self.task(id).await.map_err(|error| error.to_string())?;
            if task["status"] == status {
                Ok(task)
            } else {
                Err(task.to_string())
            }
        })
        .await
    }
}
