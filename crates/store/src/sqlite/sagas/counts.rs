//! How many sagas are live.

use std::collections::BTreeMap;

use orchestratum_core::saga::SagaStatus;

use super::super::SqliteStore;
use super::super::error::sql;
use super::super::rows::{damaged, get, number};
use super::row::TABLE;
use crate::Error;

/// By the condition of the index of statuses, which is all that is read then.
pub(super) async fn live(store: &SqliteStore) -> Result<BTreeMap<SagaStatus, u64>, Error> {
    let rows = sqlx::query(
        "SELECT status, count(*) AS many FROM sagas INDEXED BY sagas_status
         WHERE status <> 5 AND status < 5
         GROUP BY status",
    )
    .fetch_all(&store.read)
    .await
    .map_err(sql)?;
    rows.iter()
        .map(|row| {
            let code: i16 = get(row, "status")?;
            let status = SagaStatus::from_code(code)
                .ok_or_else(|| damaged(TABLE, "status", "(count)", format!("{code} is no status")))?;
            Ok((status, number(row, TABLE, "many", "(count)")?))
        })
        .collect()
}
