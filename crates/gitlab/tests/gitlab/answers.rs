//! Answers that are not what they should be.

use std::time::Duration;

use orchestratum_core::gitlab::ProjectPath;
use orchestratum_gitlab::{Client, Problem, Settings};
use orchestratum_testkit::HttpServer;
use reqwest::StatusCode;

use crate::session::{main, path};

/// A client of a server that says this to everything.
async fn told(status: StatusCode, body: String) -> anyhow::Result<(HttpServer, Client)> {
    let server = HttpServer::start(move |_| {
        let body = body.clone();
        async move { (status, body) }
    })
    .await?;
    let settings = Settings {
        answer_max_bytes: 1_000,
        tries: 2,
        call_patience: Duration::from_secs(10),
        ..Settings::new(server.url(""), "t0ken".to_owned())
    };
    let client = Client::new(settings, || 0.999)?;
    Ok((server, client))
}

#[tokio::test]
async fn an_answer_has_a_size() -> anyhow::Result<()> {
    let user = |length: usize| format!("{{\"id\": 1, \"username\": \"{}\"}}", "a".repeat(length));
    let around = user(0).len();
    let (_server, client) = told(StatusCode::OK, user(1_000 - around)).await?;
    assert_eq!(client.get_current_user().await?.username.len(), 1_000 - around);
    let (server, client) = told(StatusCode::OK, user(1_001 - around)).await?;
    let error = client.get_current_user().await.expect_err("too large");
    assert!(
        matches!(error.problem(), Problem::AnswerTooLarge { max_bytes: 1_000 }),
        "{error}"
    );
    assert_eq!(server.seen().len(), 1, "the next one would not be smaller");
    Ok(())
}

#[tokio::test]
async fn an_answer_that_is_none_is_told_without_its_text() -> anyhow::Result<()> {
    for body in [
        "",
        "<html>31337</html>",
        "31337",
        "[]",
        "{\"id\": 1}",
        "{\"id\": \"31337",
    ] {
        let (server, client) = told(StatusCode::OK, body.to_owned()).await?;
        let error = client.get_current_user().await.expect_err(body);
        assert!(matches!(error.problem(), Problem::Unreadable(_)), "{body}: {error}");
        assert!(!error.to_string().contains("31337"), "{error}");
        assert_eq!(server.seen().len(), 1, "{body}");
    }
    Ok(())
}

#[tokio::test]
async fn a_file_whose_content_is_not_what_it_tells_is_not_believed() -> anyhow::Result<()> {
    let file = |encoding: &str, content: &str, size: usize| {
        let id = "0123456789".repeat(4);
        format!(
            "{{\"encoding\": \"{encoding}\", \"content\": \"{content}\", \"size\": {size}, \"content_sha256\": \"\", \
             \"commit_id\": \"{id}\", \"last_commit_id\": \"{id}\"}}"
        )
    };
    let project = ProjectPath::new("grp/proj")?;
    for (body, is_good) in [
        (file("base64", "YQ==", 1), true),
        (file("base64", "Y\\nQ==\\n", 1), true),
        (file("text", "a", 1), false),
        (file("base64", "a", 1), false),
        (file("base64", "YQ==", 2), false),
        (file("base64", "YQ==", 1).replace("0123", "../."), false),
    ] {
        let (_server, client) = told(StatusCode::OK, body.clone()).await?;
        let read = client.get_file_content(&project, &path("a"), &main()).await;
        assert_eq!(read.is_ok(), is_good, "{body}");
    }
    Ok(())
}

#[tokio::test]
async fn a_page_of_a_proxy_is_recognised_and_asked_for_again() -> anyhow::Result<()> {
    let page = "<html><head><title>502 Bad Gateway</title></head></html>".to_owned();
    let (server, client) = told(StatusCode::BAD_GATEWAY, page).await?;
    let error = client.get_current_user().await.expect_err("unavailable");
    let expected = "cannot get the user of the token: GitLab is not available: 502 a page of HTML, \"502 Bad Gateway\"";
    assert_eq!(error.to_string(), expected);
    assert!(error.is_transient());
    assert_eq!(server.seen().len(), 2);
    Ok(())
}
