//! What was looked at, and what was seen.

use serde_json::{Value, json};

use crate::output::{self, one_line};

/// How a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    /// It works with less than it might.
    Warning,
    Wrong,
    /// What it needs is wrong already.
    NotLookedAt,
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Wrong => "wrong",
            Self::NotLookedAt => "not looked at",
        }
    }
}

#[derive(Debug)]
struct Part {
    name: &'static str,
    state: State,
    says: String,
}

/// The parts in their order. As text each is shown as soon as it is known, as JSON all of them at the end.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    parts: Vec<Part>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self {
            json,
            parts: Vec::new(),
        }
    }

    pub(super) fn ok(&mut self, name: &'static str, says: impl AsRef<str>) -> anyhow::Result<()> {
        self.add(name, State::Ok, says.as_ref())
    }

    pub(super) fn warning(&mut self, name: &'static str, says: impl AsRef<str>) -> anyhow::Result<()> {
        self.add(name, State::Warning, says.as_ref())
    }

    pub(super) fn wrong(&mut self, name: &'static str, says: impl AsRef<str>) -> anyhow::Result<()> {
        self.add(name, State::Wrong, says.as_ref())
    }

    /// These need `what`, which is wrong.
    pub(super) fn not_looked_at(&mut self, names: &[&'static str], what: &str) -> anyhow::Result<()> {
        for name in names {
            self.add(name, State::NotLookedAt, &format!("it needs {what}"))?;
        }
        Ok(())
    }

    fn add(&mut self, name: &'static str, state: State, says: &str) -> anyhow::Result<()> {
        let part = Part {
            name,
            state,
            says: one_line(says),
        };
        if !self.json {
            output::line(&part.line())?;
        }
        self.parts.push(part);
        Ok(())
    }

    /// Shows what is left to show; whether nothing is wrong.
    pub(super) fn end(self) -> anyhow::Result<bool> {
        let count = |state: State| self.parts.iter().filter(|part| part.state == state).count();
        let (wrong, warnings) = (count(State::Wrong), count(State::Warning));
        if self.json {
            let parts: Vec<Value> = self.parts.iter().map(Part::json).collect();
            output::json(&json!({"ok": wrong == 0, "parts": parts}))?;
        } else if wrong == 0 && self.parts.iter().all(|part| part.state == State::Ok) {
            output::line("Everything is as it should be.")?;
        } else {
            output::line(&summary(wrong, warnings))?;
        }
        Ok(wrong == 0)
    }
}

fn summary(wrong: usize, warnings: usize) -> String {
    let wrong = match wrong {
        0 => "Nothing is wrong".to_owned(),
        1 => "1 part is wrong".to_owned(),
        several => format!("{several} parts are wrong"),
    };
    match warnings {
        0 => format!("{wrong}."),
        1 => format!("{wrong}; there is 1 warning."),
        several => format!("{wrong}; there are {several} warnings."),
    }
}

impl Part {
    fn line(&self) -> String {
        let Self { name, state, says } = self;
        match (state, says.as_str()) {
            (State::Ok, "") => format!("{name:<11} ok"),
            (State::Ok, says) => format!("{name:<11} ok, {says}"),
            (state, says) => format!("{name:<11} {}: {says}", state.as_str()),
        }
    }

    fn json(&self) -> Value {
        json!({"part": self.name, "state": self.state.as_str(), "says": self.says})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_counts_what_is_wrong_and_what_is_warned_of() {
        for (wrong, warnings, expected) in [
            (0, 0, "Nothing is wrong."),
            (0, 2, "Nothing is wrong; there are 2 warnings."),
            (1, 0, "1 part is wrong."),
            (4, 1, "4 parts are wrong; there is 1 warning."),
        ] {
            assert_eq!(summary(wrong, warnings), expected);
        }
    }

    #[test]
    fn a_part_is_one_line_with_what_it_says() {
        for (state, says, expected) in [
            (State::Ok, "", "schema      ok"),
            (State::Ok, "as new", "schema      ok, as new"),
            (State::Wrong, "old", "schema      wrong: old"),
            (
                State::NotLookedAt,
                "it needs the database",
                "schema      not looked at: it needs the database",
            ),
        ] {
            let part = Part {
                name: "schema",
                state,
                says: says.to_owned(),
            };
            assert_eq!(part.line(), expected);
        }
    }
}
