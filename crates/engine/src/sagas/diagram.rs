//! Pictures of definitions, and of where a saga stands.

use orchestratum_core::SagaId;
use orchestratum_core::saga::DefinitionName;
use orchestratum_core::saga::diagram::{self, Live, Taken};
use orchestratum_store::{HistoryEntry, HistoryNote, Saga};

use super::read::as_data;
use crate::{Engine, Error};

/// How many entries of a history are looked through for the way that a saga took.
const ENTRIES_MAX: usize = 1_000;

/// Of one page of it.
const PAGE: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiagramFormat {
    Mermaid,
    Svg,
}

impl Engine {
    /// The picture of a definition; `None` for the newest version.
    ///
    /// # Errors
    /// [`Error::DefinitionNotFound`], [`Error::Overloaded`] while others are drawn.
    pub async fn definition_diagram(
        &self,
        name: &DefinitionName,
        version: Option<u32>,
        format: DiagramFormat,
    ) -> Result<String, Error> {
        let stored = self.definition(name, version).await?;
        let draw = move || -> Result<String, Error> {
            let definition = as_data(&stored)?;
            Ok(match format {
                DiagramFormat::Mermaid => diagram::mermaid(&definition),
                DiagramFormat::Svg => diagram::svg(&definition),
            })
        };
        self.parts.definitions.compute(draw).await?
    }

    /// The picture of the definition of a saga, in which its state and the way that it took are marked.
    ///
    /// # Errors
    /// [`Error::SagaNotFound`], [`Error::Overloaded`] while others are drawn.
    pub async fn saga_diagram(&self, saga: SagaId, format: DiagramFormat) -> Result<String, Error> {
        let saga = self.saga(saga).await?;
        let definition = self.running_definition(&saga).await?;
        let path = self.path(&saga).await?;
        let draw = move || {
            let live = Live {
                state: &saga.instance.state,
                path: &path,
            };
            match format {
                DiagramFormat::Mermaid => diagram::mermaid_live(definition.definition(), live),
                DiagramFormat::Svg => diagram::svg_live(definition.definition(), live),
            }
        };
        self.parts.definitions.compute(draw).await
    }

    async fn path(&self, saga: &Saga) -> Result<Vec<Taken>, Error> {
        let mut path = Vec::new();
        let mut after = None;
        for _ in 0..ENTRIES_MAX / PAGE {
            // Without the names of what ended, which no picture has.
            let page = self.parts.store.saga_history(saga.id, after, PAGE).await?;
            path.extend(page.items.iter().flat_map(transitions));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(path)
    }
}

fn transitions(entry: &HistoryEntry) -> impl Iterator<Item = Taken> {
    let transitions = entry.told.notes.iter().filter_map(HistoryNote::transition);
    transitions.map(|(from, to, event)| Taken {
        from: from.clone(),
        to: to.clone(),
        event: event.clone(),
    })
}
