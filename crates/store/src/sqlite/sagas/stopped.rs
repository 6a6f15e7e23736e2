//! Child sagas that never begin.

use std::collections::BTreeSet;

use orchestratum_core::SagaId;
use orchestratum_core::saga::Instance;
use sqlx::SqliteConnection;
use uuid::Uuid;

use super::super::error::sql;
use super::row::saga_list;
use crate::Error;
use crate::decide::{self, InLine, SagaHead};

/// The children that have not begun, below a saga that is cancelled or over.
pub(super) async fn stopped_children(
    connection: &mut SqliteConnection,
    locked: &[(SagaHead, Instance)],
) -> Result<BTreeSet<SagaId>, Error> {
    let children = decide::unbegun_children(locked);
    if children.is_empty() {
        return Ok(BTreeSet::new());
    }
    // From status 3 on a saga goes back, or is over. Kind 5 is a cancel.
    let line: Vec<(Uuid, Option<Uuid>, bool)> = sqlx::query_as(
        "WITH RECURSIVE line (id, parent_id, status) AS (
             SELECT id, parent_id, status FROM sagas WHERE id IN (SELECT unhex(value) FROM json_each(?1))
             UNION
             SELECT s.id, s.parent_id, s.status FROM line l CROSS JOIN sagas s ON s.id = l.parent_id
         )
         SELECT
             id,
             parent_id,
             status >= 3 OR EXISTS (
                 SELECT 1 FROM saga_events e INDEXED BY saga_events_waiting
                 WHERE e.saga_id = line.id AND e.seq IS NULL AND e.kind = 5
             )
         FROM line",
    )
    .bind(saga_list(children.iter().copied()))
    .fetch_all(connection)
    .await
    .map_err(sql)?;
    let line = line.into_iter().map(|(id, parent, is_stopped)| InLine {
        id: SagaId(id),
        parent: parent.map(SagaId),
        is_stopped,
    });
    Ok(decide::stopped(&children, line.collect()))
}
