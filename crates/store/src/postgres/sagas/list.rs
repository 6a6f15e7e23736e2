//! Lists of sagas, newest first. A page looks at a window of candidates; the next one goes on behind it.

use orchestratum_core::SagaId;
use orchestratum_core::saga::{DefinitionName, SagaStatus, StateName};
use sqlx::postgres::PgArguments;
use sqlx::query::QueryAs;
use sqlx::{FromRow, Postgres};
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{int8, time};
use super::row::{SagaRow, saga_columns};
use crate::decide::{FindsSagas, SagaWay};
use crate::{Error, PAGE_BYTES, Saga, SagaFilter, UNINDEXED_SCAN};

#[derive(Debug, FromRow)]
struct PageRow {
    #[sqlx(flatten)]
    saga: SagaRow,
    /// How many there are, up to one more than was asked for.
    found: i64,
}

/// The statements of one way through the sagas: the page, and the last candidate of a window that is full.
#[derive(Debug)]
pub struct SagaListStatements {
    pub page: &'static str,
    pub end: &'static str,
}

/// `$window` selects the sagas with ids below `$1`, newest first in `$order`, at most `$2`. All statements have the same parameters, so
/// that one function binds them.
///
/// Where an index is to be walked, both the range and the order name all its columns: then no other index has that order, and the
/// planner cannot take one for cheaper of which it would have to read everything. The size of the window is kept from it for the
/// same reason: it would sort whatever it takes for less than that.
macro_rules! way {
    ($order:literal, $window:literal) => {
        SagaListStatements {
            page: concat!(
                "SELECT ",
                saga_columns!(),
                ", found
                FROM (
                    SELECT page.*,
                        count(*) OVER () AS found,
                        sum(octet_length(instance) + octet_length(input))
                            OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) AS bytes,
                        row_number() OVER (ORDER BY id DESC) AS place
                    FROM (
                        SELECT sagas.* FROM (",
                $window,
                ") AS sagas
                        WHERE ($3::text IS NULL OR sagas.definition = $3)
                          AND ($4::text IS NULL
                               OR (sagas.state = $4 AND (sagas.status <> 8 OR $5 IS NOT NULL)))
                          AND ($5::smallint IS NULL OR sagas.status = $5)
                          AND ($6::text IS NULL OR sagas.correlation_id = $6)
                          AND ($10::uuid IS NULL OR sagas.parent_id = $10)
                          AND ($7::timestamptz IS NULL
                               OR (sagas.status < 5 AND sagas.updated_at < $7 AND (sagas.status <> 1 OR $5 IS NOT NULL)))
                        ORDER BY ",
                $order,
                "
                        LIMIT $8
                    ) AS page
                ) AS sagas
                WHERE bytes <= $9 OR place = 1
                ORDER BY sagas.id DESC"
            ),
            end: concat!(
                "SELECT id FROM (",
                $window,
                ") AS candidates
                -- The parameters of the page, for their types.
                WHERE num_nulls($3::text, $4::text, $5::smallint, $6::text, $7::timestamptz, $8::bigint, $9::bigint,
                    $10::uuid) >= 0
                ORDER BY ",
                $order,
                "
                OFFSET $2 - 1"
            ),
        }
    };
}

const NEWEST: SagaListStatements = way!(
    "id DESC",
    "SELECT * FROM sagas WHERE id < $1 ORDER BY id DESC LIMIT (SELECT $2::bigint)"
);
const CORRELATED: SagaListStatements = way!(
    "id DESC",
    "SELECT * FROM sagas WHERE correlation_id = $6::text AND id < $1 LIMIT (SELECT $2::bigint)"
);
/// As a pair, so that the index of ids is of no use to it: all that are older would be looked up there.
const OF_PARENT: SagaListStatements = way!(
    "id DESC",
    "SELECT * FROM sagas
    WHERE parent_id = $10::uuid AND (parent_id, id) < ($10, $1)
    ORDER BY parent_id DESC, id DESC LIMIT (SELECT $2::bigint)"
);
const OF_DEFINITION: SagaListStatements = way!(
    "definition DESC, id DESC",
    "SELECT * FROM sagas
    WHERE (definition, id) < ($3::text, $1) AND definition >= $3
    ORDER BY definition DESC, id DESC LIMIT (SELECT $2::bigint)"
);
const OF_STATUS: SagaListStatements = way!(
    "status DESC, id DESC",
    "SELECT * FROM sagas
    WHERE status <> 5 AND (status, id) < ($5::smallint, $1) AND status >= $5
    ORDER BY status DESC, id DESC LIMIT (SELECT $2::bigint)"
);

/// All ways, for tests of their plans.
pub const SAGA_LISTS: [&SagaListStatements; 5] = [&NEWEST, &CORRELATED, &OF_DEFINITION, &OF_STATUS, &OF_PARENT];

const fn statements(way: SagaWay) -> &'static SagaListStatements {
    match way {
        SagaWay::Newest => &NEWEST,
        SagaWay::Correlated => &CORRELATED,
        SagaWay::OfParent => &OF_PARENT,
        SagaWay::OfDefinition => &OF_DEFINITION,
        SagaWay::OfStatus => &OF_STATUS,
    }
}

impl FindsSagas for Database {
    async fn page(
        &self,
        way: SagaWay,
        filter: &SagaFilter,
        before: Uuid,
        limit: usize,
    ) -> Result<(Vec<Saga>, usize), Error> {
        let rows: Vec<PageRow> = self
            .all(AfterUnknown::Repeat, || {
                bind(statements(way).page, filter, before, limit)
            })
            .await?;
        let found = rows.first().map_or(0, |row| row.found);
        let sagas = rows.into_iter().take(limit).map(|row| row.saga.into_saga());
        Ok((
            sagas.collect::<Result<_, _>>()?,
            usize::try_from(found).unwrap_or(usize::MAX),
        ))
    }

    async fn end(
        &self,
        way: SagaWay,
        filter: &SagaFilter,
        before: Uuid,
        limit: usize,
    ) -> Result<Option<SagaId>, Error> {
        let end: Vec<(Uuid,)> = self
            .all(AfterUnknown::Repeat, || {
                bind(statements(way).end, filter, before, limit)
            })
            .await?;
        Ok(end.first().map(|(id,)| SagaId(*id)))
    }
}

/// One more than asked for tells whether there is another page.
fn bind<'q, T>(
    statement: &'static str,
    filter: &'q SagaFilter,
    before: Uuid,
    limit: usize,
) -> QueryAs<'q, Postgres, T, PgArguments>
where
    T: for<'r> FromRow<'r, sqlx::postgres::PgRow>,
{
    sqlx::query_as(statement)
        .bind(before)
        .bind(int8(UNINDEXED_SCAN))
        .bind(filter.definition.as_ref().map(DefinitionName::as_str))
        .bind(filter.state.as_ref().map(StateName::as_str))
        .bind(filter.status.map(SagaStatus::code))
        .bind(filter.correlation_id.as_deref())
        .bind(filter.unchanged_since.map(time))
        .bind(int8(limit + 1))
        .bind(int8(PAGE_BYTES))
        .bind(filter.parent.map(|id| id.0))
}
