//! The little of Markdown that the checks on documents need.

/// The levels of the headings, in order.
pub(super) fn heading_levels(text: &str) -> Vec<usize> {
    prose(text).filter_map(heading_level).collect()
}

/// The fenced blocks with their fences, in order.
pub(super) fn code_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match (&mut open, is_fence(line)) {
            (None, true) => open = Some(line.to_owned()),
            (None, false) => {}
            (Some(block), fence) => {
                block.push('\n');
                block.push_str(line);
                if fence {
                    blocks.extend(open.take());
                }
            }
        }
    }
    blocks
}

/// Where links lead that do not leave the repository, without the place inside of the file.
pub(super) fn local_links(text: &str) -> Vec<&str> {
    let targets = prose(text)
        .flat_map(|line| line.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next());
    let files = targets.filter_map(|target| target.split('#').next());
    files
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// The tables whose header ends with this cell, each as its rows.
pub(super) fn tables_with_last_column(text: &str, column: &str) -> Vec<Vec<Vec<String>>> {
    let mut tables = Vec::new();
    let mut lines = prose(text);
    while let Some(line) = lines.next() {
        if cells(line).last().map(String::as_str) == Some(column) {
            // The line of dashes under the header.
            let rows = lines.by_ref().skip(1).map(cells);
            tables.push(rows.take_while(|row| !row.is_empty()).collect());
        }
    }
    tables
}

/// What stands between backquotes, in order.
pub(super) fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn cells(line: &str) -> Vec<String> {
    let line = line.trim();
    let Some(inner) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
        return Vec::new();
    };
    inner.split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = is_fence(line);
        fenced ^= fence;
        !fenced && !fence
    })
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with("```")
}

fn heading_level(line: &str) -> Option<usize> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    (level > 0 && line[level..].starts_with(' ')).then_some(level)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Name\nSee [there](docs/a.md#part), [web](https://example.org).\n```sh\n# no heading [x](y)\n```\n## Next\n\
                        | crate | may depend on |\n|---|---|\n| `crates/a` | core |\n\nEnd.\n";

    #[test]
    fn headings_and_links_are_not_looked_for_inside_of_code() {
        assert_eq!(heading_levels(TEXT), [1, 2]);
        assert_eq!(local_links(TEXT), ["docs/a.md"]);
    }

    #[test]
    fn code_blocks_come_with_their_fences() {
        assert_eq!(code_blocks(TEXT), ["```sh\n# no heading [x](y)\n```"]);
    }

    #[test]
    fn tables_are_found_by_their_last_column() {
        let row = vec!["`crates/a`".to_owned(), "core".to_owned()];
        assert_eq!(tables_with_last_column(TEXT, "may depend on"), [[row.clone()]]);
        let twice = TEXT.repeat(2);
        assert_eq!(tables_with_last_column(&twice, "may depend on"), [[row.clone()], [row]]);
        assert!(tables_with_last_column(TEXT, "another").is_empty());
    }

    #[test]
    fn code_spans_are_what_stands_between_backquotes() {
        assert_eq!(code_spans("`a`, b, `c d`.").collect::<Vec<_>>(), ["a", "c d"]);
    }
}
