//! Child sagas that never begin.

use std::collections::BTreeSet;

use orchestratum_core::SagaId;
use orchestratum_core::saga::Instance;
use sqlx::PgConnection;
use uuid::Uuid;

use super::super::tasks::column;
use super::super::transaction::Abort;
use crate::decide::{self, InLine, SagaHead};

/// The children that have not begun, below a saga that is cancelled or over.
pub(super) async fn stopped_children(
    connection: &mut PgConnection,
    locked: &[(SagaHead, Instance)],
) -> Result<BTreeSet<SagaId>, Abort> {
    let children = decide::unbegun_children(locked);
    if children.is_empty() {
        return Ok(BTreeSet::new());
    }
    // From status 3 on a saga goes back, or is over. Kind 5 is a cancel.
    let line: Vec<(Uuid, Option<Uuid>, bool)> = sqlx::query_as(
        "WITH RECURSIVE line AS (
            SELECT id, parent_id, status FROM sagas WHERE id = ANY($1::uuid[])
            UNION
            SELECT above.id, above.parent_id, above.status
            FROM line
            JOIN sagas AS above ON above.id = line.parent_id
        )
        SELECT
            id,
            parent_id,
            status >= 3 OR EXISTS (
                SELECT FROM saga_events WHERE saga_id = line.id AND seq IS NULL AND kind = 5
            )
        FROM line",
    )
    .bind(column(&children, |child| child.0))
    .fetch_all(connection)
    .await?;
    let line = line.into_iter().map(|(id, parent, is_stopped)| InLine {
        id: SagaId(id),
        parent: parent.map(SagaId),
        is_stopped,
    });
    Ok(decide::stopped(&children, line.collect()))
}
