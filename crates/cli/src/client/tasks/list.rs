//! `orchestratum tasks list`

use clap::Args;

use super::super::http::Http;
use super::input;
use crate::output;

const COLUMNS: [&str; 8] = [
    "id",
    "name",
    "target",
    "status",
    "error.kind",
    "run",
    "attempt",
    "created_at",
];

#[derive(Debug, Args)]
pub(crate) struct List {
    /// `Pending`, `InProgress`, `Completed`, `Expired`, `Failed` or `Cancelled`.
    #[arg(long)]
    status: Option<String>,
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    target: Option<String>,
    #[arg(long, value_name = "ID")]
    parent_id: Option<String>,
    /// key=value; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// RFC 3339, such as 2026-12-01T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    created_after: Option<String>,
    #[arg(long, value_name = "TIME")]
    created_before: Option<String>,
    /// The most tasks of a page, 1 to 200; 50 if not given.
    #[arg(long)]
    limit: Option<u32>,
    /// What the page before says behind `More:`.
    #[arg(long)]
    cursor: Option<String>,
}

pub(super) async fn run(http: &Http, list: List) -> anyhow::Result<()> {
    let page = http.get(&["tasks"]).query(&query(list)?).json().await?;
    if http.json {
        return output::json(&page);
    }
    output::table(&page, "tasks", &COLUMNS)?;
    if page["truncated"].as_bool() == Some(true) {
        output::line("\nOnly the newest 100,000 tasks were looked at: this filter has no index.")?;
    }
    Ok(())
}

fn query(list: List) -> anyhow::Result<Vec<(String, String)>> {
    let List {
        status,
        name,
        target,
        parent_id,
        labels,
        created_after,
        created_before,
        limit,
        cursor,
    } = list;
    let labels = input::labels(&labels)?.into_iter();
    let fields = [
        ("status", status),
        ("name", name),
        ("target", target),
        ("parent_id", parent_id),
        ("created_after", created_after),
        ("created_before", created_before),
        ("limit", limit.map(|limit| limit.to_string())),
        ("cursor", cursor),
    ];
    Ok(fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .chain(labels.map(|(key, value)| (format!("label.{key}"), value)))
        .collect())
}
