//! Lists of so many sagas that a page does not look at all of them.

use orchestratum_core::SagaId;
use orchestratum_core::saga::SagaStatus;
use orchestratum_store::{Options, SagaFilter, UNINDEXED_SCAN, connect};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::conformance::lab::{Lab, SECOND};
use crate::conformance::saga_lab::{COUNTER, define, definition_name, raise, start};

/// One that is over, and one that runs; younger ones are made of this.
struct Oldest {
    stopped: SagaId,
    counting: SagaId,
}

async fn oldest(lab: &Lab) -> Oldest {
    define(lab, COUNTER).await;
    let stopped = start(lab, "counter", "stopped").await;
    raise(lab, stopped, "stop").await;
    let counting = start(lab, "counter", "counting").await;
    Oldest { stopped, counting }
}

/// All pages of a list: their sagas, and how many pages there are.
async fn listed(lab: &Lab, filter: &SagaFilter) -> (Vec<SagaId>, usize) {
    let (mut items, mut pages, mut before) = (Vec::new(), 0, None);
    loop {
        let page = lab.store.sagas(filter, before, 10).await.expect("works");
        items.extend(page.items.into_iter().map(|saga| saga.id));
        (pages, before) = (pages + 1, page.next);
        if before.is_none() {
            return (items, pages);
        }
    }
}

/// The younger ones fill a page's window, and none of them is meant.
async fn assert_pages_go_on(lab: &Lab, Oldest { stopped, counting }: Oldest) {
    let all = SagaFilter::default;
    let counter = Some(definition_name("counter"));
    for (filter, expected) in [
        (
            SagaFilter {
                state: Some("Stopped".parse().expect("a name")),
                ..all()
            },
            stopped,
        ),
        (
            SagaFilter {
                definition: counter.clone(),
                status: Some(SagaStatus::Completed),
                ..all()
            },
            stopped,
        ),
        (
            SagaFilter {
                definition: counter.clone(),
                unchanged_since: Some(lab.now + SECOND),
                ..all()
            },
            counting,
        ),
        (
            SagaFilter {
                status: Some(SagaStatus::Running),
                unchanged_since: Some(lab.now + SECOND),
                ..all()
            },
            counting,
        ),
    ] {
        assert_eq!(listed(lab, &filter).await, (vec![expected], 2), "{filter:?}");
    }
    let of_one = SagaFilter {
        correlation_id: Some("stopped".to_owned()),
        ..all()
    };
    assert_eq!(listed(lab, &of_one).await, (vec![stopped], 1), "an index finds it");
    let newest = lab.store.sagas(&all(), None, 10).await.expect("works");
    assert_eq!(newest.items.len(), 10);
}

#[tokio::test]
async fn in_postgres_a_page_goes_on_behind_what_the_one_before_looked_at() {
    let url = crate::support::database_url();
    let (schema, store) = crate::postgres::migrated(&url).await;
    let lab = Lab::new(store);
    let oldest = oldest(&lab).await;
    let mut connection = PgConnection::connect(&url).await.expect("connects");
    let fill = format!(
        "INSERT INTO {schema}.sagas (
            id, definition, definition_version, correlation_id, input, created_at, status, state, version, last_seq, instance,
            updated_at
        )
        SELECT (lpad(to_hex(140000000000000 + n), 12, '0') || '70008000' || lpad(to_hex(n), 12, '0'))::uuid,
            definition, definition_version, 'of ' || n, input, created_at, status, state, version, last_seq, instance,
            updated_at + INTERVAL '1 day'
        FROM {schema}.sagas, generate_series(1::bigint, {UNINDEXED_SCAN}) AS n
        WHERE id = '{}'",
        oldest.counting,
        schema = schema.name(),
    );
    connection.execute(AssertSqlSafe(fill)).await.expect("they are there");
    assert_pages_go_on(&lab, oldest).await;
}

#[tokio::test]
async fn in_sqlite_a_page_goes_on_behind_what_the_one_before_looked_at() {
    let folder = TempDir::new().expect("a temporary folder");
    let url = format!("sqlite://{}", folder.path().join("sagas.db").display());
    let opened = async || {
        let store = connect(&url, &Options::default()).await.expect("opens");
        store.migrate().await.expect("migrates");
        Lab::new(store)
    };
    let lab = opened().await;
    let oldest = oldest(&lab).await;
    lab.store.close().await;
    let mut connection = SqliteConnection::connect(&url).await.expect("opens");
    let fill = format!(
        "WITH RECURSIVE younger (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM younger WHERE n < {UNINDEXED_SCAN})
        INSERT INTO sagas (
            id, definition, definition_version, correlation_id, input, created_at, status, state, version, last_seq, instance,
            updated_at
        )
        SELECT unhex(printf('%012x70008000%012x', 140000000000000 + n, n)),
            definition, definition_version, 'of ' || n, input, created_at, status, state, version, last_seq, instance,
            updated_at + 86400000000
        FROM sagas CROSS JOIN younger
        WHERE id = unhex('{}')",
        oldest.counting.0.simple(),
    );
    connection.execute(AssertSqlSafe(fill)).await.expect("they are there");
    connection.close().await.expect("closes");
    assert_pages_go_on(&opened().await, oldest).await;
}
