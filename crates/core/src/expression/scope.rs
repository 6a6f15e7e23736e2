//! The values that expressions see, and the steps they may take together.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use cel::common::ast::operators as operator;
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::parser::Expression as Tree;
use cel::{Context, Env, ExecutionError, OverloadError, Value};

use super::{convert, kinds, meter};
use crate::JsonText;

/// How many steps the expressions of one scope may take together. A step is about 0.1 µs, so they end within a tenth of a
/// second, whatever they are: rows are locked meanwhile.
pub const STEPS_MAX: u64 = 1_000_000;

/// The most of a name that comes from data, in characters. Not less: a list of follow-ups tells as such why one is missing.
pub(crate) const NAME_SHOWN: usize = 500;

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvaluationError {
    #[error("{0}")]
    Failed(String),
    #[error("the expressions take more than {STEPS_MAX} steps together")]
    TooManySteps,
    #[error("the result is larger than {most} bytes")]
    TooLarge { most: usize },
}

/// Named JSON values. Each is read when an expression asks for it, once for all of them.
pub struct Scope {
    bound: Vec<Arc<Bound>>,
    steps_left: Arc<AtomicU64>,
    is_reading_free: bool,
}

struct Bound {
    name: &'static str,
    json: JsonText,
    value: OnceLock<Box<dyn Val>>,
}

/// Making one takes twenty times as long as evaluating an expression in it.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(meter::environment()));

impl Scope {
    pub fn new(variables: impl IntoIterator<Item = (&'static str, JsonText)>) -> Self {
        Self::with_steps(variables, STEPS_MAX)
    }

    /// One whose expressions may take fewer steps, at most [`STEPS_MAX`].
    pub fn with_steps(variables: impl IntoIterator<Item = (&'static str, JsonText)>, steps: u64) -> Self {
        Self {
            bound: variables.into_iter().map(bound).collect(),
            steps_left: Arc::new(AtomicU64::new(steps.min(STEPS_MAX))),
            is_reading_free: false,
        }
    }

    /// The same, where reading the variables costs no steps. Each is read once, so that is bounded by how large they are.
    pub(crate) fn with_free_reading(variables: impl IntoIterator<Item = (&'static str, JsonText)>, steps: u64) -> Self {
        Self {
            is_reading_free: true,
            ..Self::with_steps(variables, steps)
        }
    }

    /// One with more variables. What was read of the others is not read again, and both use the same steps.
    #[must_use]
    pub fn with(&self, variables: impl IntoIterator<Item = (&'static str, JsonText)>) -> Self {
        let others = self.bound.iter().cloned();
        Self {
            bound: others.chain(variables.into_iter().map(bound)).collect(),
            steps_left: Arc::clone(&self.steps_left),
            is_reading_free: self.is_reading_free,
        }
    }

    /// One in which a variable is another one. What was read of the others is not read again, and both use the same steps.
    #[must_use]
    pub(crate) fn replacing(&self, name: &'static str, json: JsonText) -> Self {
        let others = self.bound.iter().filter(|bound| bound.name != name).cloned();
        Self {
            bound: others.chain(std::iter::once(bound((name, json)))).collect(),
            steps_left: Arc::clone(&self.steps_left),
            is_reading_free: self.is_reading_free,
        }
    }

    /// What was used of [`STEPS_MAX`].
    pub fn steps_taken(&self) -> u64 {
        STEPS_MAX.saturating_sub(self.steps_left.load(Ordering::Relaxed))
    }

    /// The JSON of a variable, byte for byte.
    pub(super) fn json(&self, name: &str) -> Option<&JsonText> {
        self.bound
            .iter()
            .find(|bound| bound.name == name)
            .map(|bound| &bound.json)
    }

    /// The value of a metered tree as JSON of at most so many bytes.
    pub(super) fn evaluate(&self, tree: &Tree, most: usize) -> Result<String, EvaluationError> {
        let evaluate = || {
            let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
            context.set_variable_resolver(self);
            let value = Value::resolve_val(tree, &context).map_err(|error| failure(&error))?;
            convert::to_json(value.as_ref(), most)
        };
        meter::start(self.steps_left.load(Ordering::Relaxed));
        // The crate panics on trees that its parser does not make; a caller with locked rows must not find out which.
        let value = std::panic::catch_unwind(std::panic::AssertUnwindSafe(evaluate));
        self.steps_left.store(meter::stop(), Ordering::Relaxed);
        if meter::is_exceeded() {
            return Err(EvaluationError::TooManySteps);
        }
        value.unwrap_or_else(|_| Err(EvaluationError::Failed("the expression cannot be evaluated".to_owned())))
    }
}

fn bound((name, json): (&'static str, JsonText)) -> Arc<Bound> {
    Arc::new(Bound {
        name,
        json,
        value: OnceLock::new(),
    })
}

impl VariableResolver for Scope {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let bound = self.bound.iter().find(|bound| bound.name == variable)?;
        if bound.value.get().is_none() {
            let read = || convert::from_json(bound.json.as_str()).ok();
            // Whoever has no steps left to read it has read nothing.
            let value = if self.is_reading_free {
                meter::free(read)
            } else {
                read()
            }?;
            bound.value.get_or_init(|| value);
        }
        bound.value.get().map(|value| CowVal::Borrowed(value.as_ref()))
    }
}

/// Without the values, which may be secrets.
impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.bound.iter().map(|bound| bound.name).collect();
        f.debug_struct("Scope")
            .field("variables", &names)
            .finish_non_exhaustive()
    }
}

/// An operator as it is written.
fn sign(operator: &str) -> &str {
    match operator {
        "add" => "+",
        "sub" => "-",
        "mul" => "*",
        "div" => "/",
        "rem" => "%",
        other => other,
    }
}

/// The same words as for what is seen when an expression is compiled.
fn not_taken(overload: &OverloadError) -> String {
    let types: Vec<&str> = overload
        .argument_types()
        .iter()
        .map(|name| kinds::type_name(name))
        .collect();
    match overload.function() {
        "_._" => format!("{} has no fields", types.first().copied().unwrap_or_default()),
        operator::LOGICAL_NOT => format!("! needs bool, not {}", types.join(" and ")),
        name => format!("{} does not take {}", kinds::written(name), types.join(" and ")),
    }
}

/// In words, with the types of the values and never the values themselves.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the errors of another crate, which may grow, and may quote values"
)]
fn failure(error: &ExecutionError) -> EvaluationError {
    let kind = |value: &Value| kinds::type_name(&value.type_of().to_string()).to_owned();
    EvaluationError::Failed(match error {
        ExecutionError::FunctionError { function, .. } if function == meter::OUT_OF_STEPS => {
            return EvaluationError::TooManySteps;
        }
        ExecutionError::FunctionError { function, message } if function == meter::REFUSED => message.clone(),
        ExecutionError::FunctionError { function, .. } => format!("{function}() cannot take what it was given"),
        ExecutionError::NoSuchKey(name) => {
            format!(
                "there is no field {:?}",
                name.chars().take(NAME_SHOWN).collect::<String>()
            )
        }
        ExecutionError::NoSuchOverload(overload) => not_taken(overload),
        ExecutionError::UnexpectedType { got, want } => format!("it needs {want}, not {}", kinds::type_name(got)),
        ExecutionError::UnsupportedBinaryOperator(operator, left, right) => {
            format!("{} does not take {} and {}", sign(operator), kind(left), kind(right))
        }
        ExecutionError::ValuesNotComparable(left, right) => {
            format!("{} and {} cannot be compared", kind(left), kind(right))
        }
        ExecutionError::UnsupportedKeyType(value) => format!("{} cannot be the key of a map", kind(value)),
        ExecutionError::IndexOutOfBounds(_) => "an index is beyond the end of its list".to_owned(),
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "it divides by zero".to_owned(),
        ExecutionError::Overflow(..) => "a number is too large".to_owned(),
        ExecutionError::DuplicateKey(_) => "a map has the same key twice".to_owned(),
        ExecutionError::UndeclaredReference(name) => {
            format!("there is no {}", name.chars().take(NAME_SHOWN).collect::<String>())
        }
        _ => "it does not suit the types of its values".to_owned(),
    })
}
