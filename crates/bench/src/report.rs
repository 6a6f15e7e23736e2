//! The figures for people, and for programs.

use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::presets::ASCII_MARKDOWN;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::arguments::{Arguments, Measure, Sizes};
use crate::bench::Bench;
use crate::goals::{Limit, Verdict};
use crate::machine::Facts;
use crate::results::{LeftOut, Results, System, median};
use crate::systems::bubblewrap::Bubblewrap;
use crate::systems::dbos::Dbos;
use crate::systems::dotnet::Dotnet;
use crate::systems::restate::Restate;

/// Markdown, so that the tables can be pasted into a page as they are.
pub(crate) fn tables(results: &Results, verdicts: &[Verdict]) -> String {
    let left_out = match results.left_out() {
        [] => String::new(),
        some => format!("\n{}\n", left_out(some)),
    };
    format!("\n{}\n\n{}\n{left_out}", figures(results), goals(verdicts))
}

fn left_out(left_out: &[LeftOut]) -> Table {
    let mut table = table(&["left out", "system", "because"], 3);
    for LeftOut {
        measure,
        system,
        reason,
    } in left_out
    {
        table.add_row([format!("{measure:?}"), system.label().to_owned(), reason.clone()]);
    }
    table
}

fn figures(results: &Results) -> Table {
    let mut table = table(&["measure", "system", "figure", "median", "least", "most", "runs"], 3);
    for (key, samples) in results.iter() {
        let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
        let most = samples.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        table.add_row([
            format!("{:?}", key.measure),
            key.system.label().to_owned(),
            key.figure.to_owned(),
            number(median(samples)),
            number(least),
            number(most),
            samples.len().to_string(),
        ]);
    }
    table
}

fn goals(verdicts: &[Verdict]) -> Table {
    let mut table = table(&["ratio or figure", "ours", "reference", "value", "goal", "reached"], 1);
    for verdict in verdicts {
        table.add_row([
            verdict.goal.clone(),
            number(verdict.ours),
            verdict.reference.map(number).unwrap_or_default(),
            number(verdict.value),
            match verdict.limit {
                Limit::AtLeast(least) => format!("at least {least}"),
                Limit::AtMost(most) => format!("at most {most}"),
            },
            if verdict.reached { "yes" } else { "NO" }.to_owned(),
        ]);
    }
    table
}

fn table(header: &[&str], first_number: usize) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(first_number) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// With as many digits as mean something.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[derive(Serialize)]
struct Saved<'a> {
    machine: &'a Facts,
    versions: Versions<'a>,
    postgres: serde_json::Value,
    scale: f64,
    sizes: Sizes,
    repeats: u32,
    goals: &'a [Verdict],
    figures: Vec<SavedFigure<'a>>,
    left_out: &'a [LeftOut],
}

#[derive(Serialize)]
struct Versions<'a> {
    orchestratum: &'a str,
    rabbitmq: &'a str,
    celery: &'a str,
    python: &'a str,
    bubblewrap: Option<&'a str>,
    csharp: Option<&'a str>,
    restate: Option<&'a str>,
    dbos: Option<&'a str>,
}

#[derive(Serialize)]
struct SavedFigure<'a> {
    measure: Measure,
    system: System,
    figure: &'a str,
    median: f64,
    samples: &'a [f64],
}

pub(crate) async fn save(
    path: &Path,
    bench: &Bench,
    arguments: &Arguments,
    results: &Results,
    verdicts: &[Verdict],
) -> Result<()> {
    let celery = bench.celery.versions();
    let saved = Saved {
        machine: &bench.facts,
        versions: Versions {
            orchestratum: env!("CARGO_PKG_VERSION"),
            rabbitmq: bench.rabbitmq.version(),
            celery: &celery.celery,
            python: &celery.python,
            bubblewrap: bench.bubblewrap.as_ref().ok().map(Bubblewrap::version),
            csharp: bench.dotnet.as_ref().ok().map(Dotnet::versions),
            restate: bench.restate.as_ref().ok().map(Restate::versions),
            dbos: bench.dbos.as_ref().ok().map(Dbos::version),
        },
        postgres: serde_json::to_value(bench.postgres.facts())?,
        scale: arguments.scale,
        sizes: bench.sizes,
        repeats: bench.repeats,
        goals: verdicts,
        figures: results
            .iter()
            .map(|(key, samples)| SavedFigure {
                measure: key.measure,
                system: key.system,
                figure: key.figure,
                median: median(samples),
                samples,
            })
            .collect(),
        left_out: results.left_out(),
    };
    let text = serde_json::to_string_pretty(&saved)? + "\n";
    tokio::fs::write(path, text)
        .await
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_about_three_digits() {
        assert_eq!(number(12_345.6), "12346");
        assert_eq!(number(12.345), "12.3");
        assert_eq!(number(1.2345), "1.23");
        assert_eq!(number(0.123_45), "0.123");
    }

    #[test]
    fn the_tables_are_markdown() {
        let mut results = Results::default();
        results.add(Measure::Drain, System::Celery, "tasks/s", 2_000.0);
        results.leave_out(Measure::Csharp, System::DotnetCold, "there is none");
        let text = tables(&results, &[]);
        assert!(text.contains("| Drain") && text.contains("| there is none"), "{text}");
        assert!(
            text.lines()
                .filter(|line| !line.is_empty())
                .all(|line| line.starts_with('|')),
            "{text}"
        );
    }
}
