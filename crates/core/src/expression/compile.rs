//! From a source to an expression: parsed, held against every bound that does not depend on values, and metered.

use std::iter::Sum;
use std::ops::Add;
use std::sync::Arc;

use cel::common::ast::{Expr, IdedExpr};
use cel::parser::{ParseErrors, PrattParser};

use super::metering::Metering;
use super::scope::{EvaluationError, Scope};
use crate::JsonText;

/// The longest source.
pub const SOURCE_MAX_BYTES: usize = 4 << 10;

/// The most parts of an expression, those included that `exists` and its like expand to.
pub const NODES_MAX: usize = 500;

/// How deep its parts may lie in one another. Each level takes stack.
pub const DEPTH_MAX: usize = 32;

/// How deep `all`, `exists`, `exists_one`, `filter` and `map` may stand inside each other.
pub const LOOPS_MAX: usize = 2;

/// The most regular expressions of an expression. Each is compiled with it.
pub const REGEXES_MAX: usize = 10;

/// What takes time whenever a text with expressions is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    pub expressions: usize,
    pub regexes: usize,
}

impl Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            expressions: self.expressions + other.expressions,
            regexes: self.regexes + other.regexes,
        }
    }
}

impl Sum for Size {
    fn sum<I: Iterator<Item = Self>>(sizes: I) -> Self {
        sizes.fold(Self::default(), Add::add)
    }
}

/// A name that an expression may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable<'a> {
    pub name: &'a str,
    /// Its fields, where they are known: any other is a mistake.
    pub fields: Option<&'a [&'a str]>,
}

impl<'a> Variable<'a> {
    /// One of which nothing is known but its name.
    pub const fn any(name: &'a str) -> Self {
        Self { name, fields: None }
    }

    pub const fn with_fields(name: &'a str, fields: &'a [&'a str]) -> Self {
        Self {
            name,
            fields: Some(fields),
        }
    }
}

/// Why a source is no expression, and where: the number of a character, from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {position}: {message}")]
pub struct InvalidExpression {
    pub position: usize,
    pub message: String,
}

/// An expression that meets every rule that can be checked without values.
#[derive(Debug, Clone)]
pub struct Expression(Arc<Form>);

#[derive(Debug)]
enum Form {
    /// Nothing but a variable: its JSON is handed on byte for byte, however large or precise its numbers are.
    Variable(String),
    Computed {
        tree: IdedExpr,
        regexes: usize,
    },
}

impl Expression {
    /// # Errors
    /// [`InvalidExpression`] for what can be seen without values: syntax, names that are not there, operands that no operator
    /// takes, and what is too large, too deep, or fails whatever the values are.
    pub fn compile(source: &str, variables: &[Variable<'_>]) -> Result<Self, InvalidExpression> {
        if source.len() > SOURCE_MAX_BYTES {
            return Err(InvalidExpression {
                position: 1,
                message: format!(
                    "an expression must not be longer than {SOURCE_MAX_BYTES} bytes, not {}",
                    source.len()
                ),
            });
        }
        let tree = parse(source)?;
        if let Expr::Ident(name) = &tree.expr
            && variables.iter().any(|variable| variable.name == name)
        {
            return Ok(Self(Arc::new(Form::Variable(name.clone()))));
        }
        let mut metering = Metering::new(variables);
        let (tree, _) = metering.metered(tree, 1).map_err(|fault| fault.in_source(source))?;
        if metering.is_constant
            && let Err(error) = Scope::new([]).evaluate(&tree, usize::MAX)
        {
            return Err(InvalidExpression {
                position: begin(source),
                message: error.to_string(),
            });
        }
        let regexes = metering.regexes;
        Ok(Self(Arc::new(Form::Computed { tree, regexes })))
    }

    pub(super) fn size(&self) -> Size {
        let regexes = match self.0.as_ref() {
            Form::Variable(_) => 0,
            Form::Computed { regexes, .. } => *regexes,
        };
        Size {
            expressions: 1,
            regexes,
        }
    }

    /// Its value, of at most so many bytes of JSON.
    ///
    /// # Errors
    /// [`EvaluationError`]: what it says quotes no value.
    pub fn evaluate(&self, scope: &Scope, most: usize) -> Result<JsonText, EvaluationError> {
        match self.0.as_ref() {
            Form::Variable(name) => {
                let json = scope.json(name);
                let json = json.ok_or_else(|| EvaluationError::Failed(format!("there is no {name}")))?;
                if json.len() > most {
                    return Err(EvaluationError::TooLarge { most });
                }
                Ok(json.clone())
            }
            Form::Computed { tree, .. } => {
                let json = scope.evaluate(tree, most)?;
                // Texts can be put together to what JSON may hold and we do not: U+0000, or too many levels.
                JsonText::new(json).map_err(|error| EvaluationError::Failed(format!("the result {error}")))
            }
        }
    }
}

fn parse(source: &str) -> Result<IdedExpr, InvalidExpression> {
    let depth = u16::try_from(DEPTH_MAX).unwrap_or(u16::MAX);
    let parsed = std::panic::catch_unwind(|| PrattParser::new().max_recursion_depth(depth).parse(source));
    match parsed {
        Ok(Ok(tree)) => Ok(tree),
        Ok(Err(errors)) => Err(syntax(source, &errors)),
        Err(_) => Err(InvalidExpression {
            position: begin(source),
            message: "it cannot be parsed".to_owned(),
        }),
    }
}

/// Where it begins behind blanks.
fn begin(source: &str) -> usize {
    character(source, source.len() - source.trim_start().len())
}

/// The first error that has a place.
fn syntax(source: &str, errors: &ParseErrors) -> InvalidExpression {
    let first = errors.errors.iter().find(|error| error.pos.0 > 0);
    let Some(first) = first.or_else(|| errors.errors.first()) else {
        return InvalidExpression {
            position: begin(source),
            message: "it cannot be parsed".to_owned(),
        };
    };
    let (line, column) = first.pos;
    let before: usize = source
        .split_inclusive('\n')
        .take(usize::try_from(line - 1).unwrap_or(0))
        .map(str::len)
        .sum();
    let offset = before + usize::try_from(column - 1).unwrap_or(0);
    let message = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
    InvalidExpression {
        position: character(source, offset),
        message: message.replace("<EOF>", "the end"),
    }
}

/// The number of the character at a byte, from 1.
pub(super) fn character(text: &str, offset: usize) -> usize {
    text[..text.floor_char_boundary(offset)].chars().count() + 1
}
