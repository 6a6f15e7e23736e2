//! A saga that goes on by another version of its definition: moved and told in its history in one commit.

use orchestratum_core::Timestamp;
use orchestratum_core::task::SpecLimits;
use sqlx::PgConnection;

use super::super::database::Database;
use super::super::rows::int4;
use super::super::transaction::{Abort, Transaction};
use super::advance::lock;
use super::definitions;
use super::write::{Rows, Writing};
use crate::compiled::Definitions;
use crate::decide::{self, Migrating};
use crate::{Error, MigrateOutcome, MigrateSaga};

pub(super) async fn migrate(
    database: &Database,
    migration: &MigrateSaga,
    now: Timestamp,
) -> Result<MigrateOutcome, Error> {
    let migrate = |compiled| {
        database.transact(Migrate {
            migration: migration.clone(),
            limits: database.limits,
            compiled,
            now,
        })
    };
    definitions::with_definitions(database, migrate).await
}

struct Migrate {
    migration: MigrateSaga,
    limits: SpecLimits,
    compiled: Definitions,
    now: Timestamp,
}

impl Transaction for Migrate {
    type Output = MigrateOutcome;

    async fn perform(&self, connection: &mut PgConnection) -> Result<MigrateOutcome, Abort> {
        let id = self.migration.saga.0;
        let Some((head, instance)) = lock(connection, &[id]).await?.pop() else {
            return Ok(MigrateOutcome::NotFound);
        };
        let (waits,): (bool,) =
            sqlx::query_as("SELECT EXISTS (SELECT 1 FROM saga_events WHERE saga_id = $1 AND seq IS NULL)")
                .bind(id)
                .fetch_one(&mut *connection)
                .await?;
        let versions = [head.definition_version, self.migration.version];
        let wanted = versions.map(|version| (head.definition.clone(), version));
        let compiled = definitions::compiled(connection, &self.compiled, wanted).await?;
        let saga = (head, instance);
        let mut migrated = match decide::migrate(saga, waits, &self.migration, &compiled, &self.limits, self.now)? {
            Migrating::Told(outcome) => return Ok(outcome),
            Migrating::Write(migrated) => migrated,
        };
        // Before the others are written: that of the whole saga has the same place.
        sqlx::query("DELETE FROM saga_timers WHERE saga_id = $1 AND entry = ANY($2::integer[])")
            .bind(id)
            .bind(
                migrated
                    .folded
                    .stopped
                    .iter()
                    .map(|entry| int4(*entry))
                    .collect::<Vec<_>>(),
            )
            .execute(&mut *connection)
            .await?;
        sqlx::query("UPDATE sagas SET definition_version = $2 WHERE id = $1")
            .bind(id)
            .bind(int4(self.migration.version))
            .execute(&mut *connection)
            .await?;
        let writing = Writing {
            limits: &self.limits,
            now: self.now,
        };
        let folded = std::slice::from_mut(&mut migrated.folded);
        let consequences = writing.write(connection, folded, Rows::Changed).await?;
        Ok(migrated.outcome(consequences))
    }
}
