//! Query parameters: each is taken once, and what nobody took is a fault.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use orchestratum_core::task::{Violations, json_pointer};

use crate::problem::{Code, Problem, Result};

/// Of the items of a page.
const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 200;

/// The parameters of a query that have not been taken yet.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        Ok(Self::of(parts))
    }
}

impl Parameters {
    pub(crate) fn of(parts: &Parts) -> Self {
        // Pairs of texts are read from any query.
        Self(Query::try_from_uri(&parts.uri).map_or_else(|_| Vec::new(), |Query(pairs)| pairs))
    }

    /// The value of a parameter.
    pub(crate) fn take<T: FromStr>(&mut self, name: &str, rule: &str) -> Result<Option<T>> {
        let Some(text) = self.take_text(name)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|_| broken(name, format!("{rule}, not {text:?}")))
    }

    /// The same, where the type says its rule by itself.
    pub(crate) fn take_strict<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>> {
        let Some(text) = self.take_text(name)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|error| broken(name, format!("{error}, not {text:?}")))
    }

    /// `limit`: how many items a page has at most.
    pub(crate) fn take_limit(&mut self) -> Result<usize> {
        let rule = format!("must be a whole number from 1 to {LIMIT_MAX}");
        let limit = self.take::<usize>("limit", &rule)?.unwrap_or(LIMIT_DEFAULT);
        if (1..=LIMIT_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(broken("limit", format!("{rule}, not {limit}")))
        }
    }

    fn take_text(&mut self, name: &str) -> Result<Option<String>> {
        let mut found = self
            .0
            .extract_if(.., |(given, _)| given == name)
            .map(|(_, value)| value);
        let first = found.next();
        match found.next() {
            Some(_) => Err(broken(name, "must be given once")),
            None => Ok(first),
        }
    }

    /// All parameters `prefix.KEY`.
    pub(crate) fn take_map(&mut self, prefix: &str) -> Result<BTreeMap<String, String>> {
        let mut map = BTreeMap::new();
        let matching = |(name, _): &mut (String, String)| name.starts_with(prefix);
        for (name, value) in self.0.extract_if(.., matching) {
            let key = name[prefix.len()..].to_owned();
            if key.is_empty() || key.contains('\0') || value.contains('\0') {
                return Err(broken(&name, "must have a key, and no U+0000"));
            }
            if map.insert(key, value).is_some() {
                return Err(broken(&name, "must be given once"));
            }
        }
        Ok(map)
    }

    /// # Errors
    /// A problem that names every parameter nobody took, and those that exist.
    pub(crate) fn finish(self, known: &[&str]) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut violations = Violations::default();
        for (name, _) in self.0 {
            let known = if known.is_empty() {
                "none".to_owned()
            } else {
                known.join(", ")
            };
            violations.add(
                json_pointer(&name),
                format!("is no parameter of this call; it takes {known}"),
            );
        }
        Err(Problem::invalid(Code::InvalidQuery, violations))
    }
}

pub(crate) fn broken(name: &str, message: impl Into<String>) -> Problem {
    Problem::broken(Code::InvalidQuery, json_pointer(name), message)
}
