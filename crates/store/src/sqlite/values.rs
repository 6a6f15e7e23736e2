//! Batches as tables of bound values.
//!
//! The text of a statement is fixed, so each comes in a few sizes, and a batch takes few of them with few rows to spare.
//! What is left over is not bound: SQLite takes it for NULL, and the statement skips those rows. Against one JSON text
//! unfolded by `json_each` this halves the work, most of which was parsing each element again for each of its columns.

use sqlx::SqliteConnection;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};

use super::error::sql;
use crate::Error;

/// `$row` as often as the name says.
macro_rules! rows_10 {
    ($row:literal) => {
        concat!(
            $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row, ",", $row
        )
    };
}
macro_rules! rows_20 {
    ($row:literal) => {
        concat!(
            $crate::sqlite::values::rows_10!($row),
            ",",
            $crate::sqlite::values::rows_10!($row)
        )
    };
}
macro_rules! rows_50 {
    ($row:literal) => {
        concat!(
            $crate::sqlite::values::rows_20!($row),
            ",",
            $crate::sqlite::values::rows_20!($row),
            ",",
            $crate::sqlite::values::rows_10!($row)
        )
    };
}
macro_rules! rows_100 {
    ($row:literal) => {
        concat!(
            $crate::sqlite::values::rows_50!($row),
            ",",
            $crate::sqlite::values::rows_50!($row)
        )
    };
}
macro_rules! rows_200 {
    ($row:literal) => {
        concat!(
            $crate::sqlite::values::rows_100!($row),
            ",",
            $crate::sqlite::values::rows_100!($row)
        )
    };
}
macro_rules! rows_500 {
    ($row:literal) => {
        concat!(
            $crate::sqlite::values::rows_200!($row),
            ",",
            $crate::sqlite::values::rows_200!($row),
            ",",
            $crate::sqlite::values::rows_100!($row)
        )
    };
}
pub(super) use {rows_10, rows_20, rows_50, rows_100, rows_200, rows_500};

/// A statement with a table of values in its middle, in each size: `over_values!("… VALUES ", "(?, ?)", " …")`.
macro_rules! over_values {
    ($before:expr, $row:literal, $after:expr) => {
        $crate::sqlite::values::OverValues([
            (1, concat!($before, $row, $after)),
            (10, concat!($before, $crate::sqlite::values::rows_10!($row), $after)),
            (20, concat!($before, $crate::sqlite::values::rows_20!($row), $after)),
            (50, concat!($before, $crate::sqlite::values::rows_50!($row), $after)),
            (100, concat!($before, $crate::sqlite::values::rows_100!($row), $after)),
            (200, concat!($before, $crate::sqlite::values::rows_200!($row), $after)),
            (500, concat!($before, $crate::sqlite::values::rows_500!($row), $after)),
        ])
    };
}
pub(super) use over_values;

/// How many rows may be left unbound. Each costs about half a bound one, and a statement more about as much as five.
const SPARE_ROWS: usize = 10;

/// So many statements of a connection stay prepared: all sizes of all of them.
pub(super) const PREPARED_STATEMENTS: usize = 200;

pub(super) type Statement<'q> = Query<'q, Sqlite, SqliteArguments>;

/// The same statement for at most so many rows.
#[derive(Debug)]
pub(super) struct OverValues(pub(super) [(usize, &'static str); 7]);

impl OverValues {
    /// The smallest statement that holds them all with little to spare, or else the largest that they fill.
    fn fitting(&self, rows: usize) -> (usize, &'static str) {
        let sizes = self.0.into_iter();
        let holding = sizes.clone().find(|(size, _)| *size >= rows);
        holding
            .filter(|(size, _)| size - rows <= SPARE_ROWS)
            .or_else(|| sizes.rev().find(|(size, _)| *size <= rows))
            .unwrap_or(self.0[0])
    }

    /// Executes it over all rows. `bind` binds one row.
    pub(super) async fn execute<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        bind: impl for<'q> Fn(Statement<'q>, &T) -> Statement<'q>,
    ) -> Result<(), Error> {
        let mut rest = rows;
        while !rest.is_empty() {
            let (size, text) = self.fitting(rest.len());
            let (chunk, after) = rest.split_at(rest.len().min(size));
            let statement = chunk.iter().fold(sqlx::query(text), &bind);
            statement.execute(&mut *connection).await.map_err(sql)?;
            rest = after;
        }
        Ok(())
    }

    /// What it answers over all rows. `first` binds what stands before the table of values.
    pub(super) async fn fetch<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: &[T],
        first: impl for<'q> Fn(Statement<'q>) -> Statement<'q>,
        bind: impl for<'q> Fn(Statement<'q>, &T) -> Statement<'q>,
    ) -> Result<Vec<SqliteRow>, Error> {
        let mut answered = Vec::with_capacity(rows.len());
        let mut rest = rows;
        while !rest.is_empty() {
            let (size, text) = self.fitting(rest.len());
            let (chunk, after) = rest.split_at(rest.len().min(size));
            let statement = chunk.iter().fold(first(sqlx::query(text)), &bind);
            answered.extend(statement.fetch_all(&mut *connection).await.map_err(sql)?);
            rest = after;
        }
        Ok(answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_takes_few_statements_with_few_rows_to_spare() {
        let statement = over_values!("VALUES ", "(?)", "");
        for rows in 1..=1_200 {
            let (mut rest, mut statements) = (rows, 0);
            while rest > 0 {
                let (size, _) = statement.fitting(rest);
                assert!(size < rest + 1 + SPARE_ROWS, "{size} for {rest}");
                rest = rest.saturating_sub(size);
                statements += 1;
            }
            assert!(statements <= rows / 500 + 5, "{statements} for {rows}");
        }
    }
}
