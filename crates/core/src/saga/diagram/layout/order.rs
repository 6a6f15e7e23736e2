//! In which order the boxes of a rank stand, so that few lines cross.

use super::Ranked;

/// How often all ranks are gone through, downwards and upwards in turns: more changes little.
const SWEEPS: usize = 12;

/// The cells of each rank from left to right.
pub(super) fn ordered(ranked: &Ranked) -> Vec<Vec<usize>> {
    let count = ranked.cells.iter().map(|cell| cell.rank + 1).max().unwrap_or_default();
    let (mut above, mut below) = (
        vec![Vec::new(); ranked.cells.len()],
        vec![Vec::new(); ranked.cells.len()],
    );
    for (upper, lower) in &ranked.lines {
        below[*upper].push(*lower);
        above[*lower].push(*upper);
    }
    let mut ranks: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (index, cell) in ranked.cells.iter().enumerate() {
        ranks[cell.rank].push(index);
    }
    let mut positions = positions(&ranks, ranked.cells.len());
    let mut best = ranks.clone();
    let mut fewest = crossings(ranked, &ranks, &positions);
    for sweep in 0..SWEEPS {
        if fewest == 0 && sweep > 1 {
            break;
        }
        let (order, neighbours): (Vec<usize>, _) = if sweep % 2 == 0 {
            ((1..count).collect(), &above)
        } else {
            ((0..count.saturating_sub(1)).rev().collect(), &below)
        };
        for rank in order {
            sort(&mut ranks[rank], neighbours, &mut positions);
        }
        let crossings = crossings(ranked, &ranks, &positions);
        if crossings < fewest {
            fewest = crossings;
            best.clone_from(&ranks);
        }
    }
    best
}

fn positions(ranks: &[Vec<usize>], count: usize) -> Vec<usize> {
    let mut positions = vec![0; count];
    for rank in ranks {
        for (position, cell) in rank.iter().enumerate() {
            positions[*cell] = position;
        }
    }
    positions
}

/// Each goes where the middle of its neighbours is; those without stay about where they are.
fn sort(rank: &mut [usize], neighbours: &[Vec<usize>], positions: &mut [usize]) {
    let middle = |cell: usize| {
        let neighbours = &neighbours[cell];
        if neighbours.is_empty() {
            return positions[cell] as f64;
        }
        let sum: usize = neighbours.iter().map(|neighbour| positions[*neighbour]).sum();
        sum as f64 / neighbours.len() as f64
    };
    let mut keyed: Vec<(f64, usize)> = rank.iter().map(|cell| (middle(*cell), *cell)).collect();
    keyed.sort_by(|(one, _), (other, _)| one.total_cmp(other));
    for (position, (_, cell)) in keyed.into_iter().enumerate() {
        rank[position] = cell;
        positions[cell] = position;
    }
}

/// How many pairs of lines between neighbouring ranks cross.
fn crossings(ranked: &Ranked, ranks: &[Vec<usize>], positions: &[usize]) -> usize {
    let mut between: Vec<Vec<(usize, usize)>> = vec![Vec::new(); ranks.len()];
    for (upper, lower) in &ranked.lines {
        between[ranked.cells[*upper].rank].push((positions[*upper], positions[*lower]));
    }
    let mut crossings = 0;
    for (rank, mut lines) in between.into_iter().enumerate() {
        lines.sort_unstable();
        // Of those that begin further left, how many end at each place: a tree of sums (Fenwick).
        let width = ranks[rank + 1..].iter().map(Vec::len).max().unwrap_or_default();
        let mut ends = vec![0_usize; width + 1];
        for (before, (_, lower)) in lines.iter().enumerate() {
            let mut not_further_right = 0;
            let mut at = lower + 1;
            while at > 0 {
                not_further_right += ends[at];
                at &= at - 1;
            }
            crossings += before - not_further_right;
            let mut at = lower + 1;
            while at <= width {
                ends[at] += 1;
                at += at & at.wrapping_neg();
            }
        }
    }
    crossings
}
