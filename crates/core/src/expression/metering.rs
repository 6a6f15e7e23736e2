//! The one walk over a tree: it is held against every bound that does not depend on values, and gets its toll booths.

use cel::common::ast::operators as operator;
use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, ListExpr, LiteralValue, MapExpr, SelectExpr,
};

use super::compile::{DEPTH_MAX, LOOPS_MAX, NODES_MAX, REGEXES_MAX, Variable};
use super::fault::Fault;
use super::kinds::{self, Kind};
use super::scope::NAME_SHOWN;
use super::{meter, regexes};
use crate::suggestion::closest;

/// The most fields that a message lists.
const LISTED_MAX: usize = 20;

/// What the accumulators of loops are called, which cannot be written in a source.
const ACCUMULATOR: &str = "@result";

/// Walks a tree once, from its root to its leaves.
pub(super) struct Metering<'a> {
    variables: &'a [Variable<'a>],
    /// The names that the loops around give to their entries.
    bound: Vec<String>,
    nodes: usize,
    loops: usize,
    pub(super) regexes: usize,
    /// It uses no variable so far.
    pub(super) is_constant: bool,
}

type Metered = Result<(IdedExpr, Kind), Fault>;

impl<'a> Metering<'a> {
    pub(super) fn new(variables: &'a [Variable<'a>]) -> Self {
        Self {
            variables,
            bound: Vec::new(),
            nodes: 0,
            loops: 0,
            regexes: 0,
            is_constant: true,
        }
    }

    /// The tree with its toll booths, and what is known of its value.
    pub(super) fn metered(&mut self, tree: IdedExpr, depth: usize) -> Metered {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Fault::new(format!(
                "an expression must not have more than {NODES_MAX} parts"
            )));
        }
        if depth > DEPTH_MAX {
            return Err(Fault::new(format!(
                "the parts of an expression must not lie deeper than {DEPTH_MAX} levels"
            )));
        }
        let IdedExpr { id, expr } = tree;
        let (expr, kind) = match expr {
            Expr::Unspecified => return Err(Fault::new("a part is missing")),
            Expr::Literal(literal) => {
                let kind = Kind::of(&literal);
                (Expr::Literal(literal), kind)
            }
            Expr::Ident(name) => {
                let kind = self.name(&name)?;
                (Expr::Ident(name), kind)
            }
            Expr::Select(select) => self.select(select, depth)?,
            Expr::Call(call) => self.call(call, depth)?,
            Expr::List(list) => self.list(list, depth)?,
            Expr::Map(map) => self.map(map, depth)?,
            Expr::Comprehension(comprehension) => self.comprehension(*comprehension, depth)?,
            Expr::Struct(message) => {
                return Err(Fault::at_variable(
                    &message.type_name,
                    format!("there are no messages such as {}", message.type_name),
                ));
            }
        };
        Ok((IdedExpr { id, expr }, kind))
    }

    fn within(&mut self, tree: IdedExpr, depth: usize) -> Metered {
        self.metered(tree, depth + 1)
    }

    fn name(&mut self, name: &str) -> Result<Kind, Fault> {
        if name == ACCUMULATOR || self.bound.iter().any(|bound| bound == name) {
            return Ok(Kind::Any);
        }
        if let Some(variable) = self.variables.iter().find(|variable| variable.name == name) {
            self.is_constant = false;
            return Ok(if variable.fields.is_some() {
                Kind::Map
            } else {
                Kind::Any
            });
        }
        if kinds::is_type(name) {
            return Ok(Kind::Any);
        }
        let known: Vec<&str> = self.variables.iter().map(|variable| variable.name).collect();
        let known = match known[..] {
            [] => "are none".to_owned(),
            [only] => format!("is {only}"),
            _ => format!("are {}", known.join(", ")),
        };
        Err(Fault::at_variable(
            name,
            format!("there is no variable {name}; there {known}"),
        ))
    }

    fn select(&mut self, select: SelectExpr, depth: usize) -> Result<(Expr, Kind), Fault> {
        let SelectExpr { operand, field, test } = select;
        if let Expr::Ident(name) = &operand.expr
            && !self.bound.contains(name)
            && let Some(variable) = self.variables.iter().find(|variable| variable.name == name)
            && let Some(fields) = variable.fields
            && !fields.contains(&field.as_str())
        {
            return Err(Fault::at_variable(name, no_such_field(name, &field, fields)));
        }
        let (operand, kind) = self.within(*operand, depth)?;
        if !kind.may_be(Kind::Map) {
            return Err(Fault::new(format!("{kind} has no fields such as {field}")));
        }
        let operand = Box::new(operand);
        let kind = if test { Kind::Bool } else { Kind::Any };
        Ok((Expr::Select(SelectExpr { operand, field, test }), kind))
    }

    fn list(&mut self, list: ListExpr, depth: usize) -> Result<(Expr, Kind), Fault> {
        let mut elements = Vec::with_capacity(list.elements.len());
        for element in list.elements {
            elements.push(before(meter::DEEP, self.within(element, depth)?.0));
        }
        Ok((Expr::List(ListExpr::new(elements)), Kind::List))
    }

    fn map(&mut self, map: MapExpr, depth: usize) -> Result<(Expr, Kind), Fault> {
        let mut entries = Vec::with_capacity(map.entries.len());
        for mut entry in map.entries {
            let EntryExpr::MapEntry(inner) = &mut entry.expr else {
                return Err(Fault::new("there are no messages"));
            };
            inner.key = self.within(std::mem::take(&mut inner.key), depth)?.0;
            inner.key = before(meter::KEY, std::mem::take(&mut inner.key));
            inner.value = before(meter::DEEP, self.within(std::mem::take(&mut inner.value), depth)?.0);
            entries.push(entry);
        }
        Ok((Expr::Map(MapExpr { entries }), Kind::Map))
    }

    fn comprehension(&mut self, loops: ComprehensionExpr, depth: usize) -> Result<(Expr, Kind), Fault> {
        let ComprehensionExpr {
            iter_range,
            iter_var,
            iter_var2,
            accu_var,
            accu_init,
            loop_cond,
            loop_step,
            result,
        } = loops;
        let (range, kind) = self.within(iter_range, depth)?;
        if !kind.may_be(Kind::List) && !kind.may_be(Kind::Map) {
            return Err(Fault::new(format!("{kind} has no entries to go through")));
        }
        self.loops += 1;
        if self.loops > LOOPS_MAX {
            return Err(Fault::new(format!(
                "loops (all, exists, exists_one, filter, map) must not stand deeper than {LOOPS_MAX} in each other"
            )));
        }
        let (accu_init, kind) = self.within(accu_init, depth)?;
        let nodes_before = self.nodes;
        self.bound.push(iter_var.clone());
        let (loop_cond, _) = self.within(loop_cond, depth)?;
        let (loop_step, _) = self.within(loop_step, depth)?;
        let weight = i64::try_from(self.nodes - nodes_before).unwrap_or(i64::MAX);
        self.bound.pop();
        self.loops -= 1;
        let (result, _) = self.within(result, depth)?;
        let weight = IdedExpr {
            id: 0,
            expr: Expr::Literal(LiteralValue::Int(weight.into())),
        };
        let expr = Expr::Comprehension(Box::new(ComprehensionExpr {
            iter_range: calling(meter::RANGE, vec![range, weight]),
            iter_var,
            iter_var2,
            accu_var,
            accu_init,
            loop_cond,
            loop_step,
            result,
        }));
        // A list begins empty; all others tell true or false in the end.
        Ok((expr, if kind == Kind::List { Kind::List } else { Kind::Bool }))
    }

    fn call(&mut self, call: CallExpr, depth: usize) -> Result<(Expr, Kind), Fault> {
        let CallExpr {
            func_name,
            target,
            args,
        } = call;
        let target = target.map(|target| self.within(*target, depth)).transpose()?;
        let mut arguments = Vec::with_capacity(args.len());
        let mut given = Vec::with_capacity(args.len());
        for argument in args {
            let (argument, kind) = self.within(argument, depth)?;
            arguments.push(argument);
            given.push(kind);
        }
        match (target, arguments.len()) {
            (None, 3) if func_name == operator::CONDITIONAL => {
                if !given[0].may_be(Kind::Bool) {
                    return Err(condition(&func_name, given[0]));
                }
                Ok((called(func_name, arguments), given[1].or(given[2])))
            }
            (None, 1) if matches!(func_name.as_str(), operator::LOGICAL_NOT | operator::NOT_STRICTLY_FALSE) => {
                if !given[0].may_be(Kind::Bool) {
                    return Err(condition(&func_name, given[0]));
                }
                Ok((called(func_name, arguments), Kind::Bool))
            }
            (None, 1) if func_name == operator::NEGATE => {
                let arguments = arguments.into_iter().map(|argument| before(meter::DEEP, argument));
                Ok((called(func_name, arguments.collect()), given[0]))
            }
            (None, 2) if is_operator(&func_name) => binary(func_name, arguments, &given),
            (target, _) => self.function(func_name, target.map(|(target, _)| target), arguments),
        }
    }

    fn function(
        &mut self,
        name: String,
        target: Option<IdedExpr>,
        mut arguments: Vec<IdedExpr>,
    ) -> Result<(Expr, Kind), Fault> {
        let Some(kind) = kinds::of_function(&name, target.is_some()) else {
            let message = if kinds::of_function(&name, target.is_none()).is_some() {
                format!("{name} is called in another way")
            } else {
                unknown_function(&name, target.is_some())
            };
            return Err(Fault::at_function(&name, message));
        };
        if name == "matches" {
            arguments.splice(0..0, target);
            return self.matching(arguments);
        }
        let arguments = arguments.into_iter().map(|argument| before(meter::SHALLOW, argument));
        let call = CallExpr {
            func_name: name,
            target: target.map(|target| Box::new(before(meter::SHALLOW, target))),
            args: arguments.collect(),
        };
        Ok((Expr::Call(call), kind))
    }

    /// A regular expression must be written down, so that it is known to be one and not to be large.
    fn matching(&mut self, arguments: Vec<IdedExpr>) -> Result<(Expr, Kind), Fault> {
        let at_name = |message: &str| Fault::at_function("matches", message.to_owned());
        let [_, pattern] = arguments.as_slice() else {
            return Err(at_name("matches takes a text and a regular expression"));
        };
        let Expr::Literal(LiteralValue::String(pattern)) = &pattern.expr else {
            return Err(at_name(
                "matches takes a regular expression that is written down as a text",
            ));
        };
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            return Err(at_name(&format!(
                "an expression must not have more than {REGEXES_MAX} regular expressions"
            )));
        }
        regexes::compiled(pattern.inner()).map_err(at_name)?;
        Ok((called(meter::MATCHES.to_owned(), arguments), Kind::Bool))
    }
}

fn no_such_field(name: &str, field: &str, fields: &[&str]) -> String {
    let known = match fields.len() {
        0 => "none".to_owned(),
        1..=LISTED_MAX => fields.join(", "),
        many => format!("{}, and {} more", fields[..LISTED_MAX].join(", "), many - LISTED_MAX),
    };
    let meant = closest(field, fields.iter().copied()).map(|meant| format!("; did you mean {meant}?"));
    let field: String = field.chars().take(NAME_SHOWN).collect();
    format!(
        "{name} has no field {field}; it has {known}{}",
        meant.unwrap_or_default()
    )
}

fn binary(name: String, mut arguments: Vec<IdedExpr>, given: &[Kind]) -> Result<(Expr, Kind), Fault> {
    let Some(kind) = kinds::of_operator(&name, given[0], given[1]) else {
        let symbol = kinds::written(&name);
        let message = format!("{symbol} does not take {} and {}", given[0], given[1]);
        return Err(Fault::at_operator(&name, message));
    };
    let accumulates = matches!(&arguments[0].expr, Expr::Ident(first) if first == ACCUMULATOR);
    match name.as_str() {
        // What is true or false costs nothing.
        operator::LOGICAL_AND | operator::LOGICAL_OR => {}
        operator::INDEX => {
            if let Some(index) = arguments.pop() {
                arguments.push(before(meter::KEY, index));
            }
        }
        // The interpreter knows this form, and appends in place: what is appended has been paid for.
        operator::ADD if accumulates => {}
        _ => {
            arguments = arguments
                .into_iter()
                .map(|argument| before(meter::DEEP, argument))
                .collect();
        }
    }
    Ok((called(name, arguments), kind))
}

fn condition(name: &str, given: Kind) -> Fault {
    let symbol = if name == operator::CONDITIONAL { "?" } else { "!" };
    Fault::at_operator(symbol, format!("{symbol} needs bool, not {given}"))
}

fn is_operator(name: &str) -> bool {
    matches!(
        name,
        operator::LOGICAL_AND
            | operator::LOGICAL_OR
            | operator::EQUALS
            | operator::NOT_EQUALS
            | operator::LESS
            | operator::LESS_EQUALS
            | operator::GREATER
            | operator::GREATER_EQUALS
            | operator::IN
            | operator::ADD
            | operator::SUBSTRACT
            | operator::MULTIPLY
            | operator::DIVIDE
            | operator::MODULO
            | operator::INDEX
    )
}

/// With those that there are: few know by heart what an expression may call.
fn unknown_function(name: &str, on_a_value: bool) -> String {
    let (place, macros): (&str, &[&str]) = if on_a_value {
        (" on a value", &["all", "exists", "exists_one", "filter", "map"])
    } else {
        ("", &["has"])
    };
    let mut known: Vec<&str> = kinds::functions(on_a_value).chain(macros.iter().copied()).collect();
    known.sort_unstable();
    let meant = closest(name, known.iter().copied()).map(|meant| format!("; did you mean {meant}?"));
    let all = known.join(", ");
    format!(
        "there is no function {name}{place}; there are {all}{}",
        meant.unwrap_or_default()
    )
}

fn called(name: String, arguments: Vec<IdedExpr>) -> Expr {
    Expr::Call(CallExpr {
        func_name: name,
        target: None,
        args: arguments,
    })
}

fn calling(name: &str, arguments: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr {
        id: 0,
        expr: called(name.to_owned(), arguments),
    }
}

/// A toll booth before a part. What is written down was paid for with the source.
fn before(booth: &str, part: IdedExpr) -> IdedExpr {
    if matches!(part.expr, Expr::Literal(_)) {
        part
    } else {
        calling(booth, vec![part])
    }
}
