use orchestratum_core::gitlab::Title;
use orchestratum_gitlab::{Made, MergeRequestFilter, MergeRequestState, NewBranch, NewMergeRequest, Problem, Step};

use crate::session::{Session, branch, main, step};

fn new(id: &str) -> NewMergeRequest {
    NewMergeRequest {
        source: branch("issue/1"),
        target: branch("main"),
        title: Title::new("The balance of the condenser").expect("a title"),
        description: "All is computed.".to_owned(),
        step: step(id),
    }
}

async fn start() -> anyhow::Result<Session> {
    let session = Session::start()?;
    let source = NewBranch {
        name: branch("issue/1"),
        from: main(),
        is_own_name: true,
        begun_before: false,
    };
    session.client.create_branch(&session.project, &source).await?;
    Ok(session)
}

#[tokio::test]
async fn there_is_one_open_merge_request_for_two_branches() -> anyhow::Result<()> {
    let session = start().await?;
    let (client, project) = (&session.client, &session.project);
    let Made::New(made) = client.create_merge_request(project, &new("1")).await? else {
        panic!("it is new");
    };
    let description = made.description.as_deref();
    assert_eq!(description, Some("All is computed.\n\n<!-- Orchestratum-Step: 1 -->"));
    assert_eq!(
        client.create_merge_request(project, &new("1")).await?,
        Made::Again(made.clone())
    );
    assert_eq!(
        client.create_merge_request(project, &new("2")).await?,
        Made::Existing(made.clone())
    );
    let filter = MergeRequestFilter {
        source_branch: Some(branch("issue/1")),
        ..MergeRequestFilter::default()
    };
    assert_eq!(client.get_merge_requests(project, &filter).await?.items, [made]);
    Ok(())
}

#[tokio::test]
async fn a_step_makes_no_other_merge_request_for_one_that_was_closed() -> anyhow::Result<()> {
    let session = start().await?;
    let (client, project) = (&session.client, &session.project);
    let made = client.create_merge_request(project, &new("1")).await?.into_inner();
    for _ in 0..2 {
        let closed = client.close_merge_request(project, made.iid).await?;
        assert_eq!((closed.iid, closed.state), (made.iid, MergeRequestState::Closed));
    }
    assert_eq!(session.count("PUT", "merge_requests/1").await?, 1);
    let repeated = NewMergeRequest {
        step: Step::again(new("1").step.id),
        ..new("1")
    };
    let found = client.create_merge_request(project, &repeated).await?;
    assert!(
        matches!(&found, Made::Again(found) if found.iid == made.iid),
        "{found:?}"
    );
    let other = client.create_merge_request(project, &new("2")).await?;
    assert!(
        matches!(&other, Made::New(other) if other.iid == made.iid + 1),
        "{other:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_merge_request_that_cannot_be_is_refused() -> anyhow::Result<()> {
    let session = start().await?;
    let into_itself = NewMergeRequest {
        target: branch("issue/1"),
        ..new("1")
    };
    let refused = session
        .client
        .create_merge_request(&session.project, &into_itself)
        .await
        .expect_err("the same");
    let said = refused.problem().said().expect("what GitLab said");
    assert_eq!(said.status(), 422);
    assert!(!refused.may_be_done() && !refused.is_transient());
    let missing = session
        .client
        .get_merge_request(&session.project, 7)
        .await
        .expect_err("none");
    assert!(matches!(missing.problem(), Problem::NotFound(_)), "{missing}");
    Ok(())
}
