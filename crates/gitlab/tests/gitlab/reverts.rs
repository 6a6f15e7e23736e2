use orchestratum_core::gitlab::CommitId;
use orchestratum_gitlab::{Change, Conflict, Made, Problem};
use orchestratum_testkit::FaultKind;

use crate::session::{Session, branch, commit_of, create, main, path};

#[tokio::test]
async fn a_commit_is_taken_back_once() -> anyhow::Result<()> {
    let session = Session::start()?;
    let (client, project) = (&session.client, &session.project);
    let commit = session.commit(&commit_of("1", vec![create("a", b"1")])).await?;
    session.fail("POST", "/revert", FaultKind::LoseAnswer).await?;
    let reverted = client
        .revert_commit(project, &branch("main"), &commit, None, false)
        .await?;
    assert!(matches!(reverted, Made::Again(_)), "{reverted:?}");
    for begun_before in [true, false] {
        let found = client
            .revert_commit(project, &branch("main"), &commit, None, begun_before)
            .await?;
        assert_eq!(found.as_inner(), reverted.as_inner());
    }
    assert_eq!(session.titles().await?, ["Revert \"By 1\"", "By 1", "Initial commit"]);
    assert_eq!(
        client.get_file_state(project, &path("a"), &main()).await?.into_state(),
        None
    );
    Ok(())
}

#[tokio::test]
async fn a_commit_of_which_nothing_is_left_is_nothing_to_take_back() -> anyhow::Result<()> {
    let session = Session::start()?;
    let first = session.commit(&commit_of("1", vec![create("a", b"1")])).await?;
    let update = |content: &[u8], last_commit: &CommitId| Change::Update {
        path: path("a"),
        content: content.to_vec(),
        last_commit: last_commit.clone(),
    };
    let empty = session.commit(&commit_of("2", vec![update(b"1", &first)])).await?;
    let second = session.commit(&commit_of("3", vec![update(b"2", &first)])).await?;
    session.commit(&commit_of("4", vec![update(b"1", &second)])).await?;
    let titles = session.titles().await?;
    for commit in [empty, second] {
        for begun_before in [true, false] {
            let kept = session
                .client
                .revert_commit(&session.project, &branch("main"), &commit, None, begun_before)
                .await;
            let kept = kept.expect_err("nothing is left of it");
            assert!(matches!(kept.problem(), Problem::NothingToRevert(_)), "{kept}");
        }
    }
    assert_eq!(session.titles().await?, titles);
    Ok(())
}

#[tokio::test]
async fn what_somebody_has_worked_on_since_is_not_taken_back() -> anyhow::Result<()> {
    let session = Session::start()?;
    let commit = session.commit(&commit_of("1", vec![create("a", b"1")])).await?;
    let update = Change::Update {
        path: path("a"),
        content: b"2".to_vec(),
        last_commit: commit.clone(),
    };
    session.commit(&commit_of("2", vec![update])).await?;
    let kept = session
        .client
        .revert_commit(&session.project, &branch("main"), &commit, None, false)
        .await;
    let kept = kept.expect_err("it has changed");
    assert!(
        matches!(kept.problem(), Problem::Conflict(Conflict::Revert(_))),
        "{kept}"
    );
    assert_eq!(session.content("a").await?, b"2");
    Ok(())
}
