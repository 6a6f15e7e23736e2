//! What somebody probably meant who misspelt a name.

/// The longest text that is compared: the comparison takes as many steps as both lengths multiplied.
const COMPARED_MAX_CHARACTERS: usize = 100;

/// The candidate that is most like a name, if one is like enough: a third of its letters may differ, but not all.
/// Of several that are equally like it, the first.
pub(crate) fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters: Vec<char> = name.chars().flat_map(char::to_lowercase).collect();
    if letters.is_empty() || letters.len() > COMPARED_MAX_CHARACTERS {
        return None;
    }
    let most = (letters.len() / 3).max(1);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let others: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
        if others.len().abs_diff(letters.len()) > most {
            continue;
        }
        let distance = edit_distance(&letters, &others);
        let is_like = distance <= most && distance < letters.len();
        if is_like && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbour to get from one to the other
/// (optimal string alignment).
fn edit_distance(from: &[char], to: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for row in 1..=from.len() {
        let mut current = vec![row; to.len() + 1];
        for column in 1..=to.len() {
            let is_other = usize::from(from[row - 1] != to[column - 1]);
            let mut least = (last[column] + 1)
                .min(current[column - 1] + 1)
                .min(last[column - 1] + is_other);
            let is_swapped =
                row > 1 && column > 1 && from[row - 1] == to[column - 2] && from[row - 2] == to[column - 1];
            if is_swapped {
                least = least.min(before_last[column - 2] + 1);
            }
            current[column] = least;
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(from: &str, to: &str) -> usize {
        let letters = |text: &str| text.chars().collect::<Vec<char>>();
        edit_distance(&letters(from), &letters(to))
    }

    #[test]
    fn the_distance_counts_letters_and_a_swap_once() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("target", "target", 0),
            ("traget", "target", 1),
            ("tagret", "target", 1),
            ("targt", "target", 1),
            ("kitten", "sitting", 3),
            ("é", "e", 1),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }

    #[test]
    fn the_most_like_name_is_suggested_and_a_strange_one_is_not() {
        let names = ["AwaitingPayment", "AwaitingShipment", "Completed", "on"];
        assert_eq!(closest("AwaitingPaymnet", names), Some("AwaitingPayment"));
        assert_eq!(closest("completed", names), Some("Completed"));
        assert_eq!(closest("no", names), Some("on"));
        assert_eq!(closest("Elsewhere", names), None);
        assert_eq!(closest("x", ["y"]), None);
        assert_eq!(closest("", names), None);
        assert_eq!(closest(&"x".repeat(1_000), names), None);
    }
}
