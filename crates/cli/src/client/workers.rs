//! `orchestratum workers`

use super::http::Http;
use crate::output;

const COLUMNS: [&str; 9] = [
    "id",
    "name",
    "state",
    "targets",
    "names",
    "isolation",
    "capacity",
    "running",
    "last_heartbeat_at",
];

pub(super) async fn run(http: &Http) -> anyhow::Result<()> {
    let workers = http.get(&["workers"]).json().await?;
    if http.json {
        output::json(&workers)
    } else {
        output::table(&workers, "workers", &COLUMNS)
    }
}
