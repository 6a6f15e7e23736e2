//! Where everything of a picture goes: in layers, from where a saga begins downwards.
//!
//! ```text
//!   ranks ──► a graph without circles, every step one rank, labels on ranks of their own
//!   order ──► few crossings within each rank
//!   places ─► what belongs together above each other
//! ```
//!
//! The labels of edges are boxes as states are, so nothing covers anything. All of it is bounded: see [`CROSSED_MAX`].

mod order;
mod places;
mod ranks;

/// The most boxes with those that edges need to pass the ranks between their ends. Beyond that long edges go straight.
const CROSSED_MAX: usize = 4_000;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
}

/// From one box to another one, with a label.
#[derive(Debug, Clone, Copy)]
pub(super) struct Link {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: Size,
}

#[derive(Debug)]
pub(super) struct Layout {
    pub(super) size: Size,
    /// The middles of the boxes.
    pub(super) boxes: Vec<Point>,
    pub(super) routes: Vec<Route>,
}

#[derive(Debug)]
pub(super) struct Route {
    /// From the edge of the one box to that of the other, by way of the label.
    pub(super) points: Vec<Point>,
    /// The middle of the label.
    pub(super) label: Point,
}

/// A box on a rank: a state, a label, or a point by which an edge passes.
#[derive(Debug, Clone, Copy)]
struct Cell {
    size: Size,
    rank: usize,
    /// How much it asks to stand where its neighbours are.
    weight: f64,
}

/// Boxes on ranks and what connects those of neighbouring ranks.
#[derive(Debug, Default)]
struct Ranked {
    cells: Vec<Cell>,
    /// From the upper to the lower.
    lines: Vec<(usize, usize)>,
    /// For each link, the cells it passes from its beginning to its end, and which of them is its label.
    chains: Vec<(Vec<usize>, usize)>,
}

/// `first` is where a reader begins.
pub(super) fn layout(boxes: &[Size], links: &[Link], first: usize) -> Layout {
    let ranked = ranks::ranked(boxes, links, first);
    let ranks = order::ordered(&ranked);
    places::placed(&ranked, &ranks, boxes)
}
