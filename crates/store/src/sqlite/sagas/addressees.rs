//! Who an event is for that names only a correlation id.

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::signed;
use super::row::{TABLE, definition_name, saga_id, status};
use crate::decide::ADDRESSEES_MAX;
use crate::{Addressee, Error};

pub(super) async fn addressees(store: &SqliteStore, correlation_id: &str) -> Result<Vec<Addressee>, Error> {
    let rows =
        sqlx::query("SELECT id, definition, status FROM sagas WHERE correlation_id = ?1 ORDER BY definition LIMIT ?2")
            .bind(correlation_id)
            .bind(signed(ADDRESSEES_MAX))
            .fetch_all(&store.read)
            .await
            .map_err(sql)?;
    rows.iter()
        .map(|row| {
            let saga = saga_id(row, "id")?;
            Ok(Addressee {
                saga,
                definition: definition_name(row, TABLE, "definition")?,
                status: status(row, saga)?,
            })
        })
        .collect()
}
