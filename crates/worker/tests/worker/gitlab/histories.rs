//! Branches of which others have made something else, and several files at once.

use std::io::Write;
use std::process::{Command, Stdio};

use orchestratum_core::TaskId;
use orchestratum_testkit::{FaultKind, OWNER_TOKEN, PROJECT};
use serde_json::{Value, json};

use super::{COMMITS, Lab};
use crate::support::output;

impl Lab {
    /// `git` in the repository itself, past GitLab.
    async fn git(&self, arguments: &[&str], input: &str) {
        let repository = self.double.control().repository().await.expect("the double tells");
        let mut git = Command::new("git");
        git.arg("--git-dir").arg(repository).args(arguments);
        let mut git = git.stdin(Stdio::piped()).spawn().expect("git starts");
        let mut stdin = git.stdin.take().expect("its input");
        stdin.write_all(input.as_bytes()).expect("it reads");
        drop(stdin);
        assert!(git.wait().expect("it ends").success(), "{arguments:?}");
    }

    /// More commits of others on `main` than are looked through.
    async fn many_commits(&self) {
        let from = self.head().await;
        let from = from.as_str().expect("a commit");
        let author = "committer A <a@example.com> 0 +0000";
        let next = format!("commit refs/heads/main\n{author}\ndata 1\n0\n");
        let commits = format!("{next}from {from}\n\n{}", format!("{next}\n").repeat(1_000));
        self.git(&["fast-import", "--quiet"], &commits).await;
    }

    async fn commits_b(&self, expected: &Value) -> Value {
        let input = json!({"branch": "main", "message": "m", "files": {"b": "1"}, "expected_commit": expected});
        self.done("commit", input).await
    }

    async fn takes_back(&self, commit: &Value) -> Value {
        self.done("revert_commit", json!({"branch": "main", "commit": commit}))
            .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_was_rewritten_or_has_gone_far_is_a_drift_and_nothing_of_it_is_taken_back() {
    let lab = Lab::start().await;
    let start = lab.head().await;
    let ours = lab.commit(json!({"a": "1"})).await["commit"].clone();
    lab.many_commits().await;
    let far = lab.head().await;
    let untouched = |moved: &Value, found: &Value| {
        assert_eq!((&moved["commit"], &moved["existing"]), (found, &json!(true)), "{moved}");
        assert_eq!(moved["drift"], json!({"expected": ours, "found": found}));
    };
    untouched(&lab.commits_b(&ours).await, &far);
    let kept = |reason: &str| json!({"reverted": false, "reason": reason, "drift": null});
    assert_eq!(
        lab.takes_back(&ours).await,
        kept("the commit is not among the newest of the branch")
    );
    assert_eq!(lab.head().await, far);

    let rewritten = start.as_str().expect("a commit");
    lab.git(&["update-ref", "refs/heads/main", rewritten], "").await;
    untouched(&lab.commits_b(&ours).await, &start);
    assert_eq!(lab.takes_back(&ours).await, kept("the commit is not on the branch"));
    assert_eq!(lab.head().await, start);
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_a_commit_back_is_told_who_came_between() {
    let lab = Lab::start().await;
    let ours = lab.commit(json!({"a": "1"})).await["commit"].clone();
    let theirs = lab.commit(json!({"b": "1"})).await["commit"].clone();
    let input = json!({"branch": "main", "commit": ours, "expected_commit": ours});
    for _ in 0..2 {
        let reverted = lab.done("revert_commit", input.clone()).await;
        assert_eq!(
            reverted,
            json!({"reverted": true, "commit": lab.head().await, "drift": {"expected": ours, "found": theirs}})
        );
    }
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_have_changed_since_is_kept_and_told_to_whoever_asks() {
    let lab = Lab::start().await;
    let ours = lab.commit(json!({"a": "1\n"})).await["commit"].clone();
    let theirs = lab.commit(json!({"a": "2\n"})).await["commit"].clone();
    let input = json!({"branch": "main", "commit": ours, "expected_commit": ours});
    assert_eq!(
        lab.done("revert_commit", input).await,
        json!({
            "reverted": false, "reason": "others have changed its files since", "drift": {"expected": ours, "found": theirs},
        })
    );
    assert_eq!(lab.head().await, theirs);
    // What a step has made was expected where it was made.
    let input = json!({"branch": "main", "message": "m", "files": {"b": "1\n"}, "step": "saga/input"});
    let ours = lab.done("commit", input).await["commit"].clone();
    let theirs = lab.commit(json!({"b": "2\n"})).await["commit"].clone();
    let kept = lab
        .done("revert_commit", json!({"branch": "main", "step": "saga/input"}))
        .await;
    assert_eq!(
        (&kept["reverted"], &kept["drift"]),
        (&json!(false), &json!({"expected": ours, "found": theirs}))
    );
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_there_before_is_not_taken_back() {
    let lab = Lab::start().await;
    let older = lab.commit(json!({"a": "1\n"})).await["commit"].clone();
    let since = lab.commit(json!({"b": "1\n"})).await["commit"].clone();
    let newer = lab.commit(json!({"c": "1\n"})).await["commit"].clone();
    let takes_back = async |commit: &Value| {
        let input = json!({"branch": "main", "commit": commit, "since": since});
        lab.done("revert_commit", input).await
    };
    let kept = json!({"reverted": false, "reason": "the commit was there before", "drift": null});
    assert_eq!(takes_back(&older).await, kept);
    assert_eq!(lab.head().await, newer);
    assert_eq!(takes_back(&newer).await["reverted"], true);
    lab.worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_branch_stands_is_asked_once_for_all_files_that_are_not_there() {
    let lab = Lab::start().await;
    lab.commit(json!({"there": "1"})).await;
    lab.double.control().forget().await.expect("it does");
    let made = lab.commit(json!({"a": "1", "b": "1", "c": "1", "there": "2"})).await;
    assert_eq!(made["files"], json!(["a", "b", "c", "there"]));
    assert_eq!(lab.count("GET", "branches/main").await, 1);
    assert_eq!(lab.double.control().seen().await.expect("the double tells").len(), 6);
    lab.worker.stopped().await;
}

/// Whoever was stopped has told nobody of its commit.
#[tokio::test(flavor = "multi_thread")]
async fn the_commit_of_a_step_is_taken_back_once_where_there_is_one() {
    let lab = Lab::start().await;
    let input = json!({"branch": "main", "message": "m", "files": {"a": "1"}, "step": "saga/input"});
    lab.done("commit", input).await;
    lab.commit(json!({"b": "1"})).await;
    let takes_back = |branch: &str, step: &str| lab.done("revert_commit", json!({"branch": branch, "step": step}));
    let kept = |reason: &str| json!({"reverted": false, "reason": reason, "drift": null});
    assert_eq!(takes_back("main", "saga/inpu").await, kept("the step has made none"));
    assert_eq!(takes_back("no-such", "saga/input").await, kept("the branch is gone"));
    let reverted = takes_back("main", "saga/input").await;
    assert_eq!(
        reverted,
        json!({"reverted": true, "commit": lab.head().await, "drift": null})
    );
    assert_eq!(takes_back("main", "saga/input").await, reverted);
    let look = lab.done("file_exists", json!({"path": "a", "branch": "main"})).await;
    assert_eq!(look["exists"], false);
    lab.worker.stopped().await;
}

/// What came about behind the back of a task that is over would be taken back by nobody.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_cancelled_while_gitlab_commits_waits_for_its_answer() {
    let lab = Lab::with(OWNER_TOKEN, &[("worker.kill_grace_seconds", "20")]).await;
    let late = FaultKind::SlowAnswer { milliseconds: 700 };
    lab.fail("POST", COMMITS, late).await;
    let input = json!({"project": PROJECT, "branch": "main", "message": "m", "files": {"a": "1"}});
    let id: TaskId = lab.bench.create(json!({"name": "gitlab.commit", "input": input})).await;
    lab.until_asked("POST", COMMITS).await;
    lab.bench.engine.cancel(id, None, None).await.expect("it runs");
    let made = output(&lab.bench.ended(id).await);
    assert_eq!((&made["is_new"], &made["commit"]), (&json!(true), &lab.head().await));
    lab.worker.stopped().await;
}
