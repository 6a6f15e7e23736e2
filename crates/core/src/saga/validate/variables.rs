//! What expressions may ask for.

use crate::expression::Variable;

const INPUT: Variable = Variable::any("input");
const SAGA: Variable = Variable::with_fields("saga", &["id", "correlation_id"]);
const CONTEXT: Variable = Variable::any("context");
const EVENT: Variable = Variable::with_fields("event", &["name", "data", "id"]);

/// The first context is made of these.
pub(in crate::saga) const CONTEXT_VARIABLES: [Variable; 2] = [INPUT, SAGA];

/// Wherever something happens. `event` is what it happens on.
pub(in crate::saga) const VARIABLES: [Variable; 4] = [CONTEXT, INPUT, EVENT, SAGA];

/// In tasks with `for_each`, beside: the entry of the list, and its number from 0.
pub(in crate::saga) const ITEM_VARIABLES: [Variable; 6] = [
    Variable::any("item"),
    Variable::any("index"),
    CONTEXT,
    INPUT,
    EVENT,
    SAGA,
];
