//! Who an event is for that names only a correlation id.

use orchestratum_core::SagaId;
use orchestratum_core::saga::{DefinitionName, SagaStatus};
use uuid::Uuid;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, int8};
use crate::decide::ADDRESSEES_MAX;
use crate::{Addressee, Error};

pub(super) async fn addressees(database: &Database, correlation_id: &str) -> Result<Vec<Addressee>, Error> {
    let rows: Vec<(Uuid, String, i16)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(
                "SELECT id, definition, status FROM sagas WHERE correlation_id = $1 ORDER BY definition LIMIT $2",
            )
            .bind(correlation_id)
            .bind(int8(ADDRESSEES_MAX))
        })
        .await?;
    rows.into_iter()
        .map(|(id, definition, status)| {
            let place = Place {
                table: "sagas",
                row: &id,
            };
            Ok(Addressee {
                saga: SagaId(id),
                definition: place.take("definition", DefinitionName::new(definition))?,
                status: place.present("status", SagaStatus::from_code(status))?,
            })
        })
        .collect()
}
