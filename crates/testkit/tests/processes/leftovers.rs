//! Tests leave nothing on a server that is somebody's.

use orchestratum_store::Options;
use orchestratum_testkit::{Schema, Servers, sweep_schemas};
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
