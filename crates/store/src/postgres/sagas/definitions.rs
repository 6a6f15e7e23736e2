//! Definitions and their versions.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;

use orchestratum_core::Timestamp;
use orchestratum_core::saga::{CompiledDefinition, DefinitionName, EventName, StateName};
use sqlx::{FromRow, PgConnection};

use super::super::audit;
use super::super::database::{AfterUnknown, Database};
use super::super::rows::{Place, Time, int4, int8, time, timestamp};
use super::super::tasks::column;
use super::super::transaction::{Abort, Transaction};
use crate::compiled::{Definitions, Version, not_compiled};
use crate::decide::{Beginning, Compiled};
use crate::{Audit, DefinitionHead, DefinitionVersion, Error, NewDefinition, StoredDefinition};

pub(super) async fn put(
    database: &Database,
    definition: &NewDefinition,
    audit: &Audit,
    now: Timestamp,
) -> Result<DefinitionVersion, Error> {
    database
        .transact(Put {
            definition: definition.clone(),
            audit: audit.clone(),
            now,
        })
        .await
}

struct Put {
    definition: NewDefinition,
    audit: Audit,
    now: Timestamp,
}

impl Transaction for Put {
    type Output = DefinitionVersion;

    async fn perform(&self, connection: &mut PgConnection) -> Result<DefinitionVersion, Abort> {
        let name = self.definition.name.as_str();
        // Versions of one name are given one after the other, also where there is none yet.
        sqlx::query(
            "SELECT pg_advisory_xact_lock(hashtextextended(current_schema() || '/saga_definitions/' || $1, 0))",
        )
        .bind(name)
        .execute(&mut *connection)
        .await?;
        let newest: Option<(i32, Vec<u8>)> = sqlx::query_as(
            "SELECT version, fingerprint FROM saga_definitions WHERE name = $1 ORDER BY version DESC LIMIT 1",
        )
        .bind(name)
        .fetch_optional(&mut *connection)
        .await?;
        let place = Place {
            table: "saga_definitions",
            row: &name,
        };
        let newest =
            newest.map(|(version, fingerprint)| Ok::<_, Error>((place.number("version", version)?, fingerprint)));
        let newest: Option<(u32, Vec<u8>)> = newest.transpose()?;
        if let Some((version, fingerprint)) = &newest
            && *fingerprint == self.definition.fingerprint
        {
            return Ok(DefinitionVersion {
                version: *version,
                is_new: false,
            });
        }
        let version = newest.map_or(1, |(version, _)| version + 1);
        let starting = serde_json::to_string(&self.definition.starting_events).expect("a list of names is always JSON");
        sqlx::query(
            "INSERT INTO saga_definitions (name, version, fingerprint, source, canonical, starting_events, created_at)
            VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7)",
        )
        .bind(name)
        .bind(int4(version))
        .bind(self.definition.fingerprint.as_slice())
        .bind(&self.definition.source)
        .bind(&self.definition.canonical)
        .bind(starting)
        .bind(time(self.now))
        .execute(&mut *connection)
        .await?;
        audit::record(connection, &self.audit.about(&format!("{name}/{version}")), self.now).await?;
        Ok(DefinitionVersion { version, is_new: true })
    }
}

#[derive(Debug, FromRow)]
struct DefinitionRow {
    name: String,
    version: i32,
    source: String,
    canonical: String,
    created_at: Time,
}

pub(super) async fn definition(
    database: &Database,
    name: &DefinitionName,
    version: Option<u32>,
) -> Result<Option<StoredDefinition>, Error> {
    let row: Option<DefinitionRow> = database
        .optional(|| {
            sqlx::query_as(
                "SELECT name, version, source, canonical, created_at
                FROM saga_definitions
                WHERE name = $1 AND ($2::integer IS NULL OR version = $2)
                ORDER BY version DESC
                LIMIT 1",
            )
            .bind(name.as_str())
            .bind(version.map(int4))
        })
        .await?;
    let Some(row) = row else { return Ok(None) };
    let place = Place {
        table: "saga_definitions",
        row: name,
    };
    Ok(Some(StoredDefinition {
        name: place.take("name", DefinitionName::new(row.name))?,
        version: place.number("version", row.version)?,
        source: row.source,
        canonical: row.canonical,
        created_at: timestamp(row.created_at),
    }))
}

type HeadRow = (String, i32, Time);

fn head((name, version, created_at): HeadRow) -> Result<DefinitionHead, Error> {
    let row = name.clone();
    let place = Place {
        table: "saga_definitions",
        row: &row,
    };
    Ok(DefinitionHead {
        name: place.take("name", DefinitionName::new(name))?,
        version: place.number("version", version)?,
        created_at: timestamp(created_at),
    })
}

pub(super) async fn definitions(
    database: &Database,
    after: Option<&DefinitionName>,
    limit: usize,
) -> Result<Vec<DefinitionHead>, Error> {
    let rows: Vec<HeadRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(
                "SELECT DISTINCT ON (name COLLATE \"C\") name, version, created_at
                FROM saga_definitions
                WHERE $1::text IS NULL OR name COLLATE \"C\" > $1
                ORDER BY name COLLATE \"C\", version DESC
                LIMIT $2",
            )
            .bind(after.map(DefinitionName::as_str))
            .bind(int8(limit))
        })
        .await?;
    rows.into_iter().map(head).collect()
}

pub(super) async fn versions(
    database: &Database,
    name: &DefinitionName,
    before: Option<u32>,
    limit: usize,
) -> Result<Vec<DefinitionHead>, Error> {
    let rows: Vec<HeadRow> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(
                "SELECT name, version, created_at
                FROM saga_definitions
                WHERE name = $1 AND ($2::integer IS NULL OR version < $2)
                ORDER BY version DESC
                LIMIT $3",
            )
            .bind(name.as_str())
            .bind(before.map(int4))
            .bind(int8(limit))
        })
        .await?;
    rows.into_iter().map(head).collect()
}

pub(super) async fn starting_on(database: &Database, event: &EventName) -> Result<Vec<DefinitionName>, Error> {
    let rows: Vec<(String,)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as(
                "SELECT name
                FROM (
                    SELECT DISTINCT ON (name) name, starting_events FROM saga_definitions ORDER BY name, version DESC
                ) AS newest
                WHERE starting_events ? $1
                ORDER BY name",
            )
            .bind(event.as_str())
        })
        .await?;
    rows.into_iter().map(name).collect()
}

fn name((name,): (String,)) -> Result<DefinitionName, Error> {
    let row = name.clone();
    let place = Place {
        table: "saga_definitions",
        row: &row,
    };
    place.take("name", DefinitionName::new(name))
}

pub(super) async fn defined_of(
    database: &Database,
    names: &[DefinitionName],
) -> Result<BTreeSet<DefinitionName>, Error> {
    let names: Vec<&str> = names.iter().map(DefinitionName::as_str).collect();
    let rows: Vec<(String,)> = database
        .all(AfterUnknown::Repeat, || {
            sqlx::query_as("SELECT DISTINCT name FROM saga_definitions WHERE name = ANY($1::text[])").bind(&names)
        })
        .await?;
    rows.into_iter().map(name).collect()
}

/// The newest version of each of these definitions; those that do not exist are left out.
pub(super) async fn newest(
    connection: &mut PgConnection,
    names: &[&DefinitionName],
) -> Result<HashMap<DefinitionName, u32>, Abort> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let rows: Vec<(String, i32)> =
        sqlx::query_as("SELECT name, max(version) FROM saga_definitions WHERE name = ANY($1::text[]) GROUP BY name")
            .bind(&names)
            .fetch_all(connection)
            .await?;
    let newest = rows.into_iter().map(|(name, version)| {
        let row = name.clone();
        let place = Place {
            table: "saga_definitions",
            row: &row,
        };
        Ok((
            place.take("name", DefinitionName::new(name))?,
            place.number("version", version)?,
        ))
    });
    Ok(newest.collect::<Result<_, Error>>()?)
}

/// What children of these definitions begin with; those that do not exist are left out.
pub(super) async fn beginnings(
    connection: &mut PgConnection,
    names: &[&DefinitionName],
) -> Result<HashMap<DefinitionName, Beginning>, Abort> {
    if names.is_empty() {
        return Ok(HashMap::new());
    }
    let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
    let rows: Vec<(String, i32, String)> = sqlx::query_as(
        "SELECT name, version, canonical::json ->> 'initial'
        FROM (
            SELECT name, max(version) AS version FROM saga_definitions WHERE name = ANY($1::text[]) GROUP BY name
        ) AS newest
        JOIN saga_definitions USING (name, version)",
    )
    .bind(&names)
    .fetch_all(connection)
    .await?;
    let beginnings = rows.into_iter().map(|(name, version, initial)| {
        let row = name.clone();
        let place = Place {
            table: "saga_definitions",
            row: &row,
        };
        let beginning = Beginning {
            version: place.number("version", version)?,
            initial: place.take("canonical", StateName::new(initial))?,
        };
        Ok((place.take("name", DefinitionName::new(name))?, beginning))
    });
    Ok(beginnings.collect::<Result<_, Error>>()?)
}

/// These versions, ready to run. One that does not exist is left out.
///
/// # Errors
/// [`Error::NotCompiled`] where some are to be compiled first, [`Error::TooMuchAtOnce`] where those are too large together.
pub(super) async fn compiled(
    connection: &mut PgConnection,
    definitions: &Definitions,
    wanted: impl IntoIterator<Item = Version>,
) -> Result<Compiled, Abort> {
    let (compiled, missing) = definitions.ready(wanted);
    if !missing.is_empty() {
        not_compiled(sizes(connection, &missing).await?)?;
    }
    Ok(compiled)
}

/// Those that exist, with the bytes of their canonical forms.
async fn sizes(connection: &mut PgConnection, versions: &[Version]) -> Result<Vec<(Version, usize)>, Abort> {
    let rows: Vec<(String, i32, i32)> = sqlx::query_as(
        "SELECT name, version, octet_length(canonical)
        FROM saga_definitions
        WHERE (name, version) IN (SELECT * FROM UNNEST($1::text[], $2::integer[]))",
    )
    .bind(column(versions, |(name, _)| name.as_str()))
    .bind(column(versions, |(_, version)| int4(*version)))
    .fetch_all(connection)
    .await?;
    let sizes = rows.into_iter().map(|(name, version, size)| {
        let row = name.clone();
        let place = Place {
            table: "saga_definitions",
            row: &row,
        };
        let version = place.number("version", version)?;
        let name = place.take("name", DefinitionName::new(name))?;
        Ok(((name, version), place.number("canonical", size)?))
    });
    Ok(sizes.collect::<Result<_, Error>>()?)
}

/// Does what needs definitions; those that it misses are compiled while nothing is locked.
pub(super) async fn with_definitions<Answer, Performing>(
    database: &Database,
    perform: impl Fn(Definitions) -> Performing,
) -> Result<Answer, Error>
where
    Performing: Future<Output = Result<Answer, Error>>,
{
    let compile = |(name, version)| async move { compiled_one(database, &name, version).await };
    crate::compiled::with_definitions(&database.compiled, perform, compile).await
}

/// One of them, outside of any transaction.
pub(super) async fn compiled_one(
    database: &Database,
    name: &DefinitionName,
    version: u32,
) -> Result<Option<Arc<CompiledDefinition>>, Error> {
    if let Some(kept) = database.compiled.one(name, version) {
        return Ok(Some(kept));
    }
    let Some(stored) = definition(database, name, Some(version)).await? else {
        return Ok(None);
    };
    let compiling = database.compiled.compile(name, version, stored.canonical);
    compiling.await.map(Some)
}
