//! Reading sagas.

use orchestratum_core::SagaId;
use orchestratum_core::saga::{SagaStatus, StateName};
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, int8};
use super::row::{SagaRow, saga_columns};
use crate::{Error, Saga, Stand};

pub(super) async fn saga(database: &Database, saga: SagaId) -> Result<Option<Saga>, Error> {
    let row: Option<SagaRow> = database
        .optional(|| sqlx::query_as(concat!("SELECT ", saga_columns!(), " FROM sagas WHERE id = $1")).bind(saga.0))
        .await?;
    row.map(SagaRow::into_saga).transpose()
}

pub(super) async fn stands(database: &Database, sagas: &[SagaId]) -> Result<Vec<(SagaId, Stand)>, Error> {
    let ids: Vec<Uuid> = sagas.iter().map(|saga| saga.0).collect();
    let rows: Vec<(Uuid, i16, String, i64)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as("SELECT id, status, state, version FROM sagas WHERE id = ANY($1::uuid[])").bind(&ids)
        })
        .await?;
    rows.into_iter()
        .map(|(id, status, state, version)| {
            let place = Place {
                table: "sagas",
                row: &id,
            };
            let stand = Stand {
                status: place.present("status", SagaStatus::from_code(status))?,
                state: place.take("state", StateName::new(state))?,
                version: place.number("version", version)?,
            };
            Ok((SagaId(id), stand))
        })
        .collect()
}

pub(super) async fn unlooked(database: &Database, after: Option<SagaId>, limit: usize) -> Result<Vec<SagaId>, Error> {
    let after = after.map_or(Uuid::nil(), |saga| saga.0);
    let rows: Vec<(Uuid,)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(
                "SELECT DISTINCT saga_id FROM saga_events WHERE seq IS NULL AND saga_id > $1 ORDER BY saga_id LIMIT $2",
            )
            .bind(after)
            .bind(int8(limit))
        })
        .await?;
    Ok(rows.into_iter().map(|(id,)| SagaId(id)).collect())
}
