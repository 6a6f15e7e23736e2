//! Which functions a Rust source has, as far as its lines tell.

/// The name of each, and the line on which it begins.
pub(super) fn functions(source: &str) -> impl Iterator<Item = (&str, usize)> {
    source.lines().zip(1..).filter_map(|(line, number)| {
        let (before, rest) = line.split_once("fn ")?;
        let name = words(rest).next().filter(|name| rest.starts_with(name))?;
        (!before.contains("//")).then_some((name, number))
    })
}

/// What may be a name, in order.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let ends = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
    text.split(ends).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_with_their_lines_and_none_in_comments() {
        let source = "fn a() {}\n// fn b() {}\n\n    pub(crate) async fn c_1<T>(fn_: T) {}\nlet f: fn (u8);";
        assert_eq!(functions(source).collect::<Vec<_>>(), [("a", 1), ("c_1", 4)]);
    }
}
