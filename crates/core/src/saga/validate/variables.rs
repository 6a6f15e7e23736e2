//! What expressions may ask for.

use std::collections::BTreeSet;

use super::ways::ways;
use crate::expression::Variable;
use crate::saga::definition::Definition;
use crate::saga::names::FieldName;

const INPUT: Variable<'static> = Variable::any("input");
const SAGA: Variable<'static> = Variable::with_fields("saga", &["id", "correlation_id"]);
const CONTEXT: Variable<'static> = Variable::any("context");
const EVENT: Variable<'static> = Variable::with_fields("event", &["name", "data", "id"]);
const ITEM: Variable<'static> = Variable::any("item");
const INDEX: Variable<'static> = Variable::any("index");

/// The first context is made of these.
pub(in crate::saga) const CONTEXT_VARIABLES: [Variable<'static>; 2] = [INPUT, SAGA];

/// Wherever something happens. `event` is what it happens on.
pub(in crate::saga) const VARIABLES: [Variable<'static>; 4] = [CONTEXT, INPUT, EVENT, SAGA];

/// Where a saga stands still and asks.
pub(in crate::saga) const PROMPT_VARIABLES: [Variable<'static>; 3] = [CONTEXT, INPUT, SAGA];

/// In tasks with `for_each`, beside: the entry of the list, and its number from 0.
pub(in crate::saga) const ITEM_VARIABLES: [Variable<'static>; 6] = [ITEM, INDEX, CONTEXT, INPUT, EVENT, SAGA];

/// The same, as far as they are known of one definition.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variables<'a> {
    pub(super) all: [Variable<'a>; 4],
    pub(super) with_item: [Variable<'a>; 6],
    pub(super) prompt: [Variable<'a>; 3],
}

impl<'a> Variables<'a> {
    /// Where some of a text cannot be read, nobody knows what it would have put into the context.
    pub(super) const UNKNOWN: Self = Self {
        all: VARIABLES,
        with_item: ITEM_VARIABLES,
        prompt: PROMPT_VARIABLES,
    };

    /// With these fields in the context, and no others.
    pub(super) const fn of(fields: &'a [&'a str]) -> Self {
        let context = Variable::with_fields("context", fields);
        Self {
            all: [context, INPUT, EVENT, SAGA],
            with_item: [ITEM, INDEX, context, INPUT, EVENT, SAGA],
            prompt: [context, INPUT, SAGA],
        }
    }
}

/// All that the context ever has, in the order of the names.
pub fn context_fields(definition: &Definition) -> Vec<&str> {
    let set = ways(definition).into_iter().flat_map(|way| way.candidate.set.keys());
    let fields: BTreeSet<&str> = definition.context.keys().chain(set).map(FieldName::as_str).collect();
    fields.into_iter().collect()
}
