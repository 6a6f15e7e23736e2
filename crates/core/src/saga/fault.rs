//! What is wrong with a definition, and where.

use std::fmt;

use crate::suggestion::closest;
use crate::task::Violations;

/// How many faults are told: whoever made more has enough to mend. It also bounds what one hostile text can make of an answer.
pub(super) const FAULTS_MAX_COUNT: usize = 100;

/// The most of a name or a text that a message repeats, in characters.
const SHOWN_MAX_CHARACTERS: usize = 80;

/// A place in a text, as editors count: both from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    /// Where a text begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One thing that is wrong, or doubtful, in a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// A JSON pointer (RFC 6901) into the definition.
    pub pointer: String,
    /// `None` where the definition never was a text.
    pub place: Option<Place>,
    pub message: String,
    /// The name that was probably meant.
    pub suggestion: Option<String>,
}

impl Fault {
    /// One without a place.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            place: None,
            message: message.into(),
            suggestion: None,
        }
    }

    /// The same fault at a place.
    #[must_use]
    pub(super) fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The same fault with the name of those that is most like the wrong one, if any is.
    #[must_use]
    pub(super) fn meant<'a>(mut self, wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.suggestion = closest(wrong, names).map(str::to_owned);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        // The whole has no pointer.
        if !self.pointer.is_empty() {
            write!(f, "{} ", self.pointer)?;
        }
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(name) => write!(f, "; did you mean {name}?"),
            None => Ok(()),
        }
    }
}

/// Every fault of a definition, so that its author mends them in one go; of very many, the first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        if !self.is_full() {
            self.0.push(fault);
        }
    }

    pub(super) fn extend(&mut self, more: Self) {
        for fault in more.0 {
            self.add(fault);
        }
    }

    /// Those of a task in the definition, which lies there.
    pub(super) fn extend_below(&mut self, pointer: &str, broken: Violations) {
        for violation in broken.0 {
            self.add(Fault::new(format!("{pointer}{}", violation.pointer), violation.message));
        }
    }

    /// Whether another would not be told: nobody needs to look for what was meant by it.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= FAULTS_MAX_COUNT
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

/// A text as a message repeats it.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_MAX_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_told_with_its_place_its_pointer_and_what_was_meant() {
        let fault = Fault::new("/states/A/traget", "is no field of a state")
            .at(Place { line: 3, column: 5 })
            .meant("traget", ["tasks", "target"]);
        assert_eq!(
            fault.to_string(),
            "line 3, column 5: /states/A/traget is no field of a state; did you mean target?"
        );
        assert_eq!(Fault::new("", "is empty").to_string(), "is empty");
    }

    #[test]
    fn faults_are_bounded_and_long_texts_shortened() {
        let mut faults = Faults::default();
        for _ in 0..=FAULTS_MAX_COUNT {
            faults.add(Fault::new("/x", "is wrong"));
        }
        assert_eq!(faults.0.len(), FAULTS_MAX_COUNT);
        assert_eq!(shown("short"), "short");
        assert_eq!(shown(&"é".repeat(100)), format!("{}…", "é".repeat(80)));
    }
}
