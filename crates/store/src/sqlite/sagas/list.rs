//! Lists of sagas, newest first. A page looks at a window of candidates; the next one goes on behind it.

use orchestratum_core::saga::{DefinitionName, SagaStatus, StateName};
use orchestratum_core::{SagaId, Timestamp};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments};
use uuid::Uuid;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{get, signed};
use super::row::{self, saga_columns, saga_id};
use crate::decide::{FindsSagas, SagaWay};
use crate::{Error, PAGE_BYTES, Saga, SagaFilter, UNINDEXED_SCAN};

/// The statements of one way through the sagas: the page, and the last candidate of a window that is full.
struct Statements {
    page: &'static str,
    end: &'static str,
}

/// `$window` selects ids below `?1`, newest first, at most `?2`. Both statements have the same parameters, so that one function binds
/// them.
macro_rules! way {
    ($window:literal) => {
        Statements {
            page: concat!(
                "SELECT ",
                saga_columns!(),
                // Ids and sizes first, which are told without reading the texts.
                ", p.found
                 FROM (
                     SELECT
                         id,
                         count(*) OVER () AS found,
                         sum(size) OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) AS bytes,
                         row_number() OVER (ORDER BY id DESC) AS place
                     FROM (
                         SELECT s.id, octet_length(s.instance) + octet_length(s.input) AS size
                         FROM (",
                $window,
                ") c
                         CROSS JOIN sagas s ON s.id = c.id
                         WHERE (?3 IS NULL OR s.definition = ?3)
                           AND (?4 IS NULL OR (s.state = ?4 AND (s.status <> 8 OR ?5 IS NOT NULL)))
                           AND (?5 IS NULL OR s.status = ?5)
                           AND (?6 IS NULL OR s.correlation_id = ?6)
                           AND (?10 IS NULL OR s.parent_id = ?10)
                           AND (?7 IS NULL OR (s.status < 5 AND s.updated_at < ?7 AND (s.status <> 1 OR ?5 IS NOT NULL)))
                         ORDER BY c.id DESC
                         LIMIT ?8
                     )
                 ) p
                 CROSS JOIN sagas s ON s.id = p.id
                 WHERE p.bytes <= ?9 OR p.place = 1
                 ORDER BY s.id DESC"
            ),
            end: concat!(
                "SELECT id FROM (",
                $window,
                ") WHERE ?3 IS ?3 AND ?4 IS ?4 AND ?5 IS ?5 AND ?6 IS ?6 AND ?7 IS ?7 AND ?8 IS ?8 AND ?9 IS ?9
                 AND ?10 IS ?10
                 ORDER BY id DESC
                 LIMIT 1 OFFSET ?2 - 1"
            ),
        }
    };
}

const NEWEST: Statements = way!("SELECT id FROM sagas WHERE id < ?1 ORDER BY id DESC LIMIT ?2");
const CORRELATED: Statements =
    way!("SELECT id FROM sagas WHERE correlation_id = ?6 AND id < ?1 ORDER BY id DESC LIMIT ?2");
const OF_PARENT: Statements = way!(
    "SELECT id FROM sagas INDEXED BY sagas_parent
     WHERE parent_id = ?10 AND id < ?1 ORDER BY id DESC LIMIT ?2"
);
const OF_DEFINITION: Statements = way!(
    "SELECT id FROM sagas INDEXED BY sagas_definition
     WHERE definition = ?3 AND id < ?1 ORDER BY id DESC LIMIT ?2"
);
const OF_STATUS: Statements = way!(
    "SELECT id FROM sagas INDEXED BY sagas_status
     WHERE status <> 5 AND status = ?5 AND id < ?1 ORDER BY id DESC LIMIT ?2"
);

const fn statements(way: SagaWay) -> &'static Statements {
    match way {
        SagaWay::Newest => &NEWEST,
        SagaWay::Correlated => &CORRELATED,
        SagaWay::OfParent => &OF_PARENT,
        SagaWay::OfDefinition => &OF_DEFINITION,
        SagaWay::OfStatus => &OF_STATUS,
    }
}

impl FindsSagas for SqliteStore {
    async fn page(
        &self,
        way: SagaWay,
        filter: &SagaFilter,
        before: Uuid,
        limit: usize,
    ) -> Result<(Vec<Saga>, usize), Error> {
        let rows = bind(statements(way).page, filter, before, limit)
            .fetch_all(&self.read)
            .await
            .map_err(sql)?;
        let found = rows.first().map_or(Ok(0), |row| get::<i64>(row, "found"))?;
        let sagas = rows.iter().take(limit).map(row::saga).collect::<Result<_, _>>()?;
        Ok((sagas, usize::try_from(found).unwrap_or(usize::MAX)))
    }

    async fn end(
        &self,
        way: SagaWay,
        filter: &SagaFilter,
        before: Uuid,
        limit: usize,
    ) -> Result<Option<SagaId>, Error> {
        let end = bind(statements(way).end, filter, before, limit)
            .fetch_optional(&self.read)
            .await
            .map_err(sql)?;
        end.map(|row| saga_id(&row, "id")).transpose()
    }
}

/// One more than asked for tells whether there is another page.
fn bind<'q>(
    statement: &'static str,
    filter: &'q SagaFilter,
    before: Uuid,
    limit: usize,
) -> Query<'q, Sqlite, SqliteArguments> {
    sqlx::query(statement)
        .bind(before)
        .bind(signed(UNINDEXED_SCAN))
        .bind(filter.definition.as_ref().map(DefinitionName::as_str))
        .bind(filter.state.as_ref().map(StateName::as_str))
        .bind(filter.status.map(SagaStatus::code))
        .bind(filter.correlation_id.as_deref())
        .bind(filter.unchanged_since.map(Timestamp::as_micros))
        .bind(signed(limit + 1))
        .bind(signed(PAGE_BYTES))
        .bind(filter.parent.map(|id| id.0))
}
