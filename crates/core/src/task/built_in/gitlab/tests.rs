use super::*;
use crate::gitlab::Assignee;

const COMMIT: &str = "0123456789012345678901234567890123456789";

fn told(task: GitlabTask, input: &str) -> Vec<String> {
    let violations = task.check(input).err().unwrap_or_default();
    violations.0.iter().map(ToString::to_string).collect()
}

/// One that is complete, for each.
fn complete(task: GitlabTask) -> String {
    let fields = match task {
        GitlabTask::CloseMergeRequest => r#""iid": 5, "existing": false"#.to_owned(),
        GitlabTask::Commit => format!(
            r#""branch": "b", "start_branch": "main", "message": "Add", "files": {{"a b.json": {{"n": 1}}, "t": "x"}},
               "expected_commit": "{COMMIT}", "step": "saga:1/2""#
        ),
        GitlabTask::CreateBranch => r#""branch": "b", "from": "main", "step": "s""#.to_owned(),
        GitlabTask::CreateMergeRequest => {
            r#""source_branch": "b", "target_branch": "main", "title": "T", "description": "d", "issue_iid": 7"#
                .to_owned()
        }
        GitlabTask::DeleteBranch => format!(r#""branch": "b", "only_at": "{COMMIT}", "existing": true"#),
        GitlabTask::FileExists => format!(r#""path": "a", "branch": "b", "expected_commit": "{COMMIT}""#),
        GitlabTask::GetFile => {
            r#""path": "a", "branch": "b", "format": "json", "schema": {"type": "object"}, "on_fault": "tell""#
                .to_owned()
        }
        GitlabTask::ListIssues => r#""assignee": "@me", "state": "opened""#.to_owned(),
        GitlabTask::RevertCommit => format!(r#""branch": "b", "commit": "{COMMIT}", "expected_commit": "{COMMIT}""#),
    };
    format!(r#"{{"project": "grp/proj", {fields}}}"#)
}

#[test]
fn what_is_complete_is_taken() {
    for task in GitlabTask::ALL {
        assert_eq!(told(task, &complete(task)), [""; 0], "{task:?}");
    }
}

#[test]
fn whatever_is_missing_is_told_at_once() {
    for (task, expected) in [
        (GitlabTask::CloseMergeRequest, vec!["/project", "/iid"]),
        (GitlabTask::Commit, vec!["/project", "/branch", "/message", "/files"]),
        (GitlabTask::CreateBranch, vec!["/project", "/branch", "/from"]),
        (GitlabTask::DeleteBranch, vec!["/project", "/branch", "/only_at"]),
        (GitlabTask::FileExists, vec!["/project", "/path", "/branch"]),
    ] {
        let expected: Vec<String> = expected.iter().map(|field| format!("{field} is missing")).collect();
        assert_eq!(told(task, "{}"), expected, "{task:?}");
    }
    assert_eq!(told(GitlabTask::ListIssues, "{}"), [""; 0]);
    assert_eq!(
        told(GitlabTask::GetFile, "{}"),
        [
            "/project is missing",
            "/path is missing",
            "must have a branch or a commit"
        ]
    );
    assert_eq!(
        told(GitlabTask::RevertCommit, "{}"),
        [
            "/project is missing",
            "/branch is missing",
            "must have a commit or a step"
        ]
    );
    let both = format!(r#"{{"project": "a/b", "branch": "b", "commit": "{COMMIT}", "step": "s"}}"#);
    assert_eq!(
        told(GitlabTask::RevertCommit, &both),
        ["/step must be left out where there is a commit"]
    );
    assert_eq!(told(GitlabTask::GetFile, "5"), ["must be an object, not a number"]);
}

#[test]
fn no_name_that_leads_elsewhere_is_taken_and_none_is_repeated() {
    for unsafe_text in [
        "../31337",
        "a/../31337",
        "/31337",
        "31337%2f..",
        "31337\\u0000",
        "31337#a",
        "31337?a=b",
        "31337\\\\b",
        "",
    ] {
        let input = format!(
            r#"{{"project": "{unsafe_text}", "branch": "{unsafe_text}", "start_branch": "{unsafe_text}", "message": "m",
                 "files": {{"{unsafe_text}": "a"}}, "expected_commit": "{unsafe_text}", "step": "a b"}}"#
        );
        let told = told(GitlabTask::Commit, &input);
        assert_eq!(told.len(), 6, "{unsafe_text}: {told:?}");
        let without_place = |told: &String| {
            told.split_once(' ')
                .map(|(_, rule)| rule.to_owned())
                .unwrap_or_default()
        };
        assert!(
            told.iter().all(|told| !without_place(told).contains("31337")),
            "{unsafe_text}: {told:?}"
        );
    }
}

#[test]
fn the_rules_of_single_fields_are_told_at_their_places() {
    for (task, input, expected) in [
        (
            GitlabTask::GetFile,
            r#"{"project": "a/b", "path": "p", "branch": "b", "commit": "c", "format": "xml", "on_fault": "stop"}"#,
            vec![
                "/commit must be left out where there is a branch",
                "/format must be text, json or base64",
                "/on_fault must be fail or tell",
            ],
        ),
        (
            GitlabTask::GetFile,
            r#"{"project": "a/b", "path": "p", "branch": "b", "schema": {"type": "no"}}"#,
            vec!["/schema must be left out unless the format is json", "/schema/type"],
        ),
        (
            GitlabTask::Commit,
            r#"{"project": "a/b", "branch": "b", "message": "a\n\nOrchestratum-Step: 1", "files": {}}"#,
            vec![
                "/message must not have a line that begins with `Orchestratum-Step`",
                "/files must have at least one file",
            ],
        ),
        (
            GitlabTask::Commit,
            r#"{"project": "a/b", "branch": "b", "message": "a", "files": {"x/y": null, "z": "1", "z": "2"}}"#,
            vec![
                "/files/z is given twice",
                "/files/x~1y must be a text or JSON, not null",
            ],
        ),
        (
            GitlabTask::CloseMergeRequest,
            r#"{"project": "a/b", "iid": 1.5, "existing": "no"}"#,
            vec![
                "/iid must be a whole number above 0",
                "/existing must be true or false, not a text",
            ],
        ),
        (
            GitlabTask::CreateMergeRequest,
            r#"{"project": "a/b", "source_branch": "b", "target_branch": "c", "title": "t", "description": "<!-- orchestratum-step: 1 -->"}"#,
            vec!["/description must not have `Orchestratum-Step`"],
        ),
        (
            GitlabTask::ListIssues,
            r#"{"assignee": "@you", "state": "all"}"#,
            vec![
                "/assignee must have 1 to 255 letters, digits, or `_`, `-`, `.`",
                "/state must be opened or closed",
            ],
        ),
    ] {
        let told = told(task, input);
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}");
        }
    }
}

#[test]
fn many_files_are_too_many() {
    let files: Vec<String> = (0..101).map(|number| format!(r#""{number}": """#)).collect();
    let input = format!(
        r#"{{"project": "a/b", "branch": "b", "message": "m", "files": {{{}}}}}"#,
        files.join(",")
    );
    assert_eq!(
        told(GitlabTask::Commit, &input),
        ["/files must have at most 100 entries, not 101"]
    );
}

#[test]
fn a_file_is_a_text_or_json_over_lines() {
    let input = CommitInput::read(&complete(GitlabTask::Commit)).expect("it is complete");
    let texts: Vec<Option<Vec<u8>>> = input.files.values().map(|text| text.bytes(100)).collect();
    assert_eq!(texts, [Some(b"{\n  \"n\": 1\n}\n".to_vec()), Some(b"x".to_vec())]);
    assert_eq!(FileText::Plain("ab".to_owned()).bytes(1), None);
}

#[test]
fn whose_issues_are_meant_is_told_by_a_name_or_as_the_token_has_it() {
    let assignee = |input: &str| ListIssuesInput::read(input).expect("it is complete").assignee;
    assert_eq!(assignee(r#"{"assignee": "@me"}"#), Assignee::TokenUser);
    assert_eq!(assignee("{}"), Assignee::Anybody);
    assert!(matches!(assignee(r#"{"assignee": "bob"}"#), Assignee::User(_)));
}
