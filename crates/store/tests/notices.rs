//! What PostgreSQL says beside its answers. A process has one log, so this is a program of its own.

mod support;

use orchestratum_store::conformance::Fixture;
use orchestratum_testkit::LogLines;
use support::Postgres;
use tracing::Level;

#[tokio::test]
async fn a_migration_of_what_is_there_already_has_nothing_to_tell_an_operator() {
    let lines = LogLines::of_this_process(Level::INFO);
    let postgres = Postgres::fresh(&support::database_url()).await;
    let store = postgres.store();
    store.migrate().await.expect("everything is there already");
    store.close().await;
    assert_eq!(lines.text(), "");
}
