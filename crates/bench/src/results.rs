//! The raw figures, and what is read from them.

use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::Serialize;

use crate::arguments::Measure;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum System {
    PostgresRabbitmq,
    PostgresAlone,
    Sqlite,
    Celery,
    CeleryResults,
    CeleryInterpreter,
    Bubblewrap,
    WarmFork,
    DotnetCold,
    Sandbox,
    Pgbench,
    Restate,
    Dbos,
}

impl System {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::PostgresRabbitmq => "PostgreSQL + RabbitMQ",
            Self::PostgresAlone => "PostgreSQL alone",
            Self::Sqlite => "SQLite",
            Self::Celery => "Celery, no results",
            Self::CeleryResults => "Celery, PostgreSQL results",
            Self::CeleryInterpreter => "Celery, new interpreter a task",
            Self::Bubblewrap => "bubblewrap and a new interpreter a task",
            Self::WarmFork => "fork of a warm interpreter a task",
            Self::DotnetCold => "dotnet, a new compiler and runtime a task",
            Self::Sandbox => "the sandbox alone",
            Self::Pgbench => "the statements alone (pgbench)",
            Self::Restate => "Restate",
            Self::Dbos => "DBOS",
        }
    }
}

impl Serialize for System {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) measure: Measure,
    pub(crate) system: System,
    /// With its unit at the end.
    pub(crate) figure: &'static str,
}

/// What could not be measured, and why: whoever looks for a figure is to find that.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) measure: Measure,
    pub(crate) system: System,
    pub(crate) reason: String,
}

/// Every figure of every repeat.
#[derive(Debug, Default)]
pub(crate) struct Results {
    samples: BTreeMap<Key, Vec<f64>>,
    left_out: Vec<LeftOut>,
}

impl Results {
    pub(crate) fn add(&mut self, measure: Measure, system: System, figure: &'static str, value: f64) {
        let key = Key {
            measure,
            system,
            figure,
        };
        self.samples.entry(key).or_default().push(value);
    }

    /// Told once, however often it is repeated.
    pub(crate) fn leave_out(&mut self, measure: Measure, system: System, reason: &str) {
        let left_out = LeftOut {
            measure,
            system,
            reason: reason.to_owned(),
        };
        if !self.left_out.contains(&left_out) {
            self.left_out.push(left_out);
        }
    }

    pub(crate) fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    pub(crate) fn median(&self, measure: Measure, system: System, figure: &'static str) -> Option<f64> {
        let key = Key {
            measure,
            system,
            figure,
        };
        self.samples.get(&key).map(|samples| median(samples))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &[f64])> {
        self.samples.iter().map(|(key, samples)| (key, samples.as_slice()))
    }
}

pub(crate) fn median(samples: &[f64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// The value that the given part of the samples does not exceed.
pub(crate) fn quantile(samples: &[f64], part: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is within the number of samples"
    )]
    let rank = (sorted.len() as f64 * part).ceil() as usize;
    sorted
        .get(rank.clamp(1, sorted.len().max(1)) - 1)
        .copied()
        .unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_is_between_the_two_in_the_middle() {
        assert!((median(&[4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < f64::EPSILON);
        assert!((median(&[5.0, 1.0, 3.0]) - 3.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_quantile_is_one_of_the_samples() {
        let samples: Vec<f64> = (1..=100).map(f64::from).collect();
        assert!((quantile(&samples, 0.5) - 50.0).abs() < f64::EPSILON);
        assert!((quantile(&samples, 0.99) - 99.0).abs() < f64::EPSILON);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
