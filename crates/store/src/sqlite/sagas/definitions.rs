//! Definitions and their versions.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;

use orchestratum_core::Timestamp;
use orchestratum_core::saga::{CompiledDefinition, DefinitionName, EventName};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{get, json, number, signed, timestamp};
use super::super::tasks::insert_audit;
use super::read::state;
use super::row::definition_name;
use crate::compiled::{Definitions, Version, not_compiled};
use crate::decide::{Beginning, Compiled};
use crate::{Audit, DefinitionHead, DefinitionVersion, Error, NewDefinition, StoredDefinition};

const TABLE: &str = "saga_definitions";

pub(super) async fn put(
    store: &SqliteStore,
    definition: &NewDefinition,
    audit: &Audit,
    now: Timestamp,
) -> Result<DefinitionVersion, Error> {
    let name = &definition.name;
    let mut transaction = store.begin().await?;
    let newest =
        sqlx::query("SELECT version, fingerprint FROM saga_definitions WHERE name = ?1 ORDER BY version DESC LIMIT 1")
            .bind(name.as_str())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(sql)?;
    let version = match &newest {
        None => 1,
        Some(row) => {
            let version: u32 = number(row, TABLE, "version", name)?;
            if get::<&[u8]>(row, "fingerprint")? == definition.fingerprint {
                return Ok(DefinitionVersion { version, is_new: false });
            }
            version + 1
        }
    };
    sqlx::query(
        "INSERT INTO saga_definitions (name, version, fingerprint, source, canonical, starting_events, created_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(name.as_str())
    .bind(version)
    .bind(definition.fingerprint.as_slice())
    .bind(&definition.source)
    .bind(&definition.canonical)
    .bind(json(&definition.starting_events))
    .bind(now.as_micros())
    .execute(&mut *transaction)
    .await
    .map_err(sql)?;
    let audit = audit.about(&format!("{name}/{version}"));
    insert_audit(&mut transaction, None, &audit, now).await?;
    transaction.commit().await.map_err(sql)?;
    Ok(DefinitionVersion { version, is_new: true })
}

pub(super) async fn definition(
    store: &SqliteStore,
    name: &DefinitionName,
    version: Option<u32>,
) -> Result<Option<StoredDefinition>, Error> {
    let row = sqlx::query(
        "SELECT name, version, source, canonical, created_at
         FROM saga_definitions
         WHERE name = ?1 AND (?2 IS NULL OR version = ?2)
         ORDER BY version DESC
         LIMIT 1",
    )
    .bind(name.as_str())
    .bind(version)
    .fetch_optional(&store.read)
    .await
    .map_err(sql)?;
    let Some(row) = row else { return Ok(None) };
    let DefinitionHead {
        name,
        version,
        created_at,
    } = head(&row)?;
    Ok(Some(StoredDefinition {
        name,
        version,
        source: get(&row, "source")?,
        canonical: get(&row, "canonical")?,
        created_at,
    }))
}

fn head(row: &SqliteRow) -> Result<DefinitionHead, Error> {
    let name = definition_name(row, TABLE, "name")?;
    Ok(DefinitionHead {
        version: number(row, TABLE, "version", &name)?,
        name,
        created_at: timestamp(row, "created_at")?,
    })
}

pub(super) async fn definitions(
    store: &SqliteStore,
    after: Option<&DefinitionName>,
    limit: usize,
) -> Result<Vec<DefinitionHead>, Error> {
    let rows = sqlx::query(
        "SELECT d.name, d.version, d.created_at
         FROM (
             SELECT name, max(version) AS version
             FROM saga_definitions
             WHERE name > ?1
             GROUP BY name
             ORDER BY name
             LIMIT ?2
         ) n
         CROSS JOIN saga_definitions d ON d.name = n.name AND d.version = n.version
         ORDER BY d.name",
    )
    // Every name is greater than none.
    .bind(after.map_or("", DefinitionName::as_str))
    .bind(signed(limit))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    rows.iter().map(head).collect()
}

pub(super) async fn versions(
    store: &SqliteStore,
    name: &DefinitionName,
    before: Option<u32>,
    limit: usize,
) -> Result<Vec<DefinitionHead>, Error> {
    let rows = sqlx::query(
        "SELECT name, version, created_at
         FROM saga_definitions
         WHERE name = ?1 AND (?2 IS NULL OR version < ?2)
         ORDER BY version DESC
         LIMIT ?3",
    )
    .bind(name.as_str())
    .bind(before)
    .bind(signed(limit))
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    rows.iter().map(head).collect()
}

pub(super) async fn starting_on(store: &SqliteStore, event: &EventName) -> Result<Vec<DefinitionName>, Error> {
    let rows = sqlx::query(
        "SELECT d.name
         FROM (SELECT name, max(version) AS version FROM saga_definitions GROUP BY name) n
         CROSS JOIN saga_definitions d ON d.name = n.name AND d.version = n.version
         WHERE ?1 IN (SELECT value FROM json_each(d.starting_events))
         ORDER BY d.name",
    )
    .bind(event.as_str())
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    rows.iter().map(|row| definition_name(row, TABLE, "name")).collect()
}

pub(super) async fn defined_of(
    store: &SqliteStore,
    names: &[DefinitionName],
) -> Result<BTreeSet<DefinitionName>, Error> {
    let rows =
        sqlx::query("SELECT DISTINCT name FROM saga_definitions WHERE name IN (SELECT value FROM json_each(?1))")
            .bind(json(names))
            .fetch_all(&store.read)
            .await
            .map_err(sql)?;
    rows.iter().map(|row| definition_name(row, TABLE, "name")).collect()
}

/// The newest version of each of these definitions; those that do not exist are left out.
pub(super) async fn newest(
    connection: &mut SqliteConnection,
    names: &[&DefinitionName],
) -> Result<HashMap<DefinitionName, u32>, Error> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT name, max(version) AS version
         FROM saga_definitions
         WHERE name IN (SELECT value FROM json_each(?1))
         GROUP BY name",
    )
    .bind(json(names))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    rows.iter()
        .map(|row| {
            let name = definition_name(row, TABLE, "name")?;
            let version = number(row, TABLE, "version", &name)?;
            Ok((name, version))
        })
        .collect()
}

/// What children of these definitions begin with; those that do not exist are left out.
pub(super) async fn beginnings(
    connection: &mut SqliteConnection,
    names: &[&DefinitionName],
) -> Result<HashMap<DefinitionName, Beginning>, Error> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query(
        "SELECT d.name, d.version, json_extract(d.canonical, '$.initial') AS initial
         FROM (
             SELECT name, max(version) AS version
             FROM saga_definitions
             WHERE name IN (SELECT value FROM json_each(?1))
             GROUP BY name
         ) n
         CROSS JOIN saga_definitions d ON d.name = n.name AND d.version = n.version",
    )
    .bind(json(names))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    let beginning = |row: &SqliteRow| {
        let name = definition_name(row, TABLE, "name")?;
        let beginning = Beginning {
            version: number(row, TABLE, "version", &name)?,
            initial: state(row, TABLE, "initial", &name)?,
        };
        Ok((name, beginning))
    };
    rows.iter().map(beginning).collect()
}

/// These versions, ready to run. One that does not exist is left out.
///
/// # Errors
/// [`Error::NotCompiled`] where some are to be compiled first, [`Error::TooMuchAtOnce`] where those are too large together.
pub(super) async fn compiled(
    connection: &mut SqliteConnection,
    definitions: &Definitions,
    wanted: impl IntoIterator<Item = Version>,
) -> Result<Compiled, Error> {
    let (compiled, missing) = definitions.ready(wanted);
    // Seldom: once for each version and process.
    let mut sizes = Vec::new();
    for (name, version) in missing {
        let size: Option<i64> =
            sqlx::query_scalar("SELECT octet_length(canonical) FROM saga_definitions WHERE name = ?1 AND version = ?2")
                .bind(name.as_str())
                .bind(version)
                .fetch_optional(&mut *connection)
                .await
                .map_err(sql)?;
        let size = size.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        sizes.extend(size.map(|size| ((name, version), size)));
    }
    not_compiled(sizes)?;
    Ok(compiled)
}

/// Does what needs definitions; those that it misses are compiled while nothing is locked.
pub(super) async fn with_definitions<Answer, Performing>(
    store: &SqliteStore,
    perform: impl Fn(Definitions) -> Performing,
) -> Result<Answer, Error>
where
    Performing: Future<Output = Result<Answer, Error>>,
{
    let compile = |(name, version)| async move { compiled_one(store, &name, version).await };
    crate::compiled::with_definitions(&store.compiled, perform, compile).await
}

/// One of them, outside of any transaction.
pub(super) async fn compiled_one(
    store: &SqliteStore,
    name: &DefinitionName,
    version: u32,
) -> Result<Option<Arc<CompiledDefinition>>, Error> {
    if let Some(kept) = store.compiled.one(name, version) {
        return Ok(Some(kept));
    }
    let Some(stored) = definition(store, name, Some(version)).await? else {
        return Ok(None);
    };
    let compiling = store.compiled.compile(name, version, stored.canonical);
    compiling.await.map(Some)
}
