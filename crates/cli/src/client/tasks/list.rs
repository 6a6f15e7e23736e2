//! `orchestratum tasks list`

use clap::Args;

use super::super::http::Http;
use super::input;
use crate::output;

pub(in crate::client) const COLUMNS: [&str; 8] = [
    "id",
    "name",
    "target",
    "status",
    "error.kind",
    "run",
    "attempt",
    "created_at",
];

const STATUSES: [&str; 6] = ["Pending", "InProgress", "Completed", "Expired", "Failed", "Cancelled"];

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
    /// The tasks that a schedule made.
    #[arg(long, value_name = "ID")]
    schedule_id: Option<String>,
    /// The tasks that a saga issued.
    #[arg(long, value_name = "ID")]
    saga_id: Option<String>,
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
        schedule_id,
        saga_id,
        labels,
        created_after,
        created_before,
        limit,
        cursor,
    } = list;
    let labels = input::labels(&labels)?.into_iter();
    let fields = [
        ("status", status.map(in_the_words_of_the_api)),
        ("name", name),
        ("target", target),
        ("parent_id", parent_id),
        ("schedule_id", schedule_id),
        ("saga_id", saga_id),
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

/// The words of the api have capital letters; what is none of them it refuses itself, and says which there are.
fn in_the_words_of_the_api(status: String) -> String {
    let known = STATUSES.into_iter().find(|known| known.eq_ignore_ascii_case(&status));
    known.map_or(status, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_may_be_written_in_small_letters() {
        for (given, sent) in [("failed", "Failed"), ("inprogress", "InProgress"), ("done", "done")] {
            assert_eq!(in_the_words_of_the_api(given.to_owned()), sent);
        }
    }
}
