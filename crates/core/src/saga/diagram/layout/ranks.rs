//! On which rank every box stands.

use super::{CROSSED_MAX, Cell, Link, Ranked, Size};

/// How much a box on the way asks to be straight below the one before: a line with few bends is easier to follow.
const WEIGHT_OF_PASSING: f64 = 4.0;

/// States stand on even ranks, labels and what passes by on those between.
pub(super) fn ranked(boxes: &[Size], links: &[Link], first: usize) -> Ranked {
    let reversed = reversed(boxes.len(), links, first);
    let down: Vec<(usize, usize)> = links
        .iter()
        .zip(&reversed)
        .map(|(link, reversed)| {
            if *reversed {
                (link.to, link.from)
            } else {
                (link.from, link.to)
            }
        })
        .collect();
    let depths = depths(boxes.len(), &down, first);
    let state = |(size, depth): (&Size, &usize)| Cell {
        size: *size,
        rank: depth * 2,
        weight: 1.0,
    };
    let mut ranked = Ranked {
        cells: boxes.iter().zip(&depths).map(state).collect(),
        ..Ranked::default()
    };
    let lengths = down
        .iter()
        .map(|(upper, lower)| 2 * (depths[*lower] - depths[*upper]) - 1);
    let passes_by = ranked.cells.len() + lengths.sum::<usize>() <= CROSSED_MAX;
    for ((link, (upper, lower)), reversed) in links.iter().zip(&down).zip(&reversed) {
        let (top, bottom) = (depths[*upper] * 2, depths[*lower] * 2);
        // The label stands where the transition begins, as what is done there is read together.
        let label_rank = if *reversed { bottom - 1 } else { top + 1 };
        let mut chain = vec![*upper];
        let mut label = 0;
        for rank in top + 1..bottom {
            let is_label = rank == label_rank;
            if !is_label && !passes_by {
                continue;
            }
            if is_label {
                label = ranked.cells.len();
            }
            chain.push(ranked.cells.len());
            ranked.cells.push(Cell {
                size: if is_label {
                    link.label
                } else {
                    Size {
                        width: 6.0,
                        height: 0.0,
                    }
                },
                rank,
                weight: WEIGHT_OF_PASSING,
            });
        }
        chain.push(*lower);
        ranked.lines.extend(chain.windows(2).map(|pair| (pair[0], pair[1])));
        if *reversed {
            chain.reverse();
        }
        ranked.chains.push((chain, label));
    }
    ranked
}

/// Which links lead back to where they can be reached from: turned around, there are no circles.
fn reversed(count: usize, links: &[Link], first: usize) -> Vec<bool> {
    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Never,
        OnTheWay,
        Done,
    }
    let mut leaving: Vec<Vec<usize>> = vec![Vec::new(); count];
    for (index, link) in links.iter().enumerate() {
        leaving[link.from].push(index);
    }
    let mut reversed = vec![false; links.len()];
    let mut seen = vec![Seen::Never; count];
    for begin in std::iter::once(first).chain(0..count).filter(|begin| *begin < count) {
        if seen[begin] != Seen::Never {
            continue;
        }
        seen[begin] = Seen::OnTheWay;
        // A state on the way, and how many of its links were followed.
        let mut way = vec![(begin, 0)];
        while let Some((at, followed)) = way.last_mut() {
            let Some(index) = leaving[*at].get(*followed) else {
                seen[*at] = Seen::Done;
                way.pop();
                continue;
            };
            *followed += 1;
            let to = links[*index].to;
            match seen[to] {
                Seen::OnTheWay => reversed[*index] = true,
                Seen::Done => {}
                Seen::Never => {
                    seen[to] = Seen::OnTheWay;
                    way.push((to, 0));
                }
            }
        }
    }
    reversed
}

/// The longest way to each, where no way is a circle. What nothing leads to or from, such as the target of a timeout, is last.
fn depths(count: usize, down: &[(usize, usize)], first: usize) -> Vec<usize> {
    let mut below: Vec<Vec<usize>> = vec![Vec::new(); count];
    let mut above = vec![0_usize; count];
    for (upper, lower) in down {
        below[*upper].push(*lower);
        above[*lower] += 1;
    }
    let mut depths = vec![0; count];
    let is_alone = |index: usize| above[index] == 0 && below[index].is_empty() && index != first;
    let alone: Vec<usize> = (0..count).filter(|index| is_alone(*index)).collect();
    let mut open: Vec<usize> = (0..count).filter(|index| above[*index] == 0).collect();
    while let Some(upper) = open.pop() {
        for lower in &below[upper] {
            depths[*lower] = depths[*lower].max(depths[upper] + 1);
            above[*lower] -= 1;
            if above[*lower] == 0 {
                open.push(*lower);
            }
        }
    }
    let last = depths.iter().copied().max().unwrap_or_default();
    for index in alone {
        depths[index] = last;
    }
    depths
}
