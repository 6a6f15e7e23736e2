//! How a test makes a double fail, and reads what it was asked.

use std::path::PathBuf;

use anyhow::Context;
use reqwest::Client;

use super::faults::Fault;
use super::history::SeenRequest;

/// Of a double in this process or in another one.
#[derive(Debug, Clone)]
pub struct GitlabControl {
    url: String,
    http: Client,
}

impl GitlabControl {
    pub fn new(url: impl Into<String>) -> anyhow::Result<Self> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // A double that is killed and started again has the same address, and not the same connections.
        let http = Client::builder().no_proxy().pool_max_idle_per_host(0).build()?;
        Ok(Self { url: url.into(), http })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    pub async fn fail(&self, fault: &Fault) -> anyhow::Result<()> {
        let request = self.http.post(self.at("faults")).json(fault);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// From now on all goes well.
    pub async fn heal(&self) -> anyhow::Result<()> {
        self.http.delete(self.at("faults")).send().await?.error_for_status()?;
        Ok(())
    }

    /// What was asked of the API so far, or since it was forgotten.
    pub async fn seen(&self) -> anyhow::Result<Vec<SeenRequest>> {
        let answer = self.http.get(self.at("requests")).send().await?.error_for_status()?;
        answer.json().await.context("what the double was asked")
    }

    pub async fn forget(&self) -> anyhow::Result<()> {
        self.http.delete(self.at("requests")).send().await?.error_for_status()?;
        Ok(())
    }

    /// The bare repository, for `git`.
    pub async fn repository(&self) -> anyhow::Result<PathBuf> {
        let answer = self.http.get(self.at("repository")).send().await?.error_for_status()?;
        Ok(PathBuf::from(answer.text().await?))
    }

    fn at(&self, what: &str) -> String {
        format!("{}/double/{what}", self.url)
    }
}
