//! Licence expressions (SPDX): `(MIT OR Apache-2.0) AND Unicode-3.0`.

use anyhow::{Context, Result, bail};

/// Whether what is allowed suffices to use something under this expression.
pub(super) fn holds(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    // Before there was a standard, cargo took a slash for `OR`.
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = Words {
        all: spaced.split_whitespace().collect(),
        next: 0,
        allowed,
    };
    let answer = words
        .any()
        .with_context(|| format!("`{expression}` is not a licence expression"))?;
    if words.peek().is_some() {
        bail!("`{expression}` is not a licence expression");
    }
    Ok(answer)
}

struct Words<'a> {
    all: Vec<&'a str>,
    next: usize,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Words<'a> {
    fn any(&mut self) -> Option<bool> {
        let mut answer = self.all()?;
        while self.take("OR") {
            answer |= self.all()?;
        }
        Some(answer)
    }

    /// `AND` binds closer than `OR`.
    fn all(&mut self) -> Option<bool> {
        let mut answer = self.term()?;
        while self.take("AND") {
            answer &= self.term()?;
        }
        Some(answer)
    }

    fn term(&mut self) -> Option<bool> {
        if self.take("(") {
            let answer = self.any()?;
            return self.take(")").then_some(answer);
        }
        let license = self.advance()?;
        if !self.take("WITH") {
            return Some((self.allowed)(license));
        }
        // An exception gives more rights, but is a term of its own: it must be listed as such.
        let exception = self.advance()?;
        Some((self.allowed)(&format!("{license} WITH {exception}")))
    }

    fn peek(&self) -> Option<&'a str> {
        self.all.get(self.next).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.next += usize::from(found);
        found
    }

    fn advance(&mut self) -> Option<&'a str> {
        let word = self.peek()?;
        self.next += 1;
        let is_name = word
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-.+".contains(letter));
        (is_name && !["AND", "OR", "WITH"].contains(&word)).then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_mit(expression: &str) -> bool {
        holds(expression, &|license| license == "MIT").expect("the expression is well formed")
    }

    #[test]
    fn one_allowed_alternative_suffices() {
        for expression in [
            "MIT",
            "GPL-3.0 OR MIT",
            "Apache-2.0/MIT",
            "Apache-2.0 WITH LLVM-exception OR MIT",
        ] {
            assert!(with_mit(expression), "{expression}");
        }
    }

    #[test]
    fn every_part_that_is_required_must_be_allowed() {
        for expression in [
            "MIT AND ISC",
            "(MIT OR ISC) AND ISC",
            "ISC AND MIT OR GPL-3.0",
            "MIT WITH some-exception",
        ] {
            assert!(!with_mit(expression), "{expression}");
        }
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        for expression in ["", "MIT OR", "(MIT", "MIT ISC", "see file"] {
            assert!(holds(expression, &|_| true).is_err(), "{expression}");
        }
    }
}
