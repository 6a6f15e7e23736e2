//! JSON over several lines. Numbers and the order of fields stay as they were written, as no reading and writing leaves them.

const INDENT: &str = "  ";

/// With a line feed at the end; `None` if it is larger than this.
pub(super) fn printed(json: &str, most: usize) -> Option<String> {
    let mut text = String::new();
    let mut depth = 0;
    let mut characters = json.chars().filter(outside_texts()).peekable();
    let mut in_text = false;
    let mut is_escaped = false;
    while let Some(character) = characters.next() {
        if text.len() > most {
            return None;
        }
        if in_text {
            text.push(character);
            in_text = is_escaped || character != '"';
            is_escaped = character == '\\' && !is_escaped;
            continue;
        }
        match character {
            '{' | '[' => {
                text.push(character);
                // What is empty stays on its line.
                if let Some(end) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    text.push(end);
                } else {
                    depth += 1;
                    line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut text, depth);
                text.push(character);
            }
            ',' => {
                text.push(character);
                line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            _ => {
                text.push(character);
                in_text = character == '"';
            }
        }
    }
    text.push('\n');
    (text.len() <= most).then_some(text)
}

/// Leaves out the white space between values.
fn outside_texts() -> impl FnMut(&char) -> bool {
    let mut in_text = false;
    let mut is_escaped = false;
    move |character| {
        if in_text {
            in_text = is_escaped || *character != '"';
            is_escaped = *character == '\\' && !is_escaped;
            return true;
        }
        in_text = *character == '"';
        !character.is_ascii_whitespace()
    }
}

fn line(text: &mut String, depth: usize) {
    text.push('\n');
    for _ in 0..depth {
        text.push_str(INDENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_over_lines_and_keeps_its_numbers_and_its_order() {
        let json = r#"{"b" : [1.0, 12345678901234567890123,{ }, [ ]],"a":{"t":"x: [\"{,\\\\"} , "e":"\\"}"#;
        let expected = "{\n  \"b\": [\n    1.0,\n    12345678901234567890123,\n    {},\n    []\n  ],\n  \"a\": {\n    \
                        \"t\": \"x: [\\\"{,\\\\\\\\\"\n  },\n  \"e\": \"\\\\\"\n}\n";
        assert_eq!(printed(json, 1_000).as_deref(), Some(expected));
        assert_eq!(printed("5", 10).as_deref(), Some("5\n"));
    }

    #[test]
    fn what_is_written_is_the_same_value() {
        let json = r#"{"a": [true, null, -1.5e3, "\u00e9\"\\ \n"], "b": {"c": []}}"#;
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        assert_eq!(read(&printed(json, 1_000).expect("it is small")), read(json));
    }

    #[test]
    fn it_grows_no_further_than_it_may() {
        let deep = format!("{}{}{}", "[".repeat(100), vec!["1"; 100_000].join(","), "]".repeat(100));
        assert_eq!(printed(&deep, 1_000_000), None);
    }
}
