//! Giving a definition.

use orchestratum_core::saga::{Definition, Faults, SOURCE_MAX_BYTES};

use super::Sagas;
use crate::Error;

/// What became of a definition that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defined {
    /// From 1. The same content again is the version that it was.
    pub version: u32,
    /// What is allowed and may not be meant.
    pub warnings: Faults,
}

impl Sagas {
    /// Gives a definition, as [`SagaBuilder`](crate::saga::SagaBuilder) builds it or [`read`](crate::saga::read) reads it. What is
    /// stored never changes: other content under the same name is its next version, with which sagas start from then on; those that
    /// run keep theirs.
    ///
    /// # Errors
    /// [`Error::InvalidDefinition`] with everything that is wrong with it. One that was built has been checked, but for what only a
    /// server knows, such as whether a schema is one.
    pub async fn define(&self, definition: &Definition) -> Result<Defined, Error> {
        let source = definition.canonical();
        if source.len() > SOURCE_MAX_BYTES {
            let rule = format!("must not be larger than {SOURCE_MAX_BYTES} bytes, not {}", source.len());
            let fault = orchestratum_core::saga::Fault::new("", rule);
            return Err(Error::InvalidDefinition(Faults(vec![fault])));
        }
        let defined = self.host.define(&definition.name, source).await;
        match defined {
            Ok(defined) => Ok(Defined {
                warnings: placeless(defined.warnings),
                ..defined
            }),
            Err(Error::InvalidDefinition(faults)) => Err(Error::InvalidDefinition(placeless(faults))),
            Err(error) => Err(error),
        }
    }
}

/// Its author wrote no text: a line and a column would be those of a text that nobody has seen.
fn placeless(mut faults: Faults) -> Faults {
    for fault in &mut faults.0 {
        fault.place = None;
    }
    faults
}
