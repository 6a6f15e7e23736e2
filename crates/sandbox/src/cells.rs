//! Cells of one kind that are kept for the next program.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::cell::{Cell, Ran};
use crate::groups::{Groups, Together};
use crate::protocol::Opening;
use crate::streams::{Given, Streams};
use crate::{Error, Limits, Running, Shim};

/// After so many programs a cell is replaced: whatever a kernel or a runner gathers over time goes with it.
const SERVES_MOST: u32 = 1_000;

#[derive(Debug, Clone)]
pub(crate) struct Cells(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    shim: Shim,
    opening: Opening,
    groups: Option<Arc<Groups>>,
    idle: Mutex<Vec<Cell>>,
}

impl Cells {
    pub(crate) fn new(shim: Shim, opening: Opening, groups: Option<Arc<Groups>>) -> Self {
        Self(Arc::new(Kept {
            shim,
            opening,
            groups,
            idle: Mutex::default(),
        }))
    }

    /// Opens one cell ahead of its first program, or says why there can be none.
    pub(crate) async fn warm_up(&self) -> Result<(), Error> {
        let cell = self.take().await?;
        self.give_back(cell);
        Ok(())
    }

    async fn take(&self) -> Result<Cell, Error> {
        loop {
            // The one that was used last: the others may be given up by the kernel's memory first.
            let idle = self.0.idle.lock().pop();
            let Some(mut cell) = idle else {
                return Cell::open(&self.0.shim, &self.0.opening, self.0.groups.as_ref()).await;
            };
            if cell.lives() {
                return Ok(cell);
            }
        }
    }

    fn give_back(&self, cell: Cell) {
        if cell.served() < SERVES_MOST {
            self.0.idle.lock().push(cell);
        } else {
            tokio::spawn(cell.destroy());
        }
    }

    /// Runs a program in a cell. The message is what its launcher or runner takes.
    pub(crate) async fn spawn(
        &self,
        message: Vec<u8>,
        limits: &Limits,
        (given, streams): (Given, Streams),
        result_max_bytes: u64,
    ) -> Result<Running, Error> {
        let mut cell = self.take().await?;
        if let Some(megabytes) = limits.disk_megabytes {
            cell.resize_disk(megabytes).await?;
        }
        cell.limit(Together::of(limits))?;
        let killer = cell.killer();
        let cells = self.clone();
        Ok(Running::new(killer.clone(), streams.written(), async move {
            let Ran { finished, cell } = cell.run(&message, given, streams, &killer, result_max_bytes).await;
            if let Some(cell) = cell {
                cells.give_back(cell);
            }
            finished
        }))
    }
}
