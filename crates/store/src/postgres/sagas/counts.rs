//! How many sagas are live.

use std::collections::BTreeMap;

use orchestratum_core::saga::SagaStatus;

use super::super::database::{AfterUnknown, Database};
use super::super::rows::Place;
use crate::Error;

/// By the condition of the index of statuses, which is all that is read then.
pub const COUNT_LIVE_SAGAS: &str =
    "SELECT status, count(*) FROM sagas WHERE status <> 5 AND status < 5 GROUP BY status";

pub(super) async fn live(database: &Database) -> Result<BTreeMap<SagaStatus, u64>, Error> {
    let rows: Vec<(i16, i64)> = database
        .all(AfterUnknown::Repeat, || sqlx::query_as(COUNT_LIVE_SAGAS))
        .await?;
    rows.into_iter()
        .map(|(code, many)| {
            let place = Place {
                table: "sagas",
                row: &"(count)",
            };
            let status = place.present("status", SagaStatus::from_code(code))?;
            Ok((status, place.number("count", many)?))
        })
        .collect()
}
