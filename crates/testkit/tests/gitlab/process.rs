use std::path::Path;

use orchestratum_testkit::{GitlabProcess, OWNER_TOKEN, READ_ONLY_TOKEN, READER_TOKEN};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::process::Command;

async fn post(double: &GitlabProcess, path: &str, body: &Value) -> anyhow::Result<Value> {
    let url = format!("{}/api/v4/projects/1/{path}", double.control().url());
    let http = Client::builder().no_proxy().build()?;
    let answer = http.post(url).bearer_auth(OWNER_TOKEN).json(body).send().await?;
    Ok(answer.error_for_status()?.json().await?)
}

async fn get(double: &GitlabProcess, path: &str) -> anyhow::Result<Value> {
    let url = format!("{}/api/v4/projects/1/{path}", double.control().url());
    let http = Client::builder().no_proxy().build()?;
    let answer = http.get(url).bearer_auth(OWNER_TOKEN).send().await?;
    Ok(answer.error_for_status()?.json().await?)
}

#[tokio::test]
async fn a_killed_double_goes_on_with_all_that_it_has_told() -> anyhow::Result<()> {
    let mut double = GitlabProcess::start().await?;
    post(
        &double,
        "repository/branches",
        &json!({"branch": "issue/1", "ref": "main"}),
    )
    .await?;
    let wanted = json!({"source_branch": "issue/1", "target_branch": "main", "title": "t"});
    let made = post(&double, "merge_requests", &wanted).await?;
    let issue = post(&double, "issues", &json!({"title": "i", "assignee_ids": [1]})).await?;
    double.kill()?;
    double.start_again().await?;
    assert_eq!(get(&double, "merge_requests/1").await?, made);
    assert_eq!(get(&double, "issues/1").await?, issue);
    assert_eq!(get(&double, "repository/branches/issue%2F1").await?["name"], "issue/1");
    Ok(())
}

#[tokio::test]
async fn the_repository_is_cloned_with_a_token_at_any_commit() -> anyhow::Result<()> {
    let double = GitlabProcess::start().await?;
    let create = |path: &str| json!({"action": "create", "file_path": path, "content": "x"});
    let commit = |path: &str| json!({"branch": "main", "commit_message": path, "actions": [create(path)]});
    let first = post(&double, "repository/commits", &commit("first")).await?;
    post(&double, "repository/commits", &commit("second")).await?;
    let address = double.control().url().trim_start_matches("http://").to_owned();
    let folder = tempfile::tempdir()?;
    let clone = folder.path().join("clone");
    assert!(
        !cloned(&format!("http://{address}/grp/proj.git"), &clone).await?,
        "without a token"
    );
    assert!(cloned(&format!("http://oauth2:{OWNER_TOKEN}@{address}/grp/proj.git"), &clone).await?);
    let id = first["id"].as_str().unwrap_or_default();
    let checkout = Command::new("git")
        .arg("-C")
        .arg(&clone)
        .args(["checkout", "--quiet", id])
        .status()
        .await?;
    assert!(checkout.success() && clone.join("first").exists() && !clone.join("second").exists());
    Ok(())
}

#[tokio::test]
async fn whoever_may_write_pushes_and_a_branch_that_went_on_is_not_overwritten() -> anyhow::Result<()> {
    let double = GitlabProcess::start().await?;
    let first = json!({"action": "create", "file_path": "first", "content": "x"});
    post(
        &double,
        "repository/commits",
        &json!({"branch": "main", "commit_message": "first", "actions": [first]}),
    )
    .await?;
    let address = double.control().url().trim_start_matches("http://").to_owned();
    let url = |token: &str| format!("http://oauth2:{token}@{address}/grp/proj.git");
    let folder = tempfile::tempdir()?;
    let (clone, late) = (folder.path().join("clone"), folder.path().join("late"));
    assert!(cloned(&url(OWNER_TOKEN), &clone).await? && cloned(&url(OWNER_TOKEN), &late).await?);
    for (clone, token, is_taken) in [
        (&clone, READER_TOKEN, false),
        (&clone, READ_ONLY_TOKEN, false),
        (&clone, OWNER_TOKEN, true),
        (&late, OWNER_TOKEN, false),
    ] {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
        let commit = [
            &identity[..],
            &["commit", "--quiet", "--allow-empty", "--message", "pushed"],
        ]
        .concat();
        assert!(git(clone, &commit).await?);
        let pushed = git(clone, &["push", "--quiet", &url(token), "HEAD:main"]).await?;
        assert_eq!(pushed, is_taken, "{token}");
    }
    let branch = get(&double, "repository/branches/main").await?;
    assert_eq!(branch["commit"]["title"], "pushed");
    Ok(())
}

async fn git(clone: &Path, arguments: &[&str]) -> anyhow::Result<bool> {
    let mut command = Command::new("git");
    succeeds(command.arg("-C").arg(clone).args(arguments)).await
}

async fn cloned(url: &str, into: &Path) -> anyhow::Result<bool> {
    let mut command = Command::new("git");
    succeeds(command.args(["clone", "--quiet", url]).arg(into)).await
}

async fn succeeds(command: &mut Command) -> anyhow::Result<bool> {
    command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("no_proxy", "127.0.0.1");
    Ok(command.stderr(std::process::Stdio::null()).status().await?.success())
}
