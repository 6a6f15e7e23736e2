//! Cells of one kind that are kept for the next program.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::cell::{Cell, Ran};
use crate::groups::Groups;
use crate::protocol::Opening;
use crate::streams::{Given, Streams};
use crate::{Error, Limits, Running, Shim};

/// After so many programs a cell is replaced: whatever a kernel or a runner gathers over time goes with it.
const SERVES_MOST: u32 = 1_000;

/// Cells that nobody uses at the moment. Several kinds may share one, which bounds what they hold together.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Idle>);

#[derive(Debug)]
struct Idle {
    most: usize,
    kinds: AtomicU64,
    /// Each with its kind; the one that was used last is the last.
    cells: Mutex<VecDeque<(u64, Cell)>>,
}

impl Pool {
    /// Holds so many at most; the one that nobody used for longest goes first.
    pub fn holding(most: usize) -> Self {
        Self(Arc::new(Idle {
            most,
            kinds: AtomicU64::new(0),
            cells: Mutex::default(),
        }))
    }

    /// Of one kind there are never more than programs that ran at the same time.
    pub fn unbounded() -> Self {
        Self::holding(usize::MAX)
    }

    fn new_kind(&self) -> u64 {
        self.0.kinds.fetch_add(1, Ordering::Relaxed)
    }

    /// The one that was used last: the others may be given up by the kernel's memory first.
    fn take(&self, kind: u64) -> Option<Cell> {
        let mut cells = self.0.cells.lock();
        let place = cells.iter().rposition(|(of, _)| *of == kind)?;
        cells.remove(place).map(|(_, cell)| cell)
    }

    /// Returns the one that has to go for it.
    fn put(&self, kind: u64, cell: Cell) -> Option<Cell> {
        let mut cells = self.0.cells.lock();
        cells.push_back((kind, cell));
        if cells.len() <= self.0.most {
            return None;
        }
        cells.pop_front().map(|(_, cell)| cell)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Cells(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    shim: Shim,
    opening: Opening,
    groups: Option<Arc<Groups>>,
    pool: Pool,
    kind: u64,
}

impl Cells {
    pub(crate) fn new(shim: Shim, opening: Opening, groups: Option<Arc<Groups>>, pool: Pool) -> Self {
        let kind = pool.new_kind();
        Self(Arc::new(Shared {
            shim,
            opening,
            groups,
            pool,
            kind,
        }))
    }

    async fn take(&self) -> Result<Cell, Error> {
        loop {
            let Some(mut cell) = self.0.pool.take(self.0.kind) else {
                return self.open().await;
            };
            if cell.lives() && !cell.has_leftovers() {
                return Ok(cell);
            }
            tokio::spawn(cell.destroy());
        }
    }

    async fn open(&self) -> Result<Cell, Error> {
        Cell::open(&self.0.shim, &self.0.opening, self.0.groups.as_ref()).await
    }

    /// One that the limits leave room for a program: what is there may have grown over many programs.
    async fn take_with(&self, limits: &Limits) -> Result<Cell, Error> {
        let mut cell = self.take().await?;
        loop {
            match cell.limit(limits) {
                Ok(()) => return Ok(cell),
                Err(Error::TooLittleMemory { .. }) if cell.served() > 0 => {
                    tokio::spawn(cell.destroy());
                    cell = self.open().await?;
                }
                Err(error) => {
                    if matches!(error, Error::TooLittleMemory { .. }) {
                        self.give_back(cell);
                    }
                    return Err(error);
                }
            }
        }
    }

    fn give_back(&self, cell: Cell) {
        let goes = if cell.served() < SERVES_MOST {
            self.0.pool.put(self.0.kind, cell)
        } else {
            Some(cell)
        };
        if let Some(cell) = goes {
            tokio::spawn(cell.destroy());
        }
    }

    /// Runs a program in a cell. The message is what its launcher or runner takes.
    pub(crate) async fn spawn(
        &self,
        message: Vec<u8>,
        limits: &Limits,
        (given, streams): (Given, Streams),
    ) -> Result<Running, Error> {
        let mut cell = self.take_with(limits).await?;
        if let Some(megabytes) = limits.disk_megabytes {
            cell.resize_disk(megabytes).await?;
        }
        let killer = cell.killer();
        let cells = self.clone();
        Ok(Running::new(killer.clone(), streams.written(), async move {
            let Ran { finished, cell } = cell.run(&message, given, streams, &killer).await;
            if let Some(cell) = cell {
                cells.give_back(cell);
            }
            finished
        }))
    }
}
