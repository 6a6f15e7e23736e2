//! Expressions: CEL over named JSON values, bounded in every direction. The one place that knows the language.
//!
//! ```text
//!   source ──compile──► Expression ──evaluate(Scope)──► JSON
//!   JSON with ${ … } ──► Template ──render(Scope)─────► JSON
//! ```
//!
//! The crate behind it knows no costs, so the bounds are ours. The source has at most [`SOURCE_MAX_BYTES`], its tree
//! [`NODES_MAX`] nodes and [`DEPTH_MAX`] levels, loops nest at most [`LOOPS_MAX`] deep, and it has at most [`REGEXES_MAX`] regular expressions. All of that is seen when an
//! expression is compiled. What it costs to evaluate depends on the values, so `meter` puts a toll booth before whatever walks
//! or copies a value: each takes steps from the [`Scope`], and with none left the evaluation ends. Memory follows from that,
//! since nothing is copied that was not paid for.
//!
//! No message repeats a value: values may be secrets, and messages go into lists that others read.

mod compile;
mod convert;
mod fault;
mod kinds;
mod meter;
mod metering;
mod regexes;
mod scan;
mod scope;
mod template;
#[cfg(test)]
mod tests;

pub use compile::{
    DEPTH_MAX, Expression, InvalidExpression, LOOPS_MAX, NODES_MAX, REGEXES_MAX, SOURCE_MAX_BYTES, Size, Variable,
};
pub(crate) use regexes::check_regex;
pub use regexes::pattern_states;
pub(crate) use scope::NAME_SHOWN;
pub use scope::{EvaluationError, STEPS_MAX, Scope};
pub use template::{InvalidTemplate, Template};
