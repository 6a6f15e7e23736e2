//! The body of a hint: `{"task": "…", "name": "…"}`. The target is the queue's.

use orchestratum_core::{Target, TaskId, TaskName};
use serde::{Deserialize, Serialize};

use crate::Hint;

/// Ours are about 100 bytes; a newer version may add fields.
const MAXIMUM_LENGTH: usize = 64 * 1024;

#[derive(Serialize)]
struct Written<'a> {
    task: TaskId,
    name: &'a TaskName,
}

/// Fields we do not know are left to those who do.
#[derive(Deserialize)]
struct Read {
    task: TaskId,
    name: TaskName,
}

/// Why a body is not a hint. No retry makes it one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Poison {
    Empty,
    TooLarge,
    NotJson,
    NotAHint,
}

impl Poison {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge => "too_large",
            Self::NotJson => "not_json",
            Self::NotAHint => "not_a_hint",
        }
    }
}

pub(super) fn write(hint: &Hint) -> Vec<u8> {
    let written = Written {
        task: hint.task,
        name: &hint.name,
    };
    serde_json::to_vec(&written).expect("a uuid and a name are always JSON")
}

pub(super) fn read(body: &[u8], target: &Target) -> Result<Hint, Poison> {
    if body.is_empty() {
        return Err(Poison::Empty);
    }
    if body.len() > MAXIMUM_LENGTH {
        return Err(Poison::TooLarge);
    }
    let Read { task, name } = serde_json::from_slice(body).map_err(|error| {
        if error.is_data() {
            Poison::NotAHint
        } else {
            Poison::NotJson
        }
    })?;
    Ok(Hint {
        task,
        target: target.clone(),
        name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint() -> Hint {
        Hint {
            task: TaskId(uuid::Uuid::from_u128(7)),
            target: Target::new("mail").expect("a plain name"),
            name: TaskName::new("email.send").expect("a plain name"),
        }
    }

    #[test]
    fn a_hint_is_read_as_it_was_written() {
        assert_eq!(read(&write(&hint()), &hint().target), Ok(hint()));
    }

    #[test]
    fn a_hint_of_a_newer_version_is_read() {
        let body = format!(
            r#"{{"version":9,"task":"{}","name":"email.send","more":[1]}}"#,
            hint().task
        );
        assert_eq!(read(body.as_bytes(), &hint().target), Ok(hint()));
    }

    #[test]
    fn what_is_not_a_hint_is_named() {
        let (nested, large) = ("[".repeat(10_000), vec![b' '; MAXIMUM_LENGTH + 1]);
        let id = hint().task;
        let cases: [(&[u8], Poison); 10] = [
            (b"", Poison::Empty),
            (&large, Poison::TooLarge),
            (b"hello", Poison::NotJson),
            (b"\xff\xfe", Poison::NotJson),
            (b"\0", Poison::NotJson),
            (nested.as_bytes(), Poison::NotAHint),
            (b"{}", Poison::NotAHint),
            (b"[]", Poison::NotAHint),
            (br#"{"task":"not-an-id","name":"x"}"#, Poison::NotAHint),
            (br#"{"task":12,"name":"x"}"#, Poison::NotAHint),
        ];
        for (body, poison) in cases {
            assert_eq!(
                read(body, &hint().target),
                Err(poison),
                "{:?}",
                &body[..body.len().min(40)]
            );
        }
        let bad_name = format!(r#"{{"task":"{id}","name":"a b"}}"#);
        assert_eq!(read(bad_name.as_bytes(), &hint().target), Err(Poison::NotAHint));
    }
}
