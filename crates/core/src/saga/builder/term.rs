//! Values that are there when the saga runs.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Add, BitAnd, BitOr, Not};

use serde::Serialize;
use serde_json::{Map, Value};

use super::typed::Fields;

/// What will be a `T` when the saga runs: a field of its context or of an event, a constant, or something made of them.
pub struct Term<T> {
    source: Source,
    types: PhantomData<fn() -> T>,
}

#[derive(Debug, Clone)]
enum Source {
    Expression {
        cel: String,
        /// Whether operators in it could be torn apart by others beside it.
        is_compound: bool,
        /// The field of the context that it is, if it is nothing but one.
        field: Option<&'static str>,
    },
    Constant(Value),
    /// One text after the other.
    Texts(Vec<Source>),
    Object(Vec<(&'static str, Source)>),
}

/// Where a value is found, as expressions write it.
#[derive(Debug, Clone)]
pub struct Place {
    cel: String,
    is_context: bool,
}

impl Place {
    pub(super) fn context() -> Self {
        Self {
            cel: "context".to_owned(),
            is_context: true,
        }
    }

    pub(super) fn of(cel: &str) -> Self {
        Self {
            cel: cel.to_owned(),
            is_context: false,
        }
    }

    /// What is there.
    pub(super) fn itself<T>(&self) -> Term<T> {
        Term::of(Source::Expression {
            cel: self.cel.clone(),
            is_compound: false,
            field: None,
        })
    }

    /// A field of what is there.
    pub fn field<T>(&self, name: &'static str) -> Term<T> {
        let cel = if is_plain(name) {
            format!("{}.{name}", self.cel)
        } else {
            format!("{}[{}]", self.cel, Value::from(name))
        };
        Term::of(Source::Expression {
            cel,
            is_compound: false,
            field: self.is_context.then_some(name),
        })
    }
}

/// Whether an expression may write it behind a dot.
fn is_plain(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && !RESERVED.contains(&name)
}

/// Words that the language of expressions keeps for itself.
const RESERVED: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "package",
    "namespace",
    "null",
    "return",
    "true",
    "var",
    "void",
    "while",
];

impl Source {
    /// As an operand.
    fn cel(&self) -> String {
        match self {
            Self::Expression { cel, is_compound, .. } if *is_compound => format!("({cel})"),
            Self::Expression { cel, .. } => cel.clone(),
            Self::Constant(value) => value.to_string(),
            Self::Texts(parts) => {
                let parts: Vec<String> = parts.iter().map(Self::cel).collect();
                format!("({})", parts.join(" + "))
            }
            Self::Object(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| format!("{}: {}", Value::from(*name), value.cel()));
                let fields: Vec<String> = fields.collect();
                format!("{{{}}}", fields.join(", "))
            }
        }
    }

    /// As a value whose texts may hold expressions.
    fn json(self) -> Value {
        match self {
            Self::Expression { cel, .. } => Value::String(format!("${{ {cel} }}")),
            Self::Constant(value) => escaped(value),
            Self::Texts(parts) => {
                let parts = parts.into_iter().map(|part| {
                    let cel = part.cel();
                    match part.json() {
                        // The dollar would take the expression behind it for a text.
                        Value::String(text) if text.ends_with('$') => format!("${{ {cel} }}"),
                        Value::String(text) => text,
                        other @ (Value::Null
                        | Value::Bool(_)
                        | Value::Number(_)
                        | Value::Array(_)
                        | Value::Object(_)) => other.to_string(),
                    }
                });
                Value::String(parts.collect())
            }
            Self::Object(fields) => {
                let fields = fields.into_iter();
                Value::Object(fields.map(|(name, value)| (name.to_owned(), value.json())).collect())
            }
        }
    }
}

/// A constant in which no text is taken for an expression.
fn escaped(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace("${", "$${")),
        Value::Array(entries) => entries.into_iter().map(escaped).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, value)| (name, escaped(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_)) => plain,
    }
}

impl<T> Term<T> {
    const fn of(source: Source) -> Self {
        Self {
            source,
            types: PhantomData,
        }
    }

    fn compound<U>(cel: String) -> Term<U> {
        Term::of(Source::Expression {
            cel,
            is_compound: true,
            field: None,
        })
    }

    /// Terms for all fields of a struct, as the struct.
    pub fn object(fields: impl IntoIterator<Item = (&'static str, Whatever)>) -> Self {
        let fields = fields.into_iter().map(|(name, Whatever(source))| (name, source));
        Self::of(Source::Object(fields.collect()))
    }

    /// Without its type.
    pub fn whatever(self) -> Whatever {
        Whatever(self.source)
    }

    pub(super) fn json(self) -> Value {
        self.source.json()
    }

    /// As it stands in a guard, where it needs no parentheses.
    pub(super) fn guard(&self) -> String {
        match &self.source {
            Source::Expression { cel, .. } => cel.clone(),
            other @ (Source::Constant(_) | Source::Texts(_) | Source::Object(_)) => other.cel(),
        }
    }

    /// What a field of the context becomes.
    #[must_use = "a change is made by the transition that it is given to"]
    pub fn to(self, value: impl Into<Self>) -> Assignment {
        Assignment {
            field: self.context_field(),
            value: value.into().json(),
        }
    }

    /// The field of the context that it is, if it is nothing but one.
    pub(super) fn context_field(&self) -> Option<&'static str> {
        match &self.source {
            Source::Expression { field, .. } => *field,
            Source::Constant(_) | Source::Texts(_) | Source::Object(_) => None,
        }
    }

    /// Whether it is the same as another.
    #[must_use]
    pub fn equals(self, other: impl Into<Self>) -> Term<bool> {
        self.compared("==", &other.into())
    }

    #[must_use]
    pub fn is_above(self, other: impl Into<Self>) -> Term<bool> {
        self.compared(">", &other.into())
    }

    #[must_use]
    pub fn is_below(self, other: impl Into<Self>) -> Term<bool> {
        self.compared("<", &other.into())
    }

    fn compared(&self, operator: &str, other: &Self) -> Term<bool> {
        let compared = format!("{} {operator} {}", self.source.cel(), other.source.cel());
        Self::compound(compared)
    }

    /// As a text: what is no text as its JSON.
    #[must_use]
    pub fn shown(self) -> Term<String> {
        Self::call("string", &self.source)
    }

    fn call<U>(function: &str, operand: &Source) -> Term<U> {
        let operand = match operand {
            Source::Expression { cel, .. } => cel.clone(),
            other @ (Source::Constant(_) | Source::Texts(_) | Source::Object(_)) => other.cel(),
        };
        Term::of(Source::Expression {
            cel: format!("{function}({operand})"),
            is_compound: false,
            field: None,
        })
    }
}

impl<T: Fields> Term<T> {
    /// Its own fields.
    pub fn fields(&self) -> T::Terms {
        T::terms(&Place::of(&self.source.cel()))
    }
}

impl<T> Term<Option<T>> {
    /// The value that is known to be there by now. Where it is not, the transition fails, and the saga asks for attention.
    #[must_use]
    pub fn known(self) -> Term<T> {
        Term::of(self.source)
    }
}

impl<T> Term<Vec<T>> {
    /// How many entries it has.
    #[must_use]
    pub fn count(self) -> Term<u64> {
        Self::call("size", &self.source)
    }
}

/// A term whose type was checked already.
#[derive(Debug, Clone)]
pub struct Whatever(Source);

impl<T> Clone for Term<T> {
    fn clone(&self) -> Self {
        Self::of(self.source.clone())
    }
}

impl<T> fmt::Debug for Term<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Term({})", self.source.cel())
    }
}

/// A constant.
///
/// # Panics
/// If it cannot be written as JSON.
pub fn constant<T: Serialize>(value: T) -> Term<T> {
    let value = serde_json::to_value(value).expect("a constant of a saga is JSON");
    Term::of(Source::Constant(value))
}

/// What an expression says, in its own language: whether there is a `T` in it is up to whoever writes it.
pub fn cel<T>(expression: impl Into<String>) -> Term<T> {
    Term::<T>::compound(expression.into())
}

/// The id of the saga.
pub fn saga_id() -> Term<String> {
    Place::of("saga").field("id")
}

/// What it is known by to those who send it events.
pub fn correlation_id() -> Term<String> {
    Place::of("saga").field("correlation_id")
}

impl From<&str> for Term<String> {
    fn from(text: &str) -> Self {
        constant(text.to_owned())
    }
}

impl From<bool> for Term<bool> {
    fn from(value: bool) -> Self {
        constant(value)
    }
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl From<$number> for Term<$number> {
            fn from(value: $number) -> Self {
                constant(value)
            }
        })*
    };
}

numbers!(f64, i32, i64, u32, u64);

/// Where there may be nothing, there may be something.
impl<T> From<Term<T>> for Term<Option<T>> {
    fn from(term: Term<T>) -> Self {
        Self::of(term.source)
    }
}

impl From<&str> for Term<Option<String>> {
    fn from(text: &str) -> Self {
        Term::<String>::from(text).into()
    }
}

impl Not for Term<bool> {
    type Output = Self;

    fn not(self) -> Self {
        Self::of(Source::Expression {
            cel: format!("!{}", self.source.cel()),
            is_compound: false,
            field: None,
        })
    }
}

impl BitAnd for Term<bool> {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self::compound(format!("{} && {}", self.source.cel(), other.source.cel()))
    }
}

impl BitOr for Term<bool> {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self::compound(format!("{} || {}", self.source.cel(), other.source.cel()))
    }
}

/// One text after the other.
impl<T: Into<Term<String>>> Add<T> for Term<String> {
    type Output = Self;

    fn add(self, other: T) -> Self {
        let parts = [self.source, other.into().source];
        let parts = parts.into_iter().flat_map(|part| match part {
            Source::Texts(parts) => parts,
            other @ (Source::Expression { .. } | Source::Constant(_) | Source::Object(_)) => vec![other],
        });
        Self::of(Source::Texts(parts.collect()))
    }
}

/// What one field of the context becomes: see [`Term::to`].
#[derive(Debug, Clone)]
pub struct Assignment {
    /// `None` if it was asked of what is no field of the context.
    pub(super) field: Option<&'static str>,
    pub(super) value: Value,
}

/// One change, or an array of them.
pub trait Assignments {
    fn each(self) -> Vec<Assignment>;
}

impl Assignments for Assignment {
    fn each(self) -> Vec<Assignment> {
        vec![self]
    }
}

impl<const N: usize> Assignments for [Assignment; N] {
    fn each(self) -> Vec<Assignment> {
        self.into()
    }
}

impl Assignments for Vec<Assignment> {
    fn each(self) -> Vec<Assignment> {
        self
    }
}
