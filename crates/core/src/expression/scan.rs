//! Finding the expressions in a text.

use cel::parser::pratt_parser::{Lexer, TokenKind};

use super::compile::{InvalidExpression, character};

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Expression {
        source: &'a str,
        /// The number of the character at which it begins in the text, from 1.
        position: usize,
    },
}

/// The parts of a text: `${` begins an expression and the brace that belongs to it ends it; `$${` stands for `${`.
///
/// # Errors
/// If an expression has no end.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, InvalidExpression> {
    let mut pieces = Vec::new();
    // Where the text begins that has not been put into a piece.
    let mut begin = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let dollar = at + found;
        if text[..dollar].ends_with('$') && dollar > begin {
            // The first of the two dollars goes.
            push_text(&mut pieces, &text[begin..dollar - 1]);
            begin = dollar;
            at = dollar + 2;
            continue;
        }
        push_text(&mut pieces, &text[begin..dollar]);
        let source_begin = dollar + 2;
        let length = source_length(&text[source_begin..]).map_err(|(offset, message)| InvalidExpression {
            position: character(text, source_begin + offset),
            message,
        })?;
        pieces.push(Piece::Expression {
            source: &text[source_begin..source_begin + length],
            position: character(text, source_begin),
        });
        begin = source_begin + length + 1;
        at = begin;
    }
    push_text(&mut pieces, &text[begin..]);
    Ok(pieces)
}

fn push_text<'a>(pieces: &mut Vec<Piece<'a>>, text: &'a str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
}

/// How long the source is before the brace that ends it: braces of maps and in texts are not that one.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the tokens of another crate, most of which do not matter"
)]
fn source_length(text: &str) -> Result<usize, (usize, String)> {
    let mut lexer = Lexer::new(text);
    let mut open = 0_usize;
    loop {
        let token = lexer.lex();
        match token.kind {
            TokenKind::TokLeftBrace => open += 1,
            TokenKind::TokRightBrace if open == 0 => return Ok(token.start),
            TokenKind::TokRightBrace => open -= 1,
            TokenKind::TokEnd => return Err((0, "the expression has no } at its end".to_owned())),
            TokenKind::TokError => {
                let message = lexer
                    .get_error()
                    .map_or("it cannot be read", |error| error.message.as_str());
                return Err((token.start, message.to_owned()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<Vec<String>, String> {
        let pieces = pieces(text).map_err(|error| error.to_string())?;
        Ok(pieces
            .into_iter()
            .map(|piece| match piece {
                Piece::Text(text) => format!("t:{text}"),
                Piece::Expression { source, position } => format!("{position}:{source}"),
            })
            .collect())
    }

    #[test]
    fn a_text_is_taken_apart() {
        for (text, expected) in [
            ("", &[] as &[&str]),
            ("plain", &["t:plain"]),
            ("${a}", &["3:a"]),
            ("é ${ a } b${c}", &["t:é ", "5: a ", "t: b", "13:c"]),
            ("$${a}", &["t:${a}"]),
            ("x$${a} ${b}", &["t:x", "t:${a} ", "10:b"]),
            ("$ {a} $", &["t:$ {a} $"]),
            ("${ {'}': \"}\"}['}'] }!", &["3: {'}': \"}\"}['}'] ", "t:!"]),
            ("${a}$${b}", &["3:a", "t:${b}"]),
        ] {
            let shown = shown(text);
            assert_eq!(
                shown.as_deref(),
                Ok(expected.iter().map(ToString::to_string).collect::<Vec<_>>().as_slice()),
                "{text}"
            );
        }
    }

    #[test]
    fn an_expression_without_an_end_is_refused() {
        assert_eq!(
            shown("é${ a"),
            Err("at character 4: the expression has no } at its end".to_owned())
        );
        assert_eq!(
            shown("${ 'a }"),
            Err("at character 4: unterminated string literal".to_owned())
        );
    }
}
