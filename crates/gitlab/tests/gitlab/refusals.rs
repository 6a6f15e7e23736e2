//! What GitLab refuses is told in its words, and not tried again.

use orchestratum_core::gitlab::ProjectPath;
use orchestratum_gitlab::{Client, Error, Problem};
use orchestratum_testkit::{FaultKind, HttpServer, READ_ONLY_TOKEN, READER_TOKEN};

use crate::session::{COMMITS, Session, commit_of, create};

async fn refused(client: &Client, session: &Session) -> Error {
    let commit = commit_of("1", vec![create("a", b"")]);
    client
        .create_commit(&session.project, &commit)
        .await
        .expect_err("it is refused")
}

#[tokio::test]
async fn a_token_without_rights_makes_nothing() -> anyhow::Result<()> {
    let session = Session::start()?;
    let unknown = refused(&session.of("glpat-unknown")?, &session).await;
    assert!(matches!(unknown.problem(), Problem::Unauthorized(_)), "{unknown}");
    let told =
        "cannot make a commit on the branch main of grp/proj: GitLab does not accept the token: 401 Unauthorized";
    assert_eq!(unknown.to_string(), told);
    let reader = refused(&session.of(READER_TOKEN)?, &session).await;
    assert!(
        matches!(reader.problem(), Problem::Forbidden(said) if said.text().contains("not allowed")),
        "{reader}"
    );
    let read_only = refused(&session.of(READ_ONLY_TOKEN)?, &session).await;
    assert!(matches!(read_only.problem(), Problem::Forbidden(said) if said.text().contains("insufficient_scope")));
    for error in [unknown, reader, read_only] {
        assert!(!error.is_transient() && !error.may_be_done(), "{error}");
    }
    assert_eq!(session.count_all().await?, 3, "each is asked for once");
    assert_eq!(session.titles().await?, ["Initial commit"]);
    Ok(())
}

#[tokio::test]
async fn an_unknown_project_is_told_as_such() -> anyhow::Result<()> {
    let session = Session::start()?;
    let unknown = ProjectPath::new("no/such")?;
    let missing = session.client.get_project(&unknown).await.expect_err("none");
    assert!(missing.to_string().ends_with("404 Project Not Found"), "{missing}");
    let commit = commit_of("1", vec![create("a", b"")]);
    let missing = session.client.create_commit(&unknown, &commit).await.expect_err("none");
    assert!(matches!(missing.problem(), Problem::NotFound(_)), "{missing}");
    assert_eq!(session.count_all().await?, 2);
    Ok(())
}

#[tokio::test]
async fn what_is_said_is_shown_in_one_line_and_without_the_token() -> anyhow::Result<()> {
    let session = Session::start()?;
    let token = orchestratum_testkit::OWNER_TOKEN;
    let body = format!("{{\"message\": {{\"base\": [\"bad\\n\\u001b[1m {token}\"]}}}}");
    session
        .fail("POST", COMMITS, FaultKind::answer(400, "application/json", &body))
        .await?;
    let refused = refused(&session.client, &session).await;
    let told = format!("{refused} {refused:?}");
    assert!(
        refused
            .to_string()
            .ends_with("GitLab refuses it: 400 base bad [1m [token]"),
        "{refused}"
    );
    assert!(!told.contains(token) && !told.contains('\n'), "{told}");
    Ok(())
}

#[tokio::test]
async fn a_redirect_is_not_followed() -> anyhow::Result<()> {
    let elsewhere = HttpServer::start(|_| async { "{}" }).await?;
    let target = elsewhere.url("/api/v4/user");
    let moved = HttpServer::start(move |_| {
        let target = target.clone();
        async move { (reqwest::StatusCode::MOVED_PERMANENTLY, [("location", target)]) }
    })
    .await?;
    let settings = orchestratum_gitlab::Settings::new(moved.url(""), "t0ken".to_owned());
    let client = Client::new(settings, || 0.5)?;
    let error = client.get_current_user().await.expect_err("it is elsewhere");
    assert!(matches!(error.problem(), Problem::Moved(_)), "{error}");
    assert_eq!((moved.seen().len(), elsewhere.seen().len()), (1, 0));
    assert_eq!(moved.seen()[0].headers["authorization"], "Bearer t0ken");
    Ok(())
}
