use orchestratum_core::gitlab::ProjectPath;
use orchestratum_gitlab::{BranchDeletion, Conflict, Made, NewBranch, Problem};

use crate::session::{Session, branch, commit_of, create, main};

fn new(name: &str) -> NewBranch {
    NewBranch {
        name: branch(name),
        from: main(),
        is_own_name: false,
        begun_before: false,
    }
}

#[tokio::test]
async fn a_branch_that_is_there_is_not_ours_unless_its_name_is() -> anyhow::Result<()> {
    let session = Session::start()?;
    let made = session.client.create_branch(&session.project, &new("issue/1")).await?;
    assert!(matches!(made, Made::New(_)));
    let there = session.client.create_branch(&session.project, &new("issue/1")).await?;
    assert!(matches!(there, Made::Existing(_)) && !there.is_ours());
    let own = NewBranch {
        is_own_name: true,
        ..new("issue/1")
    };
    let there = session.client.create_branch(&session.project, &own).await?;
    assert!(matches!(there, Made::Again(_)) && there.is_ours());
    let from_nothing = NewBranch {
        from: branch("no-such").into(),
        ..new("issue/2")
    };
    let refused = session
        .client
        .create_branch(&session.project, &from_nothing)
        .await
        .expect_err("no start");
    assert!(
        matches!(refused.problem(), Problem::Refused(said) if said.text().contains("invalid reference")),
        "{refused}"
    );
    Ok(())
}

#[tokio::test]
async fn a_branch_is_deleted_once_and_only_where_nobody_has_worked_on_it() -> anyhow::Result<()> {
    let session = Session::start()?;
    let (client, project) = (&session.client, &session.project);
    let made = client.create_branch(project, &new("issue/1")).await?.into_inner();
    let mut work = commit_of("1", vec![create("a", b"")]);
    work.branch = branch("issue/1");
    let worked = session.commit(&work).await?;
    let name = branch("issue/1");
    let kept = client
        .delete_branch(project, &name, Some(&made.commit.id))
        .await
        .expect_err("it has moved");
    let expected = Conflict::Branch {
        expected: made.commit.id.clone(),
        found: worked.clone(),
    };
    assert!(
        matches!(kept.problem(), Problem::Conflict(conflict) if *conflict == expected),
        "{kept}"
    );
    assert_eq!(
        client.delete_branch(project, &name, Some(&worked)).await?,
        BranchDeletion::Deleted
    );
    for only_at in [None, Some(&worked)] {
        assert_eq!(
            client.delete_branch(project, &name, only_at).await?,
            BranchDeletion::AlreadyGone
        );
    }
    let unknown = ProjectPath::new("no/such")?;
    let missing = client
        .delete_branch(&unknown, &name, None)
        .await
        .expect_err("no project");
    assert!(missing.to_string().contains("404 Project Not Found"), "{missing}");
    Ok(())
}
