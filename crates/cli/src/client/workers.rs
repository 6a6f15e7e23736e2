//! `orchestratum workers`

use super::http::Http;
use super::output;

pub(super) async fn run(http: &Http) -> anyhow::Result<()> {
    let workers = http.get("/api/workers", &[]).await?;
    if http.json {
        output::json(&workers);
    } else {
        let columns = [
            "id",
            "name",
            "state",
            "targets",
            "names",
            "capacity",
            "running",
            "last_heartbeat_at",
        ];
        output::table(&workers, &columns);
    }
    Ok(())
}
