//! Toll booths: what makes an evaluation pay for what it does.
//!
//! The interpreter has no hooks, but it evaluates any tree. So [`metered`] rewrites the tree that the parser made, with calls
//! of functions of our own around the places where values are walked or copied:
//!
//! ```text
//!   a == b            @deep(a) == @deep(b)                  compares, adds, copies into errors: all of a value
//!   x.startsWith(y)   @shallow(x).startsWith(@shallow(y))   reads a text
//!   [a, b]            [@deep(a), @deep(b)]                  copies
//!   list.map(x, f)    @range(list, weight of f).map(x, f)   copies each entry, and evaluates f so often
//!   list[i]           list[@key(i)]                         refuses before the list is copied into the error
//!   s.matches('r')    @matches(s, 'r')                      a bounded regular expression, compiled once
//! ```
//!
//! `@` cannot be written in a source, so nobody calls or avoids these. A copy of a variable that is only handed through is
//! never made, and costs nothing.

use std::cell::Cell;

use cel::common::functions::Function;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelString, CelUInt, DYN_TYPE, STRING_TYPE,
};
use cel::common::value::{CowVal, Val};
use cel::{Env, ExecutionError};

use super::{kinds, regexes};

pub(super) const DEEP: &str = "@deep";
pub(super) const SHALLOW: &str = "@shallow";
pub(super) const RANGE: &str = "@range";
pub(super) const KEY: &str = "@key";
pub(super) const MATCHES: &str = "@matches";

/// The `function` of an error of ours.
pub(super) const OUT_OF_STEPS: &str = "@out_of_steps";
/// The `function` of an error whose message is ours and quotes nothing.
pub(super) const REFUSED: &str = "@refused";

/// So many bytes of a text are walked or copied in a step.
const BYTES_A_STEP: usize = 64;

/// So many bytes of JSON are read or written in a step, beside one step for each value: each gets a place of its own in memory,
/// and a short text costs as much as one that fills such a step.
const JSON_BYTES_A_STEP: usize = 16;

/// What an evaluation costs by itself, however little it has to do: what surrounds it is made anew.
const EVALUATION: usize = 5;

thread_local! {
    static STEPS_LEFT: Cell<u64> = const { Cell::new(0) };
    /// Whether an evaluation asked for more. Not every place that does can say so by its error.
    static EXCEEDED: Cell<bool> = const { Cell::new(false) };
}

/// An evaluation on this thread has so many steps.
pub(super) fn start(steps: u64) {
    STEPS_LEFT.set(steps);
    EXCEEDED.set(false);
    pay(EVALUATION);
}

/// What is left of them.
pub(super) fn stop() -> u64 {
    STEPS_LEFT.replace(0)
}

/// Whether more steps were asked for than there were.
pub(super) fn is_exceeded() -> bool {
    EXCEEDED.get()
}

/// Whether there are so many steps left, which are taken then.
fn pay(steps: usize) -> bool {
    let remaining = STEPS_LEFT.get().checked_sub(steps as u64);
    STEPS_LEFT.set(remaining.unwrap_or(0));
    if remaining.is_none() {
        EXCEEDED.set(true);
    }
    remaining.is_some()
}

/// The same for a value of JSON that is read or written.
pub(super) fn pay_value() -> bool {
    pay(1)
}

/// The same for so many bytes of JSON that are read or written.
pub(super) fn pay_json(bytes: usize) -> bool {
    pay(bytes / JSON_BYTES_A_STEP)
}

/// What is done here costs nothing.
pub(super) fn free<T>(act: impl FnOnce() -> T) -> T {
    let left = STEPS_LEFT.replace(u64::MAX);
    let done = act();
    STEPS_LEFT.set(left);
    done
}

fn take(steps: usize) -> Result<(), ExecutionError> {
    if pay(steps) {
        Ok(())
    } else {
        Err(ExecutionError::function_error(OUT_OF_STEPS, ""))
    }
}

fn refused(message: &str) -> ExecutionError {
    ExecutionError::function_error(REFUSED, message)
}

/// The standard library without optional values, the functions of its extension for texts that are offered, and the toll booths.
pub(super) fn environment() -> Env {
    // From a default one and not from `Env::stdlib`, which has the optional values already.
    let mut environment = Env::default().with_optional_support(false).with_stdlib();
    let mut add = |name: &str, types: usize, function: Function| {
        environment
            .add_overload(name, name, (0..types).map(|_| DYN_TYPE).collect(), function)
            .expect("no function of the library begins with @");
    };
    add(DEEP, 1, deep);
    add(SHALLOW, 1, shallow);
    add(RANGE, 2, range);
    add(KEY, 1, key);
    add(MATCHES, 2, matches);
    let texts: [(&str, Function); 2] = [("lowerAscii", lower_ascii), ("upperAscii", upper_ascii)];
    for (name, function) in texts {
        environment
            .add_member_overload(name, name, STRING_TYPE, Vec::new(), function)
            .expect("the standard library has no such function");
    }
    environment
}

/// The first argument, handed on.
fn first<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let first = arguments.into_iter().next();
    first.ok_or_else(|| refused("a toll booth stands before nothing"))
}

fn deep<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = first(arguments)?;
    walk(value.as_ref())?;
    Ok(value)
}

fn shallow<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = first(arguments)?;
    take(1 + bytes(value.as_ref()) / BYTES_A_STEP)?;
    Ok(value)
}

fn range<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let weight = arguments.get(1).and_then(|weight| weight.downcast_ref::<CelInt>());
    let weight = weight.map_or(1, |weight| usize::try_from(*weight.inner()).unwrap_or(usize::MAX));
    let value = first(arguments)?;
    let entries = if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        list.inner().len()
    } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        map.inner().len()
    } else {
        return Err(ExecutionError::UnexpectedType {
            got: value.get_type().name().to_owned(),
            want: "a list or a map to go through".to_owned(),
        });
    };
    walk(value.as_ref())?;
    take(entries.saturating_mul(weight))?;
    Ok(value)
}

fn key<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let value = first(arguments)?;
    let whole = |number: &CelDouble| number.inner().fract() == 0.0;
    let is_key = value.downcast_ref::<CelInt>().is_some()
        || value.downcast_ref::<CelString<'_>>().is_some()
        || value.downcast_ref::<CelUInt>().is_some()
        || value.downcast_ref::<CelBool>().is_some()
        || value.downcast_ref::<CelDouble>().is_some_and(whole);
    if !is_key {
        return Err(refused(&format!(
            "an index is a whole number or a name, not {}",
            kinds::type_name(value.get_type().name())
        )));
    }
    take(1 + bytes(value.as_ref()) / BYTES_A_STEP)?;
    Ok(value)
}

#[expect(clippy::needless_pass_by_value, reason = "the crate asks for this signature")]
fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = |index: usize| {
        arguments
            .get(index)
            .and_then(|value| value.downcast_ref::<CelString<'_>>())
    };
    let (Some(text), Some(pattern)) = (text(0), text(1)) else {
        return Err(refused("matches() is asked of a text"));
    };
    let regex = regexes::compiled(pattern.inner()).map_err(refused)?;
    take(regex.steps(text.inner().len()))?;
    Ok(CowVal::owned(CelBool::from(regex.is_match(text.inner()))))
}

fn lower_ascii<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    rewritten(arguments, str::to_ascii_lowercase)
}

fn upper_ascii<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    rewritten(arguments, str::to_ascii_uppercase)
}

/// A text of the same size, which is paid for as the one that was read.
fn rewritten<'b, 'v>(
    arguments: Vec<CowVal<'b, 'v>>,
    rewrite: fn(&str) -> String,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let text = first(arguments)?;
    let Some(text) = text.downcast_ref::<CelString<'_>>() else {
        return Err(refused("lowerAscii() and upperAscii() are asked of a text"));
    };
    take(1 + text.inner().len() / BYTES_A_STEP)?;
    Ok(CowVal::owned(CelString::from(rewrite(text.inner()))))
}

/// A step for each node and for every few bytes of texts.
fn walk(value: &dyn Val) -> Result<(), ExecutionError> {
    take(1 + bytes(value) / BYTES_A_STEP)?;
    if let Some(list) = value.downcast_ref::<CelList<'_>>() {
        for entry in list.inner() {
            walk(entry.as_ref())?;
        }
    } else if let Some(map) = value.downcast_ref::<CelMap<'_>>() {
        for (key, entry) in map.inner() {
            if let CelMapKey::String(name) = key {
                take(1 + name.inner().len() / BYTES_A_STEP)?;
            }
            walk(entry.as_ref())?;
        }
    }
    Ok(())
}

fn bytes(value: &dyn Val) -> usize {
    if let Some(text) = value.downcast_ref::<CelString<'_>>() {
        text.inner().len()
    } else {
        value
            .downcast_ref::<CelBytes<'_>>()
            .map_or(0, |bytes| bytes.inner().len())
    }
}
