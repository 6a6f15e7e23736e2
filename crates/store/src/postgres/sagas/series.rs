//! Sagas that follow each other under one key.

use orchestratum_core::saga::DefinitionName;

use super::super::database::Database;
use super::row::{SagaRow, saga_columns};
use crate::{Error, Saga};

/// Of `$1` and the key `$2`. `$` comes right after `#`; of those between, the ones of the series have a number behind the `#`, and of
/// two numbers the longer one is the higher. Nothing but the range is to choose the index by: there are few in it.
pub const LAST_OF_SERIES: &str = concat!(
    "SELECT ",
    saga_columns!(),
    "
    FROM sagas
    WHERE id = (
        SELECT id FROM (
            SELECT id, definition, correlation_id FROM sagas
            WHERE correlation_id >= $2::text AND correlation_id < $2 || '$'
            OFFSET 0
        ) AS candidates
        WHERE definition = $1::text
            AND (correlation_id = $2 OR substr(correlation_id, length($2) + 1) ~ '^#[1-9][0-9]{0,8}$')
        ORDER BY length(correlation_id) DESC, correlation_id DESC
        LIMIT 1
    )"
);

pub(super) async fn last(database: &Database, definition: &DefinitionName, key: &str) -> Result<Option<Saga>, Error> {
    let row: Option<SagaRow> = database
        .optional(|| sqlx::query_as(LAST_OF_SERIES).bind(definition.as_str()).bind(key))
        .await?;
    row.map(SagaRow::into_saga).transpose()
}
