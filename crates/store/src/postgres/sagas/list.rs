//! Lists of sagas, newest first.

use orchestratum_core::SagaId;
use orchestratum_core::saga::{DefinitionName, SagaStatus, StateName};
use sqlx::FromRow;
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{int8, time};
use super::row::{SagaRow, saga_columns};
use crate::{Error, PAGE_BYTES, Saga, SagaFilter, SagaPage};

#[derive(Debug, FromRow)]
struct PageRow {
    #[sqlx(flatten)]
    saga: SagaRow,
    /// How many there are, up to one more than was asked for.
    found: i64,
}

pub(super) async fn sagas(
    database: &Database,
    filter: &SagaFilter,
    before: Option<SagaId>,
    limit: usize,
) -> Result<SagaPage, Error> {
    let rows: Vec<PageRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(PAGE)
                .bind(before.map_or(Uuid::max(), |id| id.0))
                .bind(filter.definition.as_ref().map(DefinitionName::as_str))
                .bind(filter.state.as_ref().map(StateName::as_str))
                .bind(filter.status.map(SagaStatus::code))
                .bind(filter.correlation_id.as_deref())
                .bind(filter.unchanged_since.map(time))
                .bind(int8(limit + 1))
                .bind(int8(PAGE_BYTES))
        })
        .await?;
    let found = rows.first().map_or(0, |row| row.found);
    let items: Vec<Saga> = rows
        .into_iter()
        .take(limit)
        .map(|row| row.saga.into_saga())
        .collect::<Result<_, _>>()?;
    let next = items.last().map(|saga| saga.id);
    Ok(SagaPage {
        next: next.filter(|_| found > int8(items.len())),
        items,
    })
}

const PAGE: &str = concat!(
    "SELECT ",
    saga_columns!(),
    ", found
    FROM (
        SELECT page.*,
            count(*) OVER () AS found,
            sum(octet_length(instance) + octet_length(input)) OVER (ORDER BY id DESC ROWS UNBOUNDED PRECEDING) AS bytes,
            row_number() OVER (ORDER BY id DESC) AS place
        FROM (
            SELECT * FROM sagas
            WHERE id < $1
              AND ($2::text IS NULL OR definition = $2)
              AND ($3::text IS NULL OR state = $3)
              AND ($4::smallint IS NULL OR status = $4)
              AND ($5::text IS NULL OR correlation_id = $5)
              AND ($6::timestamptz IS NULL OR (status < 5 AND updated_at < $6 AND (status <> 1 OR $4 IS NOT NULL)))
            ORDER BY id DESC
            LIMIT $7
        ) AS page
    ) AS sagas
    WHERE bytes <= $8 OR place = 1
    ORDER BY id DESC"
);
