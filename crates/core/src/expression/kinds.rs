//! What is known of the kind of a value before it is there, so that what can never work is refused when it is written.

use std::fmt;

use cel::common::ast::LiteralValue;
use cel::common::ast::operators as operator;

/// Of most values the kind is not known before they are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Any,
    Bool,
    Bytes,
    Double,
    Duration,
    Int,
    List,
    Map,
    Null,
    Text,
    Time,
    Uint,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "any value",
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Double => "double",
            Self::Duration => "duration",
            Self::Int => "int",
            Self::List => "list",
            Self::Map => "map",
            Self::Null => "null",
            Self::Text => "string",
            Self::Time => "timestamp",
            Self::Uint => "uint",
        })
    }
}

impl Kind {
    pub(super) fn of(literal: &LiteralValue) -> Self {
        match literal {
            LiteralValue::Boolean(_) => Self::Bool,
            LiteralValue::Bytes(_) => Self::Bytes,
            LiteralValue::Double(_) => Self::Double,
            LiteralValue::Int(_) => Self::Int,
            LiteralValue::Null => Self::Null,
            LiteralValue::String(_) => Self::Text,
            LiteralValue::UInt(_) => Self::Uint,
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Double | Self::Int | Self::Uint)
    }

    pub(super) fn may_be(self, other: Self) -> bool {
        self == Self::Any || other == Self::Any || self == other
    }

    /// Of two, one of which it will be.
    pub(super) fn or(self, other: Self) -> Self {
        if self == other { self } else { Self::Any }
    }
}

/// The kind of what an operator makes of two operands; `None` if it can take no such two.
pub(super) fn of_operator(name: &str, left: Kind, right: Kind) -> Option<Kind> {
    use Kind::{Any, Bool, Bytes, Double, Duration, Int, List, Map, Text, Time, Uint};
    let is_same = |kinds: &[Kind]| {
        let known = if left == Any { right } else { left };
        (left.may_be(right) && (known == Any || kinds.contains(&known))).then_some(known)
    };
    match name {
        operator::LOGICAL_AND | operator::LOGICAL_OR => (left.may_be(Bool) && right.may_be(Bool)).then_some(Bool),
        operator::EQUALS | operator::NOT_EQUALS => Some(Bool),
        operator::IN => matches!(right, Any | List | Map).then_some(Bool),
        operator::LESS | operator::LESS_EQUALS | operator::GREATER | operator::GREATER_EQUALS => {
            let numbers = left.is_number() && right.is_number();
            let others = is_same(&[Bool, Bytes, Double, Duration, Int, Text, Time, Uint]).is_some();
            (numbers || others).then_some(Bool)
        }
        // With a time or a duration the other one may be either.
        operator::ADD | operator::SUBSTRACT if [left, right].iter().any(|kind| matches!(kind, Time | Duration)) => {
            let fits = |kind| matches!(kind, Any | Time | Duration);
            (fits(left) && fits(right)).then_some(Any)
        }
        operator::ADD => is_same(&[Bytes, Double, Int, List, Text, Uint]),
        operator::SUBSTRACT | operator::MULTIPLY | operator::DIVIDE => is_same(&[Double, Int, Uint]),
        operator::MODULO => is_same(&[Int, Uint]),
        // Of any other index the whole list would be copied into the error.
        operator::INDEX => {
            let indexed = matches!(left, Any | List | Map);
            let by = matches!(right, Any | Bool | Int | Text | Uint);
            (indexed && by).then_some(Any)
        }
        _ => Some(Any),
    }
}

/// The functions of the standard library, and some of its extension for texts: their names, whether they are called on a value or with it, and what they make.
const FUNCTIONS: &[(&str, Form, Kind)] = &[
    ("bool", Form::Global, Kind::Bool),
    ("bytes", Form::Global, Kind::Bytes),
    ("contains", Form::Member, Kind::Bool),
    ("double", Form::Global, Kind::Double),
    ("duration", Form::Global, Kind::Duration),
    ("dyn", Form::Global, Kind::Any),
    ("endsWith", Form::Member, Kind::Bool),
    ("getDate", Form::Member, Kind::Int),
    ("getDayOfMonth", Form::Member, Kind::Int),
    ("getDayOfWeek", Form::Member, Kind::Int),
    ("getDayOfYear", Form::Member, Kind::Int),
    ("getFullYear", Form::Member, Kind::Int),
    ("getHours", Form::Member, Kind::Int),
    ("getMilliseconds", Form::Member, Kind::Int),
    ("getMinutes", Form::Member, Kind::Int),
    ("getMonth", Form::Member, Kind::Int),
    ("getSeconds", Form::Member, Kind::Int),
    ("int", Form::Global, Kind::Int),
    ("lowerAscii", Form::Member, Kind::Text),
    ("matches", Form::Either, Kind::Bool),
    ("size", Form::Either, Kind::Int),
    ("startsWith", Form::Member, Kind::Bool),
    ("string", Form::Global, Kind::Text),
    ("timestamp", Form::Global, Kind::Time),
    ("type", Form::Global, Kind::Any),
    ("uint", Form::Global, Kind::Uint),
    ("upperAscii", Form::Member, Kind::Text),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Global,
    Member,
    Either,
}

/// What a function makes, if there is one of that name that is called so.
pub(super) fn of_function(name: &str, on_a_value: bool) -> Option<Kind> {
    let (_, form, kind) = FUNCTIONS.iter().find(|(known, ..)| *known == name)?;
    match form {
        Form::Either => true,
        Form::Global => !on_a_value,
        Form::Member => on_a_value,
    }
    .then_some(*kind)
}

/// Those that are called on a value, or with it, in the order of their names.
pub(super) fn functions(on_a_value: bool) -> impl Iterator<Item = &'static str> {
    let other = if on_a_value { Form::Global } else { Form::Member };
    FUNCTIONS
        .iter()
        .filter(move |(_, form, _)| *form != other)
        .map(|(name, ..)| *name)
}

/// A type as it is called here, by the name that the interpreter has for it.
pub(super) fn type_name(name: &str) -> &str {
    match name {
        "float" => "double",
        "null_type" => "null",
        "google.protobuf.Duration" => "duration",
        "google.protobuf.Timestamp" => "timestamp",
        other => other,
    }
}

/// What takes no operands of some types, as it is written; functions with the parentheses of their calls.
pub(super) fn written(function: &str) -> String {
    let is_operator = |name: &str| name.starts_with(['_', '!', '-', '@']);
    match function {
        operator::IN => "in".to_owned(),
        operator::CONDITIONAL => "?".to_owned(),
        operator::INDEX => "[]".to_owned(),
        name if is_operator(name) => name.replace(['_', '@'], ""),
        name => format!("{name}()"),
    }
}

/// The names of types, which stand for themselves: `type(x) == int`.
pub(super) fn is_type(name: &str) -> bool {
    const TYPES: [&str; 10] = [
        "bool",
        "bytes",
        "double",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "type",
        "uint",
    ];
    TYPES.contains(&name)
}
