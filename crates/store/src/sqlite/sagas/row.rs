//! The row of a saga and the saga it stands for.

use orchestratum_core::saga::{DefinitionName, Instance, SagaStatus};
use orchestratum_core::{JsonText, Origin, SagaId};
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::super::rows::{Hex, damaged, get, json, maybe_timestamp, maybe_word, number, timestamp};
use crate::decide::SagaHead;
use crate::{Error, Saga};

pub(super) const TABLE: &str = "sagas";

/// The columns of [`parts`], from `sagas s`.
macro_rules! saga_columns {
    () => {
        "s.id, s.definition, s.definition_version, s.correlation_id, s.input, s.parent_id, s.parent_number, s.depth,
         s.trace_parent, s.request_id, s.created_at, s.last_seq, s.refusals, s.instance, s.updated_at, s.finished_at"
    };
}
pub(super) use saga_columns;

pub(super) fn saga_id(row: &SqliteRow, column: &'static str) -> Result<SagaId, Error> {
    get(row, column).map(SagaId)
}

/// Ids as one bound value.
pub(super) fn saga_list(sagas: impl IntoIterator<Item = SagaId>) -> String {
    json(&sagas.into_iter().map(|saga| Hex(saga.0)).collect::<Vec<_>>())
}

pub(super) fn definition_name(
    row: &SqliteRow,
    table: &'static str,
    column: &'static str,
) -> Result<DefinitionName, Error> {
    let name: String = get(row, column)?;
    DefinitionName::new(name.as_str()).map_err(|error| damaged(table, column, &name, error))
}

pub(super) fn status(row: &SqliteRow, saga: SagaId) -> Result<SagaStatus, Error> {
    let code: i16 = number(row, TABLE, "status", saga)?;
    SagaStatus::from_code(code).ok_or_else(|| damaged(TABLE, "status", saga, format!("{code} is no status")))
}

pub(super) fn parts(row: &SqliteRow) -> Result<(SagaHead, Instance), Error> {
    let id = saga_id(row, "id")?;
    let input = JsonText::trusted(get::<String>(row, "input")?);
    let instance = Instance::from_stored(id, get(row, "correlation_id")?, input, get(row, "instance")?)
        .map_err(|error| damaged(TABLE, "instance", id, error))?;
    let parent: Option<Uuid> = get(row, "parent_id")?;
    let parent = parent.map(|parent| Ok::<_, Error>((SagaId(parent), number(row, TABLE, "parent_number", id)?)));
    let head = SagaHead {
        id,
        definition: definition_name(row, TABLE, "definition")?,
        definition_version: number(row, TABLE, "definition_version", id)?,
        parent: parent.transpose()?,
        depth: number(row, TABLE, "depth", id)?,
        origin: Origin {
            trace_parent: maybe_word(row, TABLE, "trace_parent", id)?,
            request_id: maybe_word(row, TABLE, "request_id", id)?,
        },
        created_at: timestamp(row, "created_at")?,
        updated_at: timestamp(row, "updated_at")?,
        finished_at: maybe_timestamp(row, "finished_at")?,
        last_seq: number(row, TABLE, "last_seq", id)?,
        refusals: number(row, TABLE, "refusals", id)?,
    };
    Ok((head, instance))
}

pub(super) fn saga(row: &SqliteRow) -> Result<Saga, Error> {
    let (head, instance) = parts(row)?;
    Ok(head.saga(instance))
}
