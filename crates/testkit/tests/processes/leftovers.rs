//! Tests leave nothing on a server that is somebody's.

use orchestratum_store::Options;
use orchestratum_testkit::{Cluster, Corner, Schema, Servers, declared_under, sweep_corners, sweep_schemas};
use serde_json::json;
use sqlx::Connection;

async fn make(name: &str) {
    let options = Options {
        schema: name.to_owned(),
        ..Options::default()
    };
    let store = orchestratum_store::connect(&Servers::from_environment().database_url, &options)
        .await
        .expect("connects");
    store.migrate().await.expect("migrates");
    store.close().await;
}

async fn exists(name: &str) -> bool {
    let url = Servers::from_environment().database_url;
    let mut connection = sqlx::PgConnection::connect(&url).await.expect("connects");
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await
        .expect("works")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_of_a_test_goes_with_it_also_when_it_fails() {
    let url = Servers::from_environment().database_url;
    let schema = Schema::unique(&url).await.expect("a schema");
    let name = schema.name().to_owned();
    make(&name).await;
    assert!(exists(&name).await);
    let failing = tokio::spawn(async move {
        let _schema = schema;
        panic!("as a failing test does");
    });
    assert!(failing.await.is_err());
    assert!(!exists(&name).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schemas_of_killed_tests_are_swept_by_their_age_and_those_of_others_stay() {
    let url = Servers::from_environment().database_url;
    // Of the first second of 1970; of a test that runs; of somebody who names theirs in nearly the same way.
    let (old, young) = (
        "orchestratum_test_0000000003e8_0000abcd",
        Schema::unique(&url).await.expect("a schema"),
    );
    let others = "orchestratum_test_of_a_user";
    for name in [old, young.name(), others] {
        make(name).await;
    }
    sweep_schemas(&url).await.expect("swept");
    let left = (exists(old).await, exists(young.name()).await, exists(others).await);
    assert_eq!(left, (false, true, true));
    let mut connection = sqlx::PgConnection::connect(&url).await.expect("connects");
    sqlx::raw_sql("DROP SCHEMA orchestratum_test_of_a_user CASCADE")
        .execute(&mut connection)
        .await
        .expect("ours");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queues_of_a_test_go_with_it_also_when_it_fails() {
    let servers = Servers::from_environment();
    let cluster = Cluster::builder().start().await.expect("it starts");
    let prefix = cluster.environment()["ORCHESTRATUM__BROKER__PREFIX"].clone();
    let declared = declared_under(&servers, &prefix).await.expect("listed");
    for name in [format!("{prefix}.tasks.default"), format!("{prefix}.signals")] {
        assert!(declared.contains(&name), "{name} is not among {declared:?}");
    }
    let failing = tokio::spawn(async move {
        let _cluster = cluster;
        panic!("as a failing test does");
    });
    assert!(failing.await.is_err());
    assert_eq!(
        declared_under(&servers, &prefix).await.expect("listed"),
        Vec::<String>::new()
    );
}

/// Where somebody has, or had, a queue under a prefix.
fn queue(servers: &Servers, prefix: &str) -> String {
    format!("{}/{prefix}.tasks.default", servers.management_url("queues"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_queues_of_killed_tests_are_swept_by_their_age_and_those_of_others_stay() {
    let servers = Servers::from_environment();
    // Of the first second of 1970; of a test that runs; of somebody who names theirs in nearly the same way.
    let (old, young) = (
        "orchestratum_test_0000000003e8_0000abcd",
        Corner::unique(&servers).await.expect("a corner"),
    );
    let others = "orchestratum_test_of_a_user";
    let client = reqwest::Client::new();
    for prefix in [old, young.prefix(), others] {
        let declared = client.put(queue(&servers, prefix)).json(&json!({"durable": true}));
        let declared = declared.send().await.expect("it answers");
        assert!(declared.status().is_success(), "{declared:?}");
    }
    sweep_corners(&servers).await.expect("swept");
    let mut left = Vec::new();
    for prefix in [old, young.prefix(), others] {
        left.push(declared_under(&servers, prefix).await.expect("listed").len());
    }
    let deleted = client.delete(queue(&servers, others)).send().await.expect("it answers");
    assert!(deleted.status().is_success(), "ours");
    assert_eq!(left, [0, 1, 1]);
}
