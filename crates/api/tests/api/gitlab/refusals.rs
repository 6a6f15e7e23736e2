use orchestratum_testkit::{FaultKind, OWNER_TOKEN, PROJECT, READ_ONLY_TOKEN};
use serde_json::{Value, json};

use super::calculations::{BALANCE, CONDENSER_ASKED, issue, told, with_input};
use super::lab::{Lab, Working, of_project};
use crate::common::Api;

/// What must not get into a URL.
const UNSAFE: [&str; 9] = [
    "a/../b",
    "../../users",
    "a/%2e%2e/b",
    "a/%2E%2E/b",
    "/etc/passwd",
    "a//b",
    "a\\b",
    "a/b\0",
    "a/b?private_token=1",
];

#[tokio::test(flavor = "multi_thread")]
async fn names_that_lead_elsewhere_are_refused_before_any_call() {
    let lab = Lab::start().await;
    for name in UNSAFE {
        let encoded: String = name
            .bytes()
            .fold(String::new(), |told, byte| format!("{told}%{byte:02X}"));
        for (path, pointer) in [
            (format!("/api/issues?project={encoded}"), "/project"),
            (format!("/api/geometries?branch=main&project={encoded}"), "/project"),
            (of_project("geometries", &format!("&branch={encoded}")), "/branch"),
        ] {
            let problem = lab.get(&path).await.problem(422, "invalid_query");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{name:?}: {problem}");
        }
        for field in ["project", "source_branch", "target_branch"] {
            let mut body = json!({"project": PROJECT, "source_branch": "a", "target_branch": "b", "title": "t"});
            body[field] = json!(name);
            let problem = lab
                .post("/api/merge-requests", &body)
                .await
                .problem(422, "invalid_body");
            assert_eq!(
                problem["errors"][0]["pointer"],
                format!("/{field}"),
                "{name:?}: {problem}"
            );
        }
    }
    assert_eq!(lab.seen().await, 0, "nothing was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_of_gitlab_is_a_problem_with_what_it_said() {
    let lab = Lab::start().await;
    let no_project = lab
        .get("/api/issues?project=grp%2Fother")
        .await
        .problem(404, "gitlab_not_found");
    assert!(
        no_project["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("grp/other") && detail.contains("Project Not Found")),
        "{no_project}"
    );
    for (status, code, answered) in [
        (401, "gitlab_unauthorized", 502),
        (403, "gitlab_forbidden", 403),
        (404, "gitlab_not_found", 404),
        (400, "gitlab_refused", 422),
        (302, "gitlab_refused", 422),
    ] {
        let said = format!("{{\"message\": \"said of {OWNER_TOKEN}\"}}");
        lab.fail("GET", "issues", FaultKind::answer(status, "application/json", &said), 1)
            .await;
        let problem = lab.get("/api/issues").await.problem(answered, code);
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("said of [token]"), "{problem}");
    }
    lab.fail("GET", "issues", FaultKind::answer(200, "application/json", "{}"), 1)
        .await;
    lab.get("/api/issues").await.problem(502, "gitlab_unreadable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gitlab_that_is_away_is_503_and_says_when_to_ask_again() {
    let lab = Lab::start().await;
    lab.fail("GET", "issues", FaultKind::bad_gateway(), 2).await;
    let away = lab.get("/api/issues").await;
    away.problem(503, "gitlab_unavailable");
    assert_eq!(away.header("retry-after"), "10");
    let limited = FaultKind::Limited {
        retry_after: Some("40".to_owned()),
    };
    for kind in [limited, FaultKind::in_maintenance("40")] {
        lab.fail("GET", "issues", kind, 1).await;
        let later = lab.get("/api/issues").await;
        later.problem(503, "gitlab_unavailable");
        let seconds: u64 = later.header("retry-after").parse().expect("seconds");
        assert!((40..=42).contains(&seconds), "{later:?}");
    }
    assert_eq!(lab.get("/api/issues").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_rights_is_403_and_without_a_gitlab_it_is_told_how_to_name_one() {
    let lab = Lab::with_token(READ_ONLY_TOKEN).await;
    let body = json!({"project": PROJECT, "source_branch": "a", "target_branch": "main", "title": "t"});
    lab.post("/api/merge-requests", &body)
        .await
        .problem(403, "gitlab_forbidden");
    let wrong = Lab::with_token("no-token-of-it").await;
    let problem = wrong.get("/api/issues").await.problem(502, "gitlab_unauthorized");
    assert!(!problem.to_string().contains("no-token-of-it"), "{problem}");
    let api = Api::start().await;
    let none = api.get("/api/issues").await.problem(503, "gitlab_not_configured");
    assert!(
        none["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("ORCHESTRATUM__GITLAB__URL")),
        "{none}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_balance_that_goes_on_stays_as_it_was_begun() {
    let lab = Lab::start().await;
    let _worker = Working::start(&lab).await;
    with_input(&lab).await;
    let first = told(&lab.post(BALANCE, &issue()).await, 200, CONDENSER_ASKED);
    let with = |fields: Value| {
        let mut body = issue();
        body.as_object_mut()
            .expect("an object")
            .extend(fields.as_object().expect("one").clone());
        body
    };
    let otherwise = with(json!({"target_branch": "develop", "dependencies": ["heater"], "on_drift": "rebase_inputs"}));
    let problem = lab
        .post(BALANCE, &otherwise)
        .await
        .problem(409, "balance_begun_otherwise");
    assert_eq!(problem["saga_id"], first["saga_id"]);
    let faults = problem["errors"].as_array().expect("a list").iter();
    let mut faults: Vec<_> = faults
        .map(|fault| (fault["pointer"].as_str(), fault["message"].as_str()))
        .collect();
    faults.sort_unstable();
    let expected = [
        (
            Some("/dependencies"),
            Some("is not [\"condenser\"], with which it was begun"),
        ),
        (Some("/target_branch"), Some("is not \"main\", with which it was begun")),
    ];
    assert_eq!(faults, expected);
    let alike = with(json!({"target_branch": "main", "dependencies": ["condenser"], "delivery": "celery"}));
    let same = told(&lab.post(BALANCE, &alike).await, 200, CONDENSER_ASKED);
    assert_eq!(same["saga_id"], first["saga_id"]);
}
