//! The answer is lost, late, or an error although it is done: exactly one commit, branch and merge request comes of it.

use std::time::Duration;

use orchestratum_core::gitlab::Title;
use orchestratum_gitlab::{Client, Made, NewBranch, NewCommit, NewMergeRequest, Settings};
use orchestratum_testkit::{Fault, FaultKind, eventually};

use crate::session::{COMMITS, Session, branch, commit_of, create, main, step};

const BRANCHES: &str = "repository/branches";
const MERGE_REQUESTS: &str = "merge_requests";

fn impatient(settings: Settings) -> Settings {
    Settings {
        request_patience: Duration::from_millis(1_500),
        ..settings
    }
}

/// Two clients of one GitLab. How often it is asked is counted, so none is to give up on a busy machine but who is kept waiting.
struct Clients {
    session: Session,
    kept_waiting: Client,
}

impl Clients {
    fn start() -> anyhow::Result<Self> {
        let session = Session::start()?;
        let kept_waiting = session.with(|settings| Settings {
            request_patience: Duration::from_secs(4),
            ..settings
        })?;
        Ok(Self { session, kept_waiting })
    }

    fn of(&self, kind: &FaultKind) -> &Client {
        match kind {
            FaultKind::SlowAnswer { .. } => &self.kept_waiting,
            _ => &self.session.client,
        }
    }
}

/// Whatever is asked for is done, and not told.
fn done_and_not_told() -> [(&'static str, FaultKind); 5] {
    [
        ("lost", FaultKind::LoseAnswer),
        ("cut", FaultKind::CutAnswer),
        ("slow", FaultKind::SlowAnswer { milliseconds: 30_000 }),
        ("500", FaultKind::internal_error().after_effect()),
        ("502", FaultKind::bad_gateway().after_effect()),
    ]
}

fn not_done() -> [(&'static str, FaultKind); 5] {
    [
        ("hang up", FaultKind::HangUp),
        ("500", FaultKind::internal_error()),
        ("502", FaultKind::bad_gateway()),
        ("429", FaultKind::Limited { retry_after: None }),
        ("503", FaultKind::answer(503, "application/json", "")),
    ]
}

fn commit(name: &str) -> NewCommit {
    let name = name.replace(' ', "-");
    commit_of(&name, vec![create(&name, name.as_bytes())])
}

#[tokio::test]
async fn a_commit_that_was_made_and_not_told_is_found() -> anyhow::Result<()> {
    let clients = Clients::start()?;
    let session = &clients.session;
    for (name, kind) in done_and_not_told() {
        session.double.control().forget().await?;
        let client = clients.of(&kind);
        session.fail("POST", COMMITS, kind).await?;
        let made = client.create_commit(&session.project, &commit(name)).await?;
        assert!(
            matches!(&made, Made::Again(commit) if commit.title == format!("By {name}")),
            "{name}: {made:?}"
        );
        assert_eq!(session.count("POST", COMMITS).await?, 1, "{name}");
    }
    assert_eq!(
        session.titles().await?,
        ["By 502", "By 500", "By slow", "By cut", "By lost", "Initial commit"]
    );
    Ok(())
}

#[tokio::test]
async fn a_commit_that_was_not_made_is_asked_for_again() -> anyhow::Result<()> {
    let session = Session::start()?;
    for (name, kind) in not_done() {
        session.double.control().forget().await?;
        let is_limited = matches!(kind, FaultKind::Limited { .. });
        session.fail("POST", COMMITS, kind).await?;
        let made = session.client.create_commit(&session.project, &commit(name)).await?;
        assert!(matches!(made, Made::New(_)), "{name}");
        assert_eq!(session.count("POST", COMMITS).await?, 2, "{name}");
        let looks = session.count("GET", COMMITS).await?;
        assert_eq!(
            looks,
            usize::from(!is_limited),
            "{name}: who is limited knows that nothing was made"
        );
    }
    assert_eq!(session.titles().await?.len(), 6);
    Ok(())
}

#[tokio::test]
async fn a_commit_that_is_made_after_it_was_given_up_is_made_once() -> anyhow::Result<()> {
    let session = Session::start_with(impatient)?;
    let late = FaultKind::LateEffect { milliseconds: 2_500 };
    session.fail("POST", COMMITS, late).await?;
    let made = session.client.create_commit(&session.project, &commit("late")).await?;
    // Mostly the second request makes it before the first one, which then finds the file there. On a slow machine the first one is found.
    let expected = if matches!(made, Made::New(_)) { 2 } else { 1 };
    eventually("all requests have had their effect", || async {
        let posts = session.count("POST", COMMITS).await.unwrap_or_default();
        if posts >= expected { Ok(()) } else { Err(posts) }
    })
    .await;
    assert!(made.is_ours());
    assert_eq!(session.titles().await?, ["By late", "Initial commit"]);
    Ok(())
}

#[tokio::test]
async fn who_gives_up_says_that_it_may_be_done() -> anyhow::Result<()> {
    let session = Session::start()?;
    let always = |kind| Fault::on("POST", COMMITS, kind).times(100);
    session.double.control().fail(&always(FaultKind::LoseAnswer)).await?;
    // So that it cannot be found, either.
    session
        .double
        .control()
        .fail(&Fault::on("GET", COMMITS, FaultKind::internal_error()).times(100))
        .await?;
    let lost = session
        .client
        .create_commit(&session.project, &commit("1"))
        .await
        .expect_err("no answer");
    assert!(lost.may_be_done() && lost.is_transient(), "{lost}");
    session.double.control().heal().await?;
    session
        .double
        .control()
        .fail(&always(FaultKind::Limited { retry_after: None }))
        .await?;
    let limited = session
        .client
        .create_commit(&session.project, &commit("2"))
        .await
        .expect_err("limited");
    assert!(!limited.may_be_done() && limited.is_transient(), "{limited}");
    assert_eq!(session.titles().await?, ["By 1", "Initial commit"]);
    Ok(())
}

#[tokio::test]
async fn a_branch_is_made_once() -> anyhow::Result<()> {
    let clients = Clients::start()?;
    let session = &clients.session;
    let all = done_and_not_told().into_iter().chain(not_done());
    for (number, (name, kind)) in all.enumerate() {
        session.double.control().forget().await?;
        let client = clients.of(&kind);
        session.fail("POST", BRANCHES, kind).await?;
        let new = NewBranch {
            name: branch(&format!("issue/{number}")),
            from: main(),
            is_own_name: true,
            begun_before: false,
        };
        let made = client.create_branch(&session.project, &new).await?;
        let is_found = number < done_and_not_told().len();
        assert_eq!(matches!(made, Made::Again(_)), is_found, "{name}");
        assert!(made.is_ours(), "{name}");
        assert_eq!(
            session.count("POST", BRANCHES).await?,
            if is_found { 1 } else { 2 },
            "{name}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_merge_request_is_made_once() -> anyhow::Result<()> {
    let clients = Clients::start()?;
    let session = &clients.session;
    let all = done_and_not_told().into_iter().chain(not_done());
    for (number, (name, kind)) in all.enumerate() {
        let source = branch(&format!("issue/{number}"));
        let new = NewBranch {
            name: source.clone(),
            from: main(),
            is_own_name: true,
            begun_before: false,
        };
        session.client.create_branch(&session.project, &new).await?;
        session.double.control().forget().await?;
        let client = clients.of(&kind);
        session.fail("POST", MERGE_REQUESTS, kind).await?;
        let new = NewMergeRequest {
            source,
            target: branch("main"),
            title: Title::new(name)?,
            description: String::new(),
            step: step(&format!("saga:{number}")),
        };
        let made = client.create_merge_request(&session.project, &new).await?;
        let is_found = number < done_and_not_told().len();
        assert_eq!(matches!(made, Made::Again(_)), is_found, "{name}: {made:?}");
        assert_eq!(made.as_inner().iid, number as u64 + 1, "{name}");
        assert_eq!(
            session.count("POST", MERGE_REQUESTS).await?,
            if is_found { 1 } else { 2 },
            "{name}"
        );
    }
    Ok(())
}
