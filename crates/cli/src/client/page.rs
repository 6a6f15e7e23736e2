//! Lists that come a page at a time.

use clap::Args;
use serde_json::Value;

use super::http::Http;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct Page {
    /// The most of a page, 1 to 200; 50 if not given.
    #[arg(long)]
    limit: Option<u32>,
    /// What the page before says behind `More:`.
    #[arg(long)]
    cursor: Option<String>,
}

/// Shows a page of those that meet the conditions.
pub(super) async fn list<const CONDITIONS: usize>(
    http: &Http,
    path: &[&str],
    items: &str,
    columns: &[&str],
    conditions: [(&str, Option<String>); CONDITIONS],
    page: Page,
) -> anyhow::Result<()> {
    let page = read(http, path, conditions, page).await?;
    if http.json {
        output::json(&page)
    } else {
        output::table(&page, items, columns)
    }
}

/// A page of those that meet the conditions.
pub(super) async fn read<const CONDITIONS: usize>(
    http: &Http,
    path: &[&str],
    conditions: [(&str, Option<String>); CONDITIONS],
    page: Page,
) -> anyhow::Result<Value> {
    let page = [
        ("limit", page.limit.map(|limit| limit.to_string())),
        ("cursor", page.cursor),
    ];
    let query: Vec<(String, String)> = conditions
        .into_iter()
        .chain(page)
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    http.get(path).query(&query).json().await
}
