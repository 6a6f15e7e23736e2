//! Sagas that follow each other under one key.

use orchestratum_core::saga::DefinitionName;

use super::super::SqliteStore;
use super::super::error::sql;
use super::row::{self, saga_columns};
use crate::{Error, Saga};

/// `$` comes right after `#`; of those between, the ones of the series have a number behind the `#`, and of two numbers the longer one
/// is the higher. The `+` leaves the index of definitions alone: there are few in the range.
pub(super) async fn last(store: &SqliteStore, definition: &DefinitionName, key: &str) -> Result<Option<Saga>, Error> {
    let row = sqlx::query(concat!(
        "SELECT ",
        saga_columns!(),
        " FROM sagas s
         WHERE s.correlation_id >= ?2 AND s.correlation_id < ?2 || '$' AND +s.definition = ?1
             AND (s.correlation_id = ?2
                 OR (substr(s.correlation_id, length(?2) + 1, 1) = '#'
                     AND substr(s.correlation_id, length(?2) + 2) GLOB '[1-9]*'
                     AND substr(s.correlation_id, length(?2) + 2) NOT GLOB '*[^0-9]*'
                     AND length(s.correlation_id) <= length(?2) + 10))
         ORDER BY length(s.correlation_id) DESC, s.correlation_id DESC
         LIMIT 1"
    ))
    .bind(definition.as_str())
    .bind(key)
    .fetch_optional(&store.read)
    .await
    .map_err(sql)?;
    row.as_ref().map(row::saga).transpose()
}
