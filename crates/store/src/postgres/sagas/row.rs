//! The row of a saga and the saga it stands for.

use orchestratum_core::saga::{DefinitionName, Instance};
use orchestratum_core::{JsonText, Origin, SagaId};
use sqlx::FromRow;
use uuid::Uuid;

use super::super::rows::{Place, Time, timestamp};
use crate::decide::SagaHead;
use crate::{Error, Saga};

/// The columns of [`SagaRow`], from `sagas`.
macro_rules! saga_columns {
    () => {
        "sagas.id, sagas.definition, sagas.definition_version, sagas.correlation_id, sagas.input, sagas.parent_id,
        sagas.parent_number, sagas.depth, sagas.trace_parent, sagas.request_id, sagas.created_at, sagas.last_seq,
        sagas.refusals, sagas.instance, sagas.updated_at, sagas.finished_at"
    };
}
pub(super) use saga_columns;

#[derive(Debug, FromRow)]
pub(super) struct SagaRow {
    pub(super) id: Uuid,
    definition: String,
    definition_version: i32,
    correlation_id: String,
    input: String,
    parent_id: Option<Uuid>,
    parent_number: Option<i32>,
    depth: i16,
    trace_parent: Option<String>,
    request_id: Option<String>,
    created_at: Time,
    last_seq: i64,
    refusals: i32,
    instance: String,
    updated_at: Time,
    finished_at: Option<Time>,
}

impl SagaRow {
    pub(super) fn into_parts(self) -> Result<(SagaHead, Instance), Error> {
        let Self {
            id,
            definition,
            definition_version,
            correlation_id,
            input,
            parent_id,
            parent_number,
            depth,
            trace_parent,
            request_id,
            created_at,
            last_seq,
            refusals,
            instance,
            updated_at,
            finished_at,
        } = self;
        let place = Place {
            table: "sagas",
            row: &id,
        };
        let number = |number: i32| place.number("parent_number", number);
        let parent_number: Option<u32> = parent_number.map(number).transpose()?;
        let trace_parent = trace_parent.map(|text| place.take("trace_parent", text.parse()));
        let request_id = request_id.map(|text| place.take("request_id", text.parse()));
        let input = JsonText::trusted(input);
        let instance = Instance::from_stored(SagaId(id), correlation_id, input, &instance);
        let instance = place.take("instance", instance)?;
        let head = SagaHead {
            id: SagaId(id),
            definition: place.take("definition", DefinitionName::new(definition))?,
            definition_version: place.number("definition_version", definition_version)?,
            parent: parent_id.map(SagaId).zip(parent_number),
            depth: place.number("depth", depth)?,
            origin: Origin {
                trace_parent: trace_parent.transpose()?,
                request_id: request_id.transpose()?,
            },
            created_at: timestamp(created_at),
            updated_at: timestamp(updated_at),
            finished_at: finished_at.map(timestamp),
            last_seq: place.number("last_seq", last_seq)?,
            refusals: place.number("refusals", refusals)?,
        };
        Ok((head, instance))
    }

    pub(super) fn into_saga(self) -> Result<Saga, Error> {
        let (head, instance) = self.into_parts()?;
        Ok(head.saga(instance))
    }
}
