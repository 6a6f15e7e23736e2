use orchestratum_core::gitlab::CommitId;
use orchestratum_gitlab::{Change, Conflict, Expected, Made, Problem, Settings};

use crate::session::{COMMITS, Session, again, branch, commit_of, create, main, path, step};

#[tokio::test]
async fn several_files_are_changed_at_once() -> anyhow::Result<()> {
    let session = Session::start()?;
    let first = session
        .commit(&commit_of(
            "1",
            vec![create("a", b"1"), create("b", b"2"), create("c", b"3")],
        ))
        .await?;
    let changes = vec![
        Change::Update {
            path: path("a"),
            content: b"new".to_vec(),
            last_commit: first.clone(),
        },
        Change::Delete {
            path: path("b"),
            last_commit: first.clone(),
        },
        Change::Move {
            from: path("c"),
            to: path("folder/c"),
            last_commit: first,
        },
    ];
    session.commit(&commit_of("2", changes)).await?;
    assert_eq!(session.content("a").await?, b"new");
    assert_eq!(session.content("folder/c").await?, b"3");
    for gone in ["b", "c"] {
        assert_eq!(
            session
                .client
                .get_file_state(&session.project, &path(gone), &main())
                .await?
                .into_state(),
            None
        );
    }
    assert_eq!(session.count("POST", COMMITS).await?, 2, "nothing is sent twice");
    Ok(())
}

#[tokio::test]
async fn a_commit_can_begin_its_branch() -> anyhow::Result<()> {
    let session = Session::start()?;
    let mut commit = commit_of("1", vec![create("a", b"")]);
    commit.branch = branch("issue/1");
    commit.start_branch = Some(branch("main"));
    let made = session.commit(&commit).await?;
    let found = session.client.get_branch(&session.project, &branch("issue/1")).await?;
    assert_eq!(found.commit.id, made);
    // The same step again, and another one.
    let repeated = session.client.create_commit(&session.project, &commit).await?;
    assert!(
        matches!(&repeated, Made::Again(commit) if commit.id == made),
        "{repeated:?}"
    );
    let mut other = commit_of("2", vec![create("b", b"")]);
    other.branch = branch("issue/1");
    other.start_branch = Some(branch("main"));
    let refused = session
        .client
        .create_commit(&session.project, &other)
        .await
        .expect_err("it is there");
    assert!(
        matches!(refused.problem(), Problem::Refused(said) if said.text().contains("already exists")),
        "{refused}"
    );
    assert!(!refused.may_be_done());
    Ok(())
}

#[tokio::test]
async fn a_step_makes_one_commit_however_often_it_is_asked_for() -> anyhow::Result<()> {
    let session = Session::start()?;
    let commit = commit_of("saga-1:2", vec![create("a", b"1")]);
    let made = session.commit(&commit).await?;
    session.double.control().forget().await?;
    let found = session.client.create_commit(&session.project, &again(&commit)).await?;
    assert!(matches!(&found, Made::Again(commit) if commit.id == made), "{found:?}");
    assert_eq!(
        session.count("POST", COMMITS).await?,
        0,
        "it is found before anything is sent"
    );
    // Also by who has not been told of the first attempt: what refuses the second one is the first.
    let found = session.client.create_commit(&session.project, &commit).await?;
    assert!(matches!(&found, Made::Again(commit) if commit.id == made), "{found:?}");
    assert_eq!(session.titles().await?, ["By saga-1:2", "Initial commit"]);
    Ok(())
}

#[tokio::test]
async fn who_was_slower_is_told_which_file_is_not_as_it_was() -> anyhow::Result<()> {
    let session = Session::start()?;
    let first = session
        .commit(&commit_of("1", vec![create("a", b"1"), create("b", b"1")]))
        .await?;
    let update = |id: &str| {
        let change = Change::Update {
            path: path("a"),
            content: id.as_bytes().to_vec(),
            last_commit: first.clone(),
        };
        commit_of(id, vec![change])
    };
    let second = session.commit(&update("2")).await?;
    let conflict = |refused: &orchestratum_gitlab::Error| match refused.problem() {
        Problem::Conflict(conflict) => conflict.clone(),
        other => panic!("{other}"),
    };
    let refused = session
        .client
        .create_commit(&session.project, &update("3"))
        .await
        .expect_err("too late");
    let expected = Conflict::File {
        path: path("a"),
        expected: Expected::LastChangedBy(first.clone()),
        found: Expected::LastChangedBy(second.clone()),
    };
    assert_eq!(conflict(&refused), expected);
    assert!(!refused.is_transient() && !refused.may_be_done());
    let create_again = commit_of("4", vec![create("new", b""), create("b", b"2")]);
    let refused = session
        .client
        .create_commit(&session.project, &create_again)
        .await
        .expect_err("it is there");
    let expected = Conflict::File {
        path: path("b"),
        expected: Expected::Absent,
        found: Expected::LastChangedBy(first.clone()),
    };
    assert_eq!(conflict(&refused), expected);
    let gone = Change::Delete {
        path: path("no-such"),
        last_commit: second.clone(),
    };
    let refused = session
        .client
        .create_commit(&session.project, &commit_of("5", vec![gone]))
        .await
        .expect_err("gone");
    assert!(
        matches!(
            conflict(&refused),
            Conflict::File {
                found: Expected::Absent,
                ..
            }
        ),
        "{refused}"
    );
    assert_eq!(session.titles().await?, ["By 2", "By 1", "Initial commit"]);
    assert_eq!(session.content("a").await?, b"2");
    Ok(())
}

#[tokio::test]
async fn a_commit_that_is_too_large_is_not_sent() -> anyhow::Result<()> {
    let session = Session::start_with(|settings| Settings {
        commit_max_bytes: 10,
        ..settings
    })?;
    let refuse = |commit| {
        let session = &session;
        async move {
            session
                .client
                .create_commit(&session.project, &commit)
                .await
                .expect_err("too much")
        }
    };
    let refused = refuse(commit_of("1", vec![create("a", b"123456"), create("b", b"12345")])).await;
    assert!(
        matches!(
            refused.problem(),
            Problem::ChangeTooLarge {
                bytes: 11,
                max_bytes: 10
            }
        ),
        "{refused}"
    );
    let refused = refuse(commit_of("1", Vec::new())).await;
    assert!(matches!(refused.problem(), Problem::ChangeCount { .. }), "{refused}");
    let many = (0..101).map(|number| create(&number.to_string(), b"")).collect();
    let refused = refuse(commit_of("1", many)).await;
    assert!(
        matches!(refused.problem(), Problem::ChangeCount { max: 100 }),
        "{refused}"
    );
    assert_eq!(session.count_all().await?, 0);
    session
        .commit(&commit_of("1", vec![create("a", b"1234567890")]))
        .await?;
    Ok(())
}

#[tokio::test]
async fn what_a_step_made_is_looked_for_no_further_than_to_where_it_began() -> anyhow::Result<()> {
    let session = Session::start_with(|settings| Settings {
        pages_max: 1,
        ..settings
    })?;
    let (mut newest, mut oldest) = (None, None);
    for number in 0..105 {
        let name = format!("f{number}");
        let made = session.commit(&commit_of(&name, vec![create(&name, b"")])).await?;
        oldest.get_or_insert_with(|| made.clone());
        newest = Some(made);
    }
    let search = |id: &'static str| {
        let (client, project, after) = (session.client.clone(), session.project.clone(), oldest.clone());
        async move {
            client
                .search_step(&project, &branch("main"), &step(id).id, after.as_ref())
                .await
        }
    };
    let cut = search("late").await?.expect("a branch");
    assert_eq!(
        (cut.made, cut.newest_other),
        (None, newest.clone()),
        "others were there"
    );
    assert!(search("f104").await?.is_some_and(|found| found.made.is_some()));
    let commit = again(&commit_of("late", vec![create("late", b"")]));
    let unclear = session
        .client
        .create_commit(&session.project, &commit)
        .await
        .expect_err("there are too many");
    assert!(matches!(unclear.problem(), Problem::SearchTooLong), "{unclear}");
    assert!(unclear.may_be_done());
    let begun = orchestratum_gitlab::NewCommit {
        after: newest,
        ..commit
    };
    session.commit(&begun).await?;
    Ok(())
}

#[tokio::test]
async fn a_branch_tells_what_a_step_has_made_and_who_else_was_there() -> anyhow::Result<()> {
    let session = Session::start()?;
    let first = session.commit(&commit_of("1", vec![create("a", b"")])).await?;
    let ours = session.commit(&commit_of("saga:2", vec![create("b", b"")])).await?;
    let search = |name: &'static str, id: &'static str, after: Option<CommitId>| {
        let (client, project) = (session.client.clone(), session.project.clone());
        async move {
            let step = step(id).id;
            client.search_step(&project, &branch(name), &step, after.as_ref()).await
        }
    };
    let found = search("main", "saga:2", Some(first.clone())).await?.expect("a branch");
    assert_eq!(found.made.map(|made| made.id), Some(ours.clone()));
    assert_eq!(found.newest_other, None, "ours is not counted");
    let last = session.commit(&commit_of("3", vec![create("c", b"")])).await?;
    for after in [None, Some(first)] {
        let found = search("main", "saga:2", after).await?.expect("a branch");
        assert_eq!(found.made.map(|made| made.id), Some(ours.clone()));
        assert_eq!(found.newest_other, Some(last.clone()));
    }
    let none = search("main", "saga:3", Some(ours)).await?.expect("a branch");
    assert_eq!((none.made, none.newest_other), (None, Some(last.clone())));
    let nothing = search("main", "saga:3", Some(last)).await?.expect("a branch");
    assert_eq!((nothing.made, nothing.newest_other), (None, None));
    assert_eq!(search("no-such", "saga:3", None).await?, None);
    Ok(())
}
