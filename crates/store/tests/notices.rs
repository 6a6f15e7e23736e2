//! What PostgreSQL says beside its answers. A process has one log, so this is a program of its own.

use orchestratum_store::{Options, connect};
use orchestratum_testkit::{LogLines, Schema};
use tracing::Level;

#[tokio::test]
async fn a_migration_of_what_is_there_already_has_nothing_to_tell_an_operator() {
    let lines = LogLines::of_this_process(Level::INFO);
    let url = std::env::var("DATABASE_URL").expect("these tests need PostgreSQL: run `cargo xtask test`");
    let schema = Schema::unique(&url).await.expect("a schema");
    let options = Options {
        schema: schema.name().to_owned(),
        ..Options::default()
    };
    let store = connect(&url, &options).await.expect("connects");
    store.migrate().await.expect("migrates");
    store.migrate().await.expect("everything is there already");
    store.close().await;
    assert_eq!(lines.text(), "");
}
