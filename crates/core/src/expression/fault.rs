//! What is wrong with an expression, on its way to its place.

use cel::parser::pratt_parser::{Lexer, Token, TokenKind};

use super::compile::{InvalidExpression, character};

/// What is wrong, and the word by which the place is found: trees of this parser know of no places.
pub(super) struct Fault {
    message: String,
    word: Option<Word>,
}

enum Word {
    /// Not behind a dot, where the same word is a field.
    Variable(String),
    /// Before a parenthesis.
    Function(String),
    Operator(String),
}

impl Fault {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            word: None,
        }
    }

    pub(super) fn at_variable(name: &str, message: String) -> Self {
        Self {
            message,
            word: Some(Word::Variable(name.to_owned())),
        }
    }

    pub(super) fn at_function(name: &str, message: String) -> Self {
        Self {
            message,
            word: Some(Word::Function(name.to_owned())),
        }
    }

    /// At the first operator of this name, as trees have it: `_+_`.
    pub(super) fn at_operator(name: &str, message: String) -> Self {
        let symbol = name.trim_matches(['_', '@']).chars();
        Self {
            message,
            word: Some(Word::Operator(symbol.take_while(|letter| *letter != '_').collect())),
        }
    }

    pub(super) fn in_source(self, source: &str) -> InvalidExpression {
        let tokens = tokens(source);
        let is_at = |index: usize| {
            let token = tokens[index];
            let text = source.get(token.start..token.end).unwrap_or_default();
            let has = |neighbour: Option<&Token>, kind| neighbour.is_some_and(|token| token.kind == kind);
            match &self.word {
                None => false,
                Some(Word::Variable(name)) => {
                    let before = index.checked_sub(1).and_then(|before| tokens.get(before));
                    text == name && token.kind == TokenKind::TokIdent && !has(before, TokenKind::TokDot)
                }
                Some(Word::Function(name)) => text == name && has(tokens.get(index + 1), TokenKind::TokLeftParen),
                Some(Word::Operator(symbol)) => text == symbol && token.kind != TokenKind::TokString,
            }
        };
        let found = (0..tokens.len()).find(|index| is_at(*index));
        InvalidExpression {
            position: character(source, found.map_or(0, |index| tokens[index].start)),
            message: self.message,
        }
    }
}

/// Those that mean something.
fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer::new(source);
    let mut tokens = Vec::new();
    loop {
        let token = lexer.lex();
        if matches!(token.kind, TokenKind::TokEnd | TokenKind::TokError) {
            return tokens;
        }
        if !matches!(token.kind, TokenKind::TokWhitespace | TokenKind::TokComment) {
            tokens.push(token);
        }
    }
}
