//! A definition that is ready to run: every expression and every task of it read, once for all of its instances.

use std::collections::BTreeMap;

use super::definition::{
    self, AwaitInput, Candidate, Definition, Delay, End, Events, FailureEvents, Fields, Join, TaskBody, Timeout,
};
use super::fault::{Fault, Faults};
use super::names::{DefinitionName, EventName, FieldName, StateName};
use super::question::Question;
use super::validate::{CONTEXT_VARIABLES, ITEM_VARIABLES, PROMPT_VARIABLES, VARIABLES};
use crate::JsonText;
use crate::expression::{Expression, Template, Variable};
use crate::task::{Entry, Violations};

/// The JSON Schema of the answers that a state asks for, ready to be used again and again.
pub trait AnswerSchema: std::fmt::Debug + Send + Sync {
    fn check(&self, answer: &JsonText) -> CheckedAnswer;
}

#[derive(Debug)]
pub struct CheckedAnswer {
    /// What it took, in steps of expressions.
    pub steps: u64,
    /// What the answer breaks, with pointers below `/data`.
    pub broken: Result<(), Violations>,
}

/// Makes such a schema ready.
pub type ReadAnswerSchema = fn(&JsonText) -> Box<dyn AnswerSchema>;

/// A definition and all that was compiled of it. To compile takes longer than a step, so it is kept, and shared.
#[derive(Debug)]
pub struct CompiledDefinition {
    definition: Definition,
    pub(super) context: Values,
    states: BTreeMap<StateName, State>,
}

impl CompiledDefinition {
    /// # Errors
    /// Every expression and every task that cannot be read: none where the definition was [checked](super::check).
    pub fn new(definition: Definition) -> Result<Self, Faults> {
        let mut compiler = Compiler::default();
        let context = compiler.values("/context", &definition.context, &CONTEXT_VARIABLES);
        let states = definition.states.iter().map(|(name, state)| {
            let state = match state {
                definition::State::Final { end, .. } => State::Final(*end),
                definition::State::Active(state) => {
                    State::Active(Box::new(compiler.state(&format!("/states/{name}"), state)))
                }
            };
            (name.clone(), state)
        });
        let states = states.collect();
        if !compiler.faults.is_empty() {
            return Err(compiler.faults);
        }
        Ok(Self {
            definition,
            context,
            states,
        })
    }

    /// With answers held against their schemas. What reads schemas is large, and does not belong here: whoever runs sagas brings it.
    #[must_use]
    pub fn checking_answers(mut self, read: ReadAnswerSchema) -> Self {
        for state in self.states.values_mut() {
            if let State::Active(state) = state
                && let Some(question) = &mut state.question
            {
                question.schema = question.input.schema.as_ref().map(read);
            }
        }
        self
    }

    pub const fn definition(&self) -> &Definition {
        &self.definition
    }

    pub(super) fn state(&self, name: &StateName) -> Option<&State> {
        self.states.get(name)
    }

    pub(super) fn active_state(&self, name: &StateName) -> Option<&ActiveState> {
        match self.state(name)? {
            State::Active(state) => Some(state),
            State::Final(_) => None,
        }
    }

    pub(super) const fn timeout(&self) -> Option<&Timeout> {
        self.definition.timeout.as_ref()
    }
}

/// What fields become.
pub(super) type Values = Vec<(FieldName, Template)>;

#[derive(Debug)]
pub(super) enum State {
    Final(End),
    Active(Box<ActiveState>),
}

#[derive(Debug)]
pub(super) struct ActiveState {
    pub(super) on: BTreeMap<EventName, Vec<Transition>>,
    pub(super) after: Vec<Delayed>,
    pub(super) always: Vec<Transition>,
    pub(super) question: Option<Question>,
    pub(super) on_entry: Vec<Action>,
    pub(super) on_exit: Vec<Action>,
}

#[derive(Debug)]
pub(super) struct Delayed {
    pub(super) delay: Delay,
    pub(super) transition: Transition,
}

#[derive(Debug)]
pub(super) struct Transition {
    pub(super) guard: Option<Guard>,
    pub(super) set: Values,
    pub(super) compensation: Vec<Entry>,
    pub(super) course: Course,
}

/// What must hold, with the words of its author for those who ask why it cannot be decided.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) source: String,
    pub(super) expression: Expression,
}

#[derive(Debug)]
pub(super) enum Course {
    Forward {
        actions: Vec<Action>,
        target: Option<StateName>,
    },
    Compensate {
        target: StateName,
    },
}

#[derive(Debug)]
pub(super) enum Action {
    Task(Box<TaskAction>),
    Saga(ChildSaga),
}

#[derive(Debug)]
pub(super) struct TaskAction {
    pub(super) body: Entry,
    pub(super) compensation: Vec<Entry>,
    pub(super) reach: Reach,
}

#[derive(Debug)]
pub(super) enum Reach {
    Once {
        raises: Events,
    },
    ForEach {
        items: Template,
        join: Join,
        raises: FailureEvents,
    },
}

#[derive(Debug)]
pub(super) struct ChildSaga {
    pub(super) saga: DefinitionName,
    pub(super) correlation_id: Option<Template>,
    pub(super) input: Option<Template>,
    pub(super) compensation: Vec<Entry>,
    pub(super) raises: Events,
}

/// Leaves out what has faults: with one, nothing of it is used.
#[derive(Default)]
struct Compiler {
    faults: Faults,
}

impl Compiler {
    fn state(&mut self, pointer: &str, state: &definition::ActiveState) -> ActiveState {
        let on = state.on.iter().map(|(event, candidates)| {
            let pointer = format!("{pointer}/on/{event}");
            (event.clone(), self.transitions(&pointer, candidates.as_slice()))
        });
        let on = on.collect();
        let after = state.after.iter().enumerate().filter_map(|(index, delayed)| {
            let transition = self.transition(&format!("{pointer}/after/{index}"), &delayed.candidate)?;
            let delay = delayed.delay;
            Some(Delayed { delay, transition })
        });
        let after = after.collect();
        ActiveState {
            on,
            after,
            always: self.transitions(&format!("{pointer}/always"), &state.always),
            question: state
                .await_input
                .as_ref()
                .and_then(|input| self.question(pointer, input)),
            on_entry: self.actions(&format!("{pointer}/on_entry"), &state.on_entry),
            on_exit: self.actions(&format!("{pointer}/on_exit"), &state.on_exit),
        }
    }

    fn question(&mut self, pointer: &str, input: &AwaitInput) -> Option<Question> {
        let prompt = self.text(
            &format!("{pointer}/await_input/prompt"),
            &input.prompt,
            &PROMPT_VARIABLES,
        );
        Some(Question {
            prompt: prompt?,
            input: input.clone(),
            schema: None,
        })
    }

    fn transitions(&mut self, pointer: &str, candidates: &[Candidate]) -> Vec<Transition> {
        let candidates = candidates.iter().enumerate();
        candidates
            .filter_map(|(index, candidate)| self.transition(&format!("{pointer}/{index}"), candidate))
            .collect()
    }

    fn transition(&mut self, pointer: &str, candidate: &Candidate) -> Option<Transition> {
        let guard = match &candidate.guard {
            Some(source) => Some(self.guard(&format!("{pointer}/if"), source)?),
            None => None,
        };
        let course = match &candidate.course {
            definition::Course::Forward { tasks, target } => Course::Forward {
                actions: self.actions(&format!("{pointer}/tasks"), tasks),
                target: target.clone(),
            },
            definition::Course::Compensate { target } => Course::Compensate { target: target.clone() },
        };
        Some(Transition {
            guard,
            set: self.values(&format!("{pointer}/set"), &candidate.set, &VARIABLES),
            compensation: self.compensation(pointer, &candidate.compensation, &VARIABLES),
            course,
        })
    }

    fn guard(&mut self, pointer: &str, source: &str) -> Option<Guard> {
        match Expression::compile(source, &VARIABLES) {
            Ok(expression) => Some(Guard {
                source: source.to_owned(),
                expression,
            }),
            Err(invalid) => {
                self.faults.add(Fault::new(pointer, invalid.to_string()));
                None
            }
        }
    }

    fn actions(&mut self, pointer: &str, actions: &[definition::Action]) -> Vec<Action> {
        let actions = actions.iter().enumerate();
        actions
            .filter_map(|(index, action)| self.action(&format!("{pointer}/{index}"), action))
            .collect()
    }

    fn action(&mut self, pointer: &str, action: &definition::Action) -> Option<Action> {
        Some(match action {
            definition::Action::Task(task) => {
                let (reach, variables): (Reach, &[Variable<'_>]) = match &task.reach {
                    definition::Reach::Once { raises } => (Reach::Once { raises: raises.clone() }, &VARIABLES),
                    definition::Reach::ForEach { items, join, raises } => {
                        let reach = Reach::ForEach {
                            items: self.text(&format!("{pointer}/for_each"), items, &VARIABLES)?,
                            join: join.clone(),
                            raises: raises.clone(),
                        };
                        (reach, &ITEM_VARIABLES)
                    }
                };
                Action::Task(Box::new(TaskAction {
                    body: self.task(pointer, &task.body, variables)?,
                    compensation: self.compensation(pointer, &task.compensation, variables),
                    reach,
                }))
            }
            definition::Action::Saga(child) => Action::Saga(ChildSaga {
                saga: child.saga.clone(),
                correlation_id: match &child.correlation_id {
                    Some(text) => Some(self.text(&format!("{pointer}/correlation_id"), text, &VARIABLES)?),
                    None => None,
                },
                input: match &child.input {
                    Some(input) => Some(self.template(&format!("{pointer}/input"), input, &VARIABLES)?),
                    None => None,
                },
                compensation: self.compensation(pointer, &child.compensation, &VARIABLES),
                raises: child.raises.clone(),
            }),
        })
    }

    fn compensation(&mut self, pointer: &str, bodies: &[TaskBody], variables: &[Variable<'_>]) -> Vec<Entry> {
        let bodies = bodies.iter().enumerate();
        bodies
            .filter_map(|(index, body)| self.task(&format!("{pointer}/compensation/{index}"), body, variables))
            .collect()
    }

    fn task(&mut self, pointer: &str, body: &TaskBody, variables: &[Variable<'_>]) -> Option<Entry> {
        match Entry::read(&body.json(), variables) {
            Ok(entry) => Some(entry),
            Err(broken) => {
                self.faults.extend_below(pointer, broken);
                None
            }
        }
    }

    fn values(&mut self, pointer: &str, fields: &Fields, variables: &[Variable<'_>]) -> Values {
        let values = fields.iter().filter_map(|(name, json)| {
            let template = self.template(&format!("{pointer}/{name}"), json, variables)?;
            Some((name.clone(), template))
        });
        values.collect()
    }

    fn text(&mut self, pointer: &str, text: &str, variables: &[Variable<'_>]) -> Option<Template> {
        let json = JsonText::trusted(serde_json::to_string(text).expect("a text is always JSON"));
        self.template(pointer, &json, variables)
    }

    fn template(&mut self, pointer: &str, json: &JsonText, variables: &[Variable<'_>]) -> Option<Template> {
        match Template::parse(json, variables) {
            Ok(template) => Some(template),
            Err(invalid) => {
                for fault in invalid {
                    let pointer = format!("{pointer}{}", fault.pointer);
                    self.faults.add(Fault::new(pointer, fault.fault.to_string()));
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saga::source::read;

    #[test]
    fn a_compiled_definition_is_shared_between_threads() {
        const fn shared<T: Send + Sync + std::fmt::Debug>() {}
        shared::<CompiledDefinition>();
    }

    #[test]
    fn every_expression_and_task_that_cannot_be_read_is_told_with_its_pointer() {
        let definition = read(
            "name: test
initial: A
context: {a: '${ context.b }'}
states:
  A:
    on:
      x:
        - {if: '1 +', target: A}
        - {set: {a: '${ evnt }'}, compensation: [{name: undo, priority: high}]}
    after: [{seconds: 1, tasks: [{name: a, for_each: '${ 1 + }', join: {raises: x}}]}]
    on_entry: [{saga: b, input: '${ item }', correlation_id: '${ sag }', compensation: [{name: a, input: '${ x }'}]}]
    on_exit: [{name: a, input: '${ item }'}]
",
        )
        .unwrap_or_else(|faults| panic!("{faults}"));
        let faults = CompiledDefinition::new(definition).expect_err("refused");
        let pointers: Vec<&str> = faults.0.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(
            pointers,
            [
                "/context/a",
                "/states/A/on/x/0/if",
                "/states/A/on/x/1/set/a",
                "/states/A/on/x/1/compensation/0/priority",
                "/states/A/after/0/tasks/0/for_each",
                "/states/A/on_entry/0/correlation_id",
                "/states/A/on_exit/0/input",
            ]
        );
    }
}
