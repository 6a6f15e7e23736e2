//! A saga definition as it is answered.

use orchestratum_core::saga::DefinitionName;
use orchestratum_core::{JsonText, Timestamp};
use orchestratum_store::{DefinitionHead, StoredDefinition};
use serde::Serialize;
use utoipa::ToSchema;

use crate::routes::schema;

/// A version of a saga definition, without its text.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SagaDefinitionHead)]
pub(crate) struct HeadDocument {
    #[schema(value_type = String, example = "order")]
    name: DefinitionName,
    /// From 1; no version ever changes.
    version: u32,
    #[schema(value_type = schema::Time)]
    created_at: Timestamp,
}

/// A version of a saga definition.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SagaDefinition)]
pub(crate) struct DefinitionDocument {
    #[serde(flatten)]
    head: HeadDocument,
    /// As its author wrote it.
    source: String,
    /// The same as data: names sorted, defaults left out. By this the server tells whether two texts say the same.
    #[schema(value_type = schema::Anything)]
    definition: JsonText,
}

/// A page of saga definitions.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SagaDefinitionPage)]
pub(crate) struct HeadPage {
    pub(super) items: Vec<HeadDocument>,
    /// Give it as `cursor` to go on; `null` at the end.
    pub(super) next_cursor: Option<String>,
}

impl HeadPage {
    /// Of up to one more than was asked for.
    pub(super) fn new(
        mut found: Vec<DefinitionHead>,
        limit: usize,
        cursor: impl Fn(&DefinitionHead) -> String,
    ) -> Self {
        let more = found.len() > limit;
        found.truncate(limit);
        Self {
            next_cursor: found.last().filter(|_| more).map(cursor),
            items: found.into_iter().map(HeadDocument::from).collect(),
        }
    }
}

impl From<DefinitionHead> for HeadDocument {
    fn from(head: DefinitionHead) -> Self {
        let DefinitionHead {
            name,
            version,
            created_at,
        } = head;
        Self {
            name,
            version,
            created_at,
        }
    }
}

impl From<StoredDefinition> for DefinitionDocument {
    fn from(stored: StoredDefinition) -> Self {
        let StoredDefinition {
            name,
            version,
            source,
            canonical,
            created_at,
        } = stored;
        Self {
            head: HeadDocument {
                name,
                version,
                created_at,
            },
            source,
            definition: JsonText::trusted(canonical),
        }
    }
}
