//! How far right and how far down everything stands.

use super::{Layout, Point, Ranked, Route, Size};

/// Between boxes of one rank.
const GAP_ACROSS: f64 = 22.0;

/// Between ranks.
const GAP_DOWN: f64 = 24.0;

/// Around all of it.
const MARGIN: f64 = 24.0;

/// Between the ends of two edges at one box, at most.
const GAP_OF_ENDS: f64 = 18.0;

/// How often all boxes go where their neighbours are: more changes little.
const ROUNDS: usize = 16;

pub(super) fn placed(ranked: &Ranked, ranks: &[Vec<usize>], boxes: &[Size]) -> Layout {
    let across = across(ranked, ranks);
    let down = down(ranked, ranks);
    let middles: Vec<Point> = (0..ranked.cells.len())
        .map(|cell| Point {
            x: across[cell],
            y: down[ranked.cells[cell].rank],
        })
        .collect();
    let right = (0..ranked.cells.len()).map(|cell| across[cell] + ranked.cells[cell].size.width / 2.0);
    let bottom = (0..ranked.cells.len()).map(|cell| middles[cell].y + ranked.cells[cell].size.height / 2.0);
    let size = Size {
        width: right.fold(0.0, f64::max) + MARGIN,
        height: bottom.fold(0.0, f64::max) + MARGIN,
    };
    let ends = ends(ranked, &middles, boxes);
    let routes = ranked.chains.iter().zip(ends).map(|((chain, label), (begin, end))| {
        let mut points = vec![begin];
        for cell in &chain[1..chain.len() - 1] {
            let (middle, half) = (middles[*cell], ranked.cells[*cell].size.height / 2.0);
            let goes_down = begin.y < end.y;
            let (enter, leave) = if goes_down { (-half, half) } else { (half, -half) };
            points.push(Point {
                y: middle.y + enter,
                ..middle
            });
            if half > 0.0 {
                points.push(Point {
                    y: middle.y + leave,
                    ..middle
                });
            }
        }
        points.push(end);
        Route {
            points,
            label: middles[*label],
        }
    });
    Layout {
        size,
        routes: routes.collect(),
        boxes: middles[..boxes.len()].to_vec(),
    }
}

/// Where each edge begins and ends: side by side at the lower side of the upper box and the upper side of the lower one.
fn ends(ranked: &Ranked, middles: &[Point], boxes: &[Size]) -> Vec<(Point, Point)> {
    // At each side of each box: how far right the edge goes on, the edge, and which of its ends it is.
    let mut sides: Vec<[Vec<(f64, usize, bool)>; 2]> = vec![[Vec::new(), Vec::new()]; boxes.len()];
    for (index, (chain, _)) in ranked.chains.iter().enumerate() {
        let (first, last) = (chain[0], chain[chain.len() - 1]);
        let (second, before_last) = (chain[1], chain[chain.len() - 2]);
        let side = usize::from(middles[first].y < middles[last].y);
        sides[first][side].push((middles[second].x, index, true));
        sides[last][1 - side].push((middles[before_last].x, index, false));
    }
    let nowhere = Point { x: 0.0, y: 0.0 };
    let mut ends = vec![(nowhere, nowhere); ranked.chains.len()];
    for (cell, both) in sides.iter_mut().enumerate() {
        let (middle, size) = (middles[cell], boxes[cell]);
        for (side, edges) in both.iter_mut().enumerate() {
            edges.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
            let gap = GAP_OF_ENDS.min(size.width / (edges.len() as f64 + 1.0));
            let half = (edges.len() as f64 - 1.0) / 2.0;
            for (place, (_, edge, is_begin)) in edges.iter().enumerate() {
                let point = Point {
                    x: middle.x + (place as f64 - half) * gap,
                    y: middle.y
                        + if side == 1 {
                            size.height / 2.0
                        } else {
                            -size.height / 2.0
                        },
                };
                let (begin, end) = &mut ends[*edge];
                *(if *is_begin { begin } else { end }) = point;
            }
        }
    }
    ends
}

fn down(ranked: &Ranked, ranks: &[Vec<usize>]) -> Vec<f64> {
    let mut top = MARGIN;
    let heights = ranks.iter().map(|rank| {
        let heights = rank.iter().map(|cell| ranked.cells[*cell].size.height);
        heights.fold(0.0, f64::max)
    });
    let mut middles = Vec::with_capacity(ranks.len());
    for height in heights {
        middles.push(top + height / 2.0);
        top += height + GAP_DOWN;
    }
    middles
}

/// In turns each rank goes where its neighbours above are, and where those below are.
fn across(ranked: &Ranked, ranks: &[Vec<usize>]) -> Vec<f64> {
    let count = ranked.cells.len();
    let (mut above, mut below) = (vec![Vec::new(); count], vec![Vec::new(); count]);
    for (upper, lower) in &ranked.lines {
        below[*upper].push(*lower);
        above[*lower].push(*upper);
    }
    let mut across = vec![0.0; count];
    for rank in ranks {
        settle(rank, ranked, &vec![0.0; rank.len()], &mut across);
    }
    for round in 0..ROUNDS {
        let goes_down = round % 2 == 0;
        let order: Vec<usize> = if goes_down {
            (0..ranks.len()).collect()
        } else {
            (0..ranks.len()).rev().collect()
        };
        let is_last = round + 2 >= ROUNDS;
        for rank in order {
            let wanted = ranks[rank].iter().map(|cell| {
                let (first, second) = if goes_down {
                    (&above[*cell], &below[*cell])
                } else {
                    (&below[*cell], &above[*cell])
                };
                let both = first.iter().chain(second);
                let neighbours: Vec<usize> = match (first.is_empty(), is_last) {
                    (false, false) => first.clone(),
                    // At last each stands between all of them.
                    (_, true) => both.copied().collect(),
                    (true, false) => Vec::new(),
                };
                if neighbours.is_empty() {
                    return across[*cell];
                }
                let sum: f64 = neighbours.iter().map(|neighbour| across[*neighbour]).sum();
                sum / neighbours.len() as f64
            });
            let wanted: Vec<f64> = wanted.collect();
            settle(&ranks[rank], ranked, &wanted, &mut across);
        }
    }
    let left = (0..count).map(|cell| across[cell] - ranked.cells[cell].size.width / 2.0);
    let left = left.fold(f64::INFINITY, f64::min);
    if left.is_finite() {
        for place in &mut across {
            *place += MARGIN - left;
        }
    }
    across
}

/// Boxes that would stand in each other and so stand side by side.
struct Block {
    begin: usize,
    end: usize,
    weight: f64,
    /// Where it wants to begin, times its weight.
    wish: f64,
}

/// Puts the boxes of a rank as near to where they want to be as their order and the room between them allow: the squares of what
/// they are off, times their weights, come to the least (pool adjacent violators).
fn settle(rank: &[usize], ranked: &Ranked, wanted: &[f64], across: &mut [f64]) {
    let mut offsets = Vec::with_capacity(rank.len());
    let mut offset = 0.0;
    for pair in 0..rank.len() {
        if pair > 0 {
            let widths = ranked.cells[rank[pair - 1]].size.width + ranked.cells[rank[pair]].size.width;
            offset += widths / 2.0 + GAP_ACROSS;
        }
        offsets.push(offset);
    }
    let mut blocks: Vec<Block> = Vec::new();
    for (index, cell) in rank.iter().enumerate() {
        let weight = ranked.cells[*cell].weight;
        let mut block = Block {
            begin: index,
            end: index + 1,
            weight,
            wish: weight * (wanted[index] - offsets[index]),
        };
        while let Some(before) = blocks.pop_if(|before| before.wish / before.weight >= block.wish / block.weight) {
            block = Block {
                begin: before.begin,
                end: block.end,
                weight: before.weight + block.weight,
                wish: before.wish + block.wish,
            };
        }
        blocks.push(block);
    }
    for block in blocks {
        let place = block.wish / block.weight;
        for index in block.begin..block.end {
            across[rank[index]] = place + offsets[index];
        }
    }
}
