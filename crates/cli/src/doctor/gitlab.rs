//! Whether `gitlab.…` tasks of a worker here would be let in.

use orchestratum_engine::GitlabSettings;
use orchestratum_engine::error::chain;

use super::report::Report;

pub(super) async fn check(settings: &GitlabSettings, report: &mut Report) -> anyhow::Result<()> {
    const PART: &str = "gitlab";
    let client = match settings.client() {
        Ok(Some(client)) => client,
        Ok(None) => return report.ok(PART, "not offered: gitlab.url is not set"),
        Err(error) => return report.wrong(PART, chain(&error)),
    };
    match client.get_current_user().await {
        Ok(user) => report.ok(PART, format!("as {} at {}", user.username, settings.url)),
        Err(error) => report.wrong(PART, format!("`gitlab` tasks fail: {error}")),
    }
}
