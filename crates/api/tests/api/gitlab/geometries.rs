use serde_json::{Value, json};

use super::lab::{Lab, of_project};

const MANIFEST: &str = "geometries_manifest.json";

#[tokio::test(flavor = "multi_thread")]
async fn geometries_are_those_of_the_manifest_of_the_branch() {
    let lab = Lab::start().await;
    let manifest = json!({"geometries": [{"id": "b", "name": "B", "file": "geometries/b.json"}, {"id": "a", "name": "A", "file": "a"}]});
    let commit = lab.commits("issue/1", MANIFEST, &manifest.to_string()).await;
    let answer = lab.get(&of_project("geometries", "&branch=issue/1")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.json(),
        json!({"items": manifest["geometries"], "commit": commit, "next_cursor": null})
    );
    let missing = lab
        .get(&of_project("geometries", "&branch=main"))
        .await
        .problem(404, "gitlab_not_found");
    assert!(
        missing["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains(MANIFEST)),
        "{missing}"
    );
    let no_branch = lab
        .get(&of_project("geometries", ""))
        .await
        .problem(422, "invalid_query");
    assert_eq!(no_branch["errors"][0]["pointer"], "/branch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_none_is_told_with_its_faults_and_without_its_content() {
    let lab = Lab::start().await;
    lab.commits("text", MANIFEST, "31337 is no object").await;
    lab.commits(
        "list",
        MANIFEST,
        "{\"geometries\": [{\"id\": \"31337\", \"file\": \"../31337\"}]}",
    )
    .await;
    let lab = &lab;
    let of =
        |branch: &'static str| async move { lab.get(&of_project("geometries", &format!("&branch={branch}"))).await };
    let text = of("text").await.problem(422, "gitlab_content");
    assert_eq!(text["errors"][0]["pointer"], "");
    let list = of("list").await.problem(422, "gitlab_content");
    let pointers: Vec<&Value> = list["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|one| &one["pointer"])
        .collect();
    assert_eq!(pointers, ["/geometries/0/name", "/geometries/0/file"]);
    for problem in [text, list] {
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains(MANIFEST) && detail.contains("grp/proj"), "{problem}");
        assert!(!problem.to_string().contains("31337"), "{problem}");
    }
}
