//! The ceiling: the product's own statements for claiming and finishing, driven by pgbench with nothing around them.
//!
//! The texts are those of the store. Only the end of the claim differs: its rows are gathered into arrays, which the finish
//! then takes as its parameters, as pgbench has variables and no loops over rows.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use orchestratum_store::statements;
use sqlx::postgres::PgConnection;

use super::Stretch;
use super::orchestratum::{Deployment, Work};
use crate::bench::Bench;
use crate::machine::Program;
use crate::measures::fill;
use crate::results::System;

const CONNECTIONS: u32 = 2;
const BATCH: u32 = 100;
const WORKER: &str = "00000000-0000-7000-8000-000000000001";
const LIMIT: Duration = Duration::from_secs(300);

pub(crate) fn locate() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("pgbench"));
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let of_debian = versions.map(|version| version.path().join("bin").join("pgbench"));
    let mut candidates = on_path.chain(of_debian);
    candidates
        .find(|candidate| candidate.is_file())
        .context("the benchmark needs pgbench, which comes with PostgreSQL (postgresql-contrib where it is apart)")
}

/// Drains so many tasks that the product created on its own schema.
pub(crate) async fn drain(bench: &Bench, tasks: u32) -> Result<Stretch> {
    let mut deployment = Deployment::start(bench, System::PostgresAlone).await?;
    let tasks = tasks / (CONNECTIONS * BATCH) * (CONNECTIONS * BATCH);
    fill(&deployment, Work::Echo, tasks).await?;
    // Its loops would do work that is none of the statements'.
    deployment.end();
    let database = deployment.database()?;
    let mut connection = database.connect().await?;
    register_worker(&mut connection).await?;
    bench.postgres.checkpoint().await?;

    let folder = bench.new_folder()?;
    let script = folder.join("drain.sql");
    tokio::fs::write(&script, script_text()?)
        .await
        .context("cannot write the script")?;
    let mut url = database.url.clone();
    url.query_pairs_mut()
        .append_pair("options", "-csearch_path=orchestratum,public");
    let transactions = tasks / (CONNECTIONS * BATCH);
    let mut command = Command::new(&bench.pgbench);
    command
        .args(["--no-vacuum", "--protocol=prepared"])
        .arg(format!("--client={CONNECTIONS}"))
        .arg(format!("--jobs={CONNECTIONS}"))
        .arg(format!("--transactions={transactions}"))
        .arg("--file")
        .arg(&script)
        // A `+` is a space in a form, but not in a URL of libpq.
        .arg(url.as_str().replace('+', "%20"));
    Program::start("pgbench", command, &folder)?.finish(LIMIT).await?;
    let stretch = deployment.records().await?.drained(tasks).await?;
    drop(connection);
    deployment.remove().await?;
    Ok(stretch)
}

async fn register_worker(connection: &mut PgConnection) -> Result<()> {
    sqlx::query(
        "INSERT INTO workers (
            id, name, targets, names, capacity, isolation, environments, version, lease_ms, registered_at, state,
            renewed_at, lease_expires_at
        )
        VALUES (
            $1::text::uuid, 'pgbench', '{default}', '{echo}', 256, '', '{}', '', 3600000, now(), 0, now(),
            now() + interval '1 hour'
        )",
    )
    .bind(WORKER)
    .execute(connection)
    .await
    .context("cannot register a worker for pgbench")?;
    Ok(())
}

fn script_text() -> Result<String> {
    let claim = gathered(&without_comments(statements::CLAIM_AND_FILL_UP))?;
    let claim = with_values(
        &claim,
        &[
            &format!("'{WORKER}'::uuid"),
            "now()",
            "'{default}'",
            "'{echo}'",
            "'{}'",
            &format!("{BATCH}::bigint"),
        ],
    );
    let complete = with_values(
        &without_comments(statements::COMPLETE),
        &[":ids", ":attempts", ":outputs", ":exit_codes", ":peaks", "now()"],
    );
    let mut script = String::new();
    writeln!(script, "{claim}\n\\gset\n{complete};")?;
    Ok(script)
}

/// pgbench would put values into them, too.
fn without_comments(statement: &str) -> String {
    let lines = statement.lines().filter(|line| !line.trim_start().starts_with("--"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The claim with its rows gathered into one: its last SELECT becomes one more part of the WITH. The first two columns of
/// an answer are the task and the attempt, whatever they are called.
fn gathered(claim: &str) -> Result<String> {
    let last = "\n    )\n    SELECT";
    let (parts, select) = claim
        .rsplit_once(last)
        .context("the claim is a WITH that a SELECT ends")?;
    Ok(format!(
        "{parts}
    ),
    answer (id, attempt) AS (
    SELECT{select}
    )
    SELECT
        coalesce(array_agg(id), '{{}}') AS ids,
        coalesce(array_agg(attempt), '{{}}') AS attempts,
        coalesce(array_agg(input), '{{}}') AS outputs,
        coalesce(array_agg(NULL::integer), '{{}}') AS exit_codes,
        coalesce(array_agg(NULL::bigint), '{{}}') AS peaks
    FROM answer"
    ))
}

/// Puts values where the parameters are; the last first, so that `$1` is not found in `$10`.
fn with_values(statement: &str, values: &[&str]) -> String {
    let numbered = values.iter().enumerate().rev();
    numbered.fold(statement.to_owned(), |text, (index, value)| {
        text.replace(&format!("${}", index + 1), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_has_both_statements_with_values() {
        let script = script_text().expect("the claim ends in a SELECT");
        assert!(
            script.contains("DELETE FROM dispatches") && script.contains("INSERT INTO attempts"),
            "{script}"
        );
        assert!(!script.contains('$'), "a parameter has no value: {script}");
        assert!(!script.contains("--"), "a comment is left: {script}");
    }
}
