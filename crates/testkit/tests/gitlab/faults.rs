//! What a client sees of each fault, and what is in the repository after it.

use std::time::Duration;

use orchestratum_testkit::{Fault, FaultKind, GitlabDouble, OWNER_TOKEN, eventually};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

fn client(patience: Duration) -> reqwest::Result<Client> {
    Client::builder().no_proxy().timeout(patience).build()
}

struct Session {
    double: GitlabDouble,
    http: Client,
}

impl Session {
    fn start() -> anyhow::Result<Self> {
        let double = GitlabDouble::start()?;
        let http = client(Duration::from_secs(20))?;
        Ok(Self { double, http })
    }

    async fn fail(&self, kind: FaultKind) -> anyhow::Result<()> {
        self.double
            .control()
            .fail(&Fault::on("POST", "repository/commits", kind))
            .await
    }

    async fn commit(&self, path: &str) -> reqwest::Result<Response> {
        let action = json!({"action": "create", "file_path": path, "content": "x"});
        let body = json!({"branch": "main", "commit_message": path, "actions": [action]});
        let url = format!("{}/api/v4/projects/1/repository/commits", self.double.url());
        self.http.post(url).bearer_auth(OWNER_TOKEN).json(&body).send().await
    }

    /// The messages of the branch, newest first.
    async fn messages(&self) -> anyhow::Result<Vec<String>> {
        let url = format!("{}/api/v4/projects/grp%2Fproj/repository/commits", self.double.url());
        let commits: Value = self
            .http
            .get(url)
            .header("PRIVATE-TOKEN", OWNER_TOKEN)
            .send()
            .await?
            .json()
            .await?;
        let message = |commit: &Value| commit["message"].as_str().unwrap_or_default().to_owned();
        Ok(commits.as_array().into_iter().flatten().map(message).collect())
    }
}

#[tokio::test]
async fn a_fault_is_met_as_often_as_it_was_told_and_by_its_requests_alone() -> anyhow::Result<()> {
    let session = Session::start()?;
    let fault = Fault::on("POST", "repository/commits", FaultKind::internal_error()).times(2);
    session.double.control().fail(&fault).await?;
    session.fail(FaultKind::bad_gateway()).await?;
    session
        .fail(FaultKind::Limited {
            retry_after: Some("7".to_owned()),
        })
        .await?;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        assert_eq!(
            session.messages().await?.len(),
            1,
            "nothing else fails, and nothing is made"
        );
        let answer = session.commit("a").await?;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.headers()["retry-after"], "7");
        }
        statuses.push(answer.status().as_u16());
    }
    assert_eq!(statuses, [500, 500, 502, 429]);
    assert_eq!(session.commit("a").await?.status(), StatusCode::CREATED);
    let seen = session.double.control().seen().await?;
    let posts: Vec<u16> = seen
        .iter()
        .filter(|seen| seen.method == "POST")
        .map(|seen| seen.status)
        .collect();
    assert_eq!(posts, [500, 500, 502, 429, 201]);
    Ok(())
}

#[tokio::test]
async fn an_answer_is_lost_before_or_after_the_commit_is_made() -> anyhow::Result<()> {
    let session = Session::start()?;
    session.fail(FaultKind::HangUp).await?;
    assert!(session.commit("a").await.is_err());
    assert_eq!(session.messages().await?, ["Initial commit"]);
    session.fail(FaultKind::LoseAnswer).await?;
    assert!(session.commit("b").await.is_err());
    assert_eq!(session.messages().await?, ["b", "Initial commit"]);
    session.fail(FaultKind::CutAnswer).await?;
    assert!(session.commit("c").await?.bytes().await.is_err());
    session.fail(FaultKind::internal_error().after_effect()).await?;
    assert_eq!(session.commit("d").await?.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(session.messages().await?, ["d", "c", "b", "Initial commit"]);
    Ok(())
}

#[tokio::test]
async fn what_was_asked_for_is_done_also_when_nobody_waits_for_it() -> anyhow::Result<()> {
    let session = Session::start()?;
    let impatient = client(Duration::from_millis(50))?;
    let session = Session {
        http: impatient,
        ..session
    };
    session.fail(FaultKind::LateEffect { milliseconds: 200 }).await?;
    assert!(session.commit("late").await.is_err_and(|error| error.is_timeout()));
    let patient = client(Duration::from_secs(20))?;
    let session = Session {
        http: patient,
        ..session
    };
    eventually("the commit is made", || async {
        let messages = session.messages().await.unwrap_or_default();
        if messages == ["late", "Initial commit"] {
            Ok(())
        } else {
            Err(messages)
        }
    })
    .await;
    let begun = Instant::now();
    session.fail(FaultKind::SlowAnswer { milliseconds: 100 }).await?;
    session.commit("slow").await?;
    assert!(begun.elapsed() >= Duration::from_millis(100));
    Ok(())
}
