//! PostgreSQL behaves as every store must.

mod support;

use orchestratum_store::conformance::Fixture;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use support::Schema;

async fn fixture() -> Box<dyn Fixture> {
    Box::new(Schema::fresh().await)
}

orchestratum_store::conformance_suite!(crate::fixture);

#[tokio::test]
async fn an_older_program_restarts_on_a_newer_schema() {
    let schema = Schema::fresh().await;
    let mut connection = PgConnection::connect(&schema.url).await.expect("connects");
    let later = format!(
        "INSERT INTO {}._sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', true, '', 0)",
        schema.name
    );
    connection
        .execute(AssertSqlSafe(later))
        .await
        .expect("a newer program was here");
    let store = schema.store();
    store.migrate().await.expect("there is nothing to do");
    store.check_schema().await.expect("newer is fine");
    store.close().await;
    Box::new(schema).remove().await;
}
