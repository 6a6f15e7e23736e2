//! What the bodies of these calls have in common.

use orchestratum_core::JsonText;
use orchestratum_engine::Engine;

use crate::problem::{Code, Problem, Result};

/// Of a correlation id, and of the id of an event.
const ID_MAX_CHARACTERS: usize = 200;

/// A text by which callers know something: a correlation id, the id of an event.
pub(in crate::routes) fn check_id(pointer: &str, id: &str) -> Result<()> {
    let characters = id.chars().count();
    if (1..=ID_MAX_CHARACTERS).contains(&characters) && !id.contains('\0') {
        return Ok(());
    }
    let rule = format!("must have 1 to {ID_MAX_CHARACTERS} characters, none of them U+0000");
    Err(Problem::broken(Code::InvalidBody, pointer, rule))
}

/// What a saga is given; `null` if nothing is. It has the limit of the input of a task.
pub(in crate::routes) fn checked_json(engine: &Engine, pointer: &str, given: Option<JsonText>) -> Result<JsonText> {
    let json = given.unwrap_or_else(JsonText::null);
    let most = engine.settings().tasks.input_max_bytes;
    if json.len() <= most {
        return Ok(json);
    }
    let rule = format!("must not be larger than {most} bytes, not {}", json.len());
    Err(Problem::broken(Code::InvalidBody, pointer, rule))
}
