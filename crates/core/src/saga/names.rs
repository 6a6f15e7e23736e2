//! The names that a definition gives. All follow the rule for names of tasks.

use serde::{Deserialize, Serialize};

use crate::identity::{InvalidName, is_name};
use crate::text::checked_text;

checked_text! {
    /// A definition, such as `order`; with a version, what an instance runs by.
    #[derive(PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(try_from = "String")]
    DefinitionName, is_name, InvalidName: InvalidName
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
