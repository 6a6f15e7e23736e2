//! PostgreSQL behaves as every store must.

mod support;

use orchestratum_store::conformance::Fixture;
use orchestratum_store::{Options, connect};
use orchestratum_testkit::Schema;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use support::Postgres;

async fn fixture() -> Box<dyn Fixture> {
    Box::new(Postgres::fresh(&support::database_url()).await)
}

orchestratum_store::conformance_suite!(crate::fixture);

#[tokio::test]
async fn an_older_program_restarts_on_a_newer_schema() {
    let url = support::database_url();
    let schema = Schema::unique(&url).await.expect("a schema");
    let options = Options {
        schema: schema.name().to_owned(),
        ..Options::default()
    };
    let store = connect(&url, &options).await.expect("connects");
    store.migrate().await.expect("migrates");
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    let later = format!(
        "INSERT INTO {}._sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (9999, 'later', true, '', 0)",
        schema.name()
    );
    connection
        .execute(AssertSqlSafe(later))
        .await
        .expect("a newer program was here");
    store.migrate().await.expect("there is nothing to do");
    store.check_schema().await.expect("newer is fine");
    store.close().await;
}
