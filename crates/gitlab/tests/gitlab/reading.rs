use orchestratum_core::gitlab::{Assignee, BranchName, CommitId, IssueState, ProjectPath, Reference, Username};
use orchestratum_gitlab::{FileLook, IssueFilter, Problem, Settings};
use orchestratum_testkit::{FaultKind, OWNER_TOKEN, PROJECT};
use serde_json::json;

use crate::session::{COMMITS, Session, branch, commit_of, create, main, path, step};

#[tokio::test]
async fn a_project_and_its_user_are_told() -> anyhow::Result<()> {
    let session = Session::start()?;
    let project = session.client.get_project(&session.project).await?;
    assert_eq!(project.path_with_namespace, PROJECT);
    assert_eq!(project.default_branch.as_deref(), Some("main"));
    assert_eq!(
        project.http_url_to_repo,
        format!("{}/grp/proj.git", session.double.url())
    );
    let by_number = session.client.get_project(&ProjectPath::new("1")?).await?;
    assert_eq!(by_number, project);
    assert_eq!(session.client.get_current_user().await?.username, "alice");
    Ok(())
}

#[tokio::test]
async fn a_file_is_read_whatever_is_in_it_and_however_it_is_called() -> anyhow::Result<()> {
    let session = Session::start()?;
    let every_byte: Vec<u8> = (0..=255).collect();
    let names = ["a b/100%.json", "каталог/файл &=+;@.bin", "-x", "a/'\"b", "e"];
    let mut changes: Vec<_> = names.iter().map(|name| create(name, &every_byte)).collect();
    changes.push(create("empty", b""));
    let made = session.commit(&commit_of("1", changes)).await?;
    for name in names {
        let file = session
            .client
            .get_file_content(&session.project, &path(name), &main())
            .await?;
        assert_eq!(file.content, every_byte, "{name}");
        assert_eq!((&file.commit, &file.last_commit), (&made, &made), "{name}");
        let at = Reference::Commit(made.clone());
        let state = session
            .client
            .get_file_state(&session.project, &path(name), &at)
            .await?
            .into_state()
            .expect(name);
        assert_eq!((state.size, state.content_sha256), (256, file.content_sha256), "{name}");
    }
    assert_eq!(session.content("empty").await?, b"");
    Ok(())
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_from_a_branch_that_is_not() -> anyhow::Result<()> {
    let session = Session::start()?;
    let look = |reference: Reference| {
        let (client, project) = (session.client.clone(), session.project.clone());
        async move {
            client
                .get_file_state(&project, &path("condenser_input.json"), &reference)
                .await
        }
    };
    let head = session
        .client
        .get_branch(&session.project, &branch("main"))
        .await?
        .commit
        .id;
    for reference in [main(), head.clone().into()] {
        assert_eq!(look(reference).await?, FileLook::Absent { commit: head.clone() });
    }
    let missing = look(branch("no-such").into()).await.expect_err("no branch");
    assert!(matches!(missing.problem(), Problem::NotFound(_)), "{missing}");
    assert!(missing.to_string().contains("404 Branch Not Found"), "{missing}");
    let commit = CommitId::new("0123456789".repeat(4))?;
    let missing = look(commit.into()).await.expect_err("no commit");
    assert!(missing.to_string().contains("404 Commit Not Found"), "{missing}");
    let wanted = session
        .client
        .get_file_content(&session.project, &path("a.json"), &main())
        .await;
    let missing = wanted.expect_err("no file").to_string();
    assert_eq!(
        missing,
        "cannot get the file a.json of grp/proj at main: there is no such thing, or the token may not see it: \
         404 File Not Found"
    );
    Ok(())
}

async fn open_issues(session: &Session, count: usize) -> anyhow::Result<()> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("{}/api/v4/projects/1/issues", session.double.url());
    for number in 0..count {
        let body = json!({"title": format!("number {number}"), "assignee_ids": [1 + number % 2]});
        http.post(&url)
            .bearer_auth(OWNER_TOKEN)
            .json(&body)
            .send()
            .await?
            .error_for_status()?;
    }
    Ok(())
}

#[tokio::test]
async fn issues_are_listed_over_all_pages_for_who_has_them() -> anyhow::Result<()> {
    let session = Session::start()?;
    open_issues(&session, 205).await?;
    let filter = |assignee| IssueFilter {
        project: Some(session.project.clone()),
        assignee,
        state: Some(IssueState::Opened),
    };
    session.double.control().forget().await?;
    let all = session.client.get_issues(&filter(Assignee::Anybody)).await?;
    let numbers: Vec<u64> = all.items.iter().map(|issue| issue.iid).collect();
    assert_eq!(numbers, (1..=205).rev().collect::<Vec<_>>());
    assert!(!all.has_more);
    assert_eq!(session.count_all().await?, 3);
    let of_us = session.client.get_issues(&filter(Assignee::TokenUser)).await?;
    let of_bob = session
        .client
        .get_issues(&filter(Assignee::User(Username::new("bob")?)))
        .await?;
    assert_eq!((of_us.items.len(), of_bob.items.len()), (103, 102));
    let everywhere = IssueFilter {
        assignee: Assignee::TokenUser,
        ..IssueFilter::default()
    };
    assert_eq!(session.client.get_issues(&everywhere).await?.items.len(), 103);
    let closed = IssueFilter {
        state: Some(IssueState::Closed),
        ..everywhere
    };
    assert!(session.client.get_issues(&closed).await?.items.is_empty());
    let one = session.client.get_issue(&session.project, 7).await?;
    assert_eq!(
        (one.title.as_str(), one.assignees[0].username.as_str()),
        ("number 6", "alice")
    );
    Ok(())
}

#[tokio::test]
async fn a_list_is_read_up_to_its_bounds() -> anyhow::Result<()> {
    let of_one_page = |settings: Settings| Settings {
        pages_max: 1,
        ..settings
    };
    let of_few_bytes = |settings: Settings| Settings {
        list_max_bytes: 1_000,
        ..settings
    };
    for session in [Session::start_with(of_one_page)?, Session::start_with(of_few_bytes)?] {
        open_issues(&session, 101).await?;
        let listed = session.client.get_issues(&IssueFilter::default()).await?;
        assert_eq!((listed.items.len(), listed.has_more), (100, true));
    }
    Ok(())
}

/// As GitLab did before it said that there is no such branch.
#[tokio::test]
async fn a_branch_that_is_not_there_is_so_also_where_its_list_is_empty() -> anyhow::Result<()> {
    let session = Session::start()?;
    let (client, project, gone) = (&session.client, &session.project, branch("no-such"));
    for is_told in [true, false] {
        // One for each of the two questions.
        for _ in 0..2 {
            if !is_told {
                let nothing = FaultKind::answer(200, "application/json", "[]");
                session.fail("GET", COMMITS, nothing).await?;
            }
        }
        let listed = client.get_commits(project, &gone, None).await;
        let error = listed.expect_err("there is no such branch");
        assert!(matches!(error.problem(), Problem::NotFound(_)), "{error}");
        assert_eq!(client.search_step(project, &gone, &step("1").id, None).await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn commits_of_a_branch_are_listed_down_to_one() -> anyhow::Result<()> {
    let session = Session::start()?;
    let mut ids = Vec::new();
    for number in ["1", "2", "3"] {
        ids.push(session.commit(&commit_of(number, vec![create(number, b"")])).await?);
    }
    let main: BranchName = branch("main");
    let after = session
        .client
        .get_commits(&session.project, &main, Some(&ids[0]))
        .await?;
    let found: Vec<CommitId> = after.items.into_iter().map(|commit| commit.id).collect();
    assert_eq!(found, [ids[2].clone(), ids[1].clone()]);
    let commit = session.client.get_commit(&session.project, &ids[1]).await?;
    assert_eq!(commit.parent_ids, [ids[0].clone()]);
    assert_eq!(commit.message, "By 2\n\nOrchestratum-Step: 2\n");
    Ok(())
}
