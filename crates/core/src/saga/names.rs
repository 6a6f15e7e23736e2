//! The names that a definition gives. All follow the rule for names of tasks; that of the definition also stands in addresses.

use serde::{Deserialize, Serialize};

use crate::identity::{InvalidName, is_name, is_step_of_a_path};
use crate::text::checked_text;

/// It is no name, or one that no address can hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must match [A-Za-z0-9._-]{{1,100}} and not be . or ..")]
pub struct InvalidDefinitionName;

fn is_definition_name(text: &str) -> bool {
    is_name(text) && !is_step_of_a_path(text)
}

checked_text! {
    /// A definition, such as `order`; with a version, what an instance runs by.
    #[derive(PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String")]
    DefinitionName, is_definition_name, InvalidDefinitionName: InvalidDefinitionName
}

checked_text! {
    /// A state of a definition, such as `AwaitingPayment`.
    #[derive(PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String")]
    StateName, is_name, InvalidName: InvalidName
}

checked_text! {
    /// What moves an instance, such as `payment_processed`.
    #[derive(PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String")]
    EventName, is_name, InvalidName: InvalidName
}

checked_text! {
    /// A field of the context, such as `payment_id`.
    #[derive(PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String")]
    FieldName, is_name, InvalidName: InvalidName
}
