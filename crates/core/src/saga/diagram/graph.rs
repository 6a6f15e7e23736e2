//! What there is to draw, in words.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Live, Taken};
use crate::saga::definition::{
    Action, ActiveState, Candidate, Course, Definition, Delay, End, Reach, State, TaskBody, Timeout,
};
use crate::saga::names::StateName;

/// The most characters of a guard that a picture shows.
const GUARD_MAX_CHARACTERS: usize = 48;

/// The most characters of a prompt or of what is started.
const WORDS_MAX_CHARACTERS: usize = 80;

#[derive(Debug)]
pub(super) struct Graph<'a> {
    pub(super) name: &'a str,
    pub(super) initial: usize,
    pub(super) nodes: Vec<Node<'a>>,
    /// In the order of the states and of their transitions.
    pub(super) edges: Vec<Edge>,
    pub(super) timeout: Option<String>,
}

#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) name: &'a str,
    pub(super) end: Option<End>,
    /// What happens in it beside transitions.
    pub(super) lines: Vec<String>,
    pub(super) is_visited: bool,
    pub(super) is_current: bool,
}

#[derive(Debug)]
pub(super) struct Edge {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) label: Label,
    pub(super) is_taken: bool,
}

/// What takes a transition, under which condition, and what it does.
#[derive(Debug, Clone, Default)]
pub(super) struct Label {
    pub(super) trigger: String,
    pub(super) effect: String,
}

impl Label {
    pub(super) fn line(&self) -> String {
        if self.effect.is_empty() {
            self.trigger.clone()
        } else {
            format!("{} / {}", self.trigger, self.effect)
        }
    }
}

/// What takes a transition, to be found again in the path of an instance.
#[derive(Clone, Copy)]
enum Trigger<'a> {
    Event(&'a str),
    Time,
    Always,
}

impl<'a> Graph<'a> {
    pub(super) fn of(definition: &'a Definition, live: Option<Live<'_>>) -> Self {
        let indices: BTreeMap<&StateName, usize> = definition.states.keys().zip(0..).collect();
        let mut graph = Self {
            name: definition.name.as_str(),
            initial: indices.get(&definition.initial).copied().unwrap_or_default(),
            nodes: Vec::new(),
            edges: Vec::new(),
            timeout: definition.timeout.as_ref().map(of_timeout),
        };
        let path = live.map_or(&[][..], |live| live.path);
        let visited = path.iter().flat_map(|taken| [&taken.from, &taken.to]);
        let visited: BTreeSet<&StateName> = visited.collect();
        let current = live.map(|live| live.state);
        // What a path has and no transition accounts for: a timeout, a state of another version.
        let mut unexplained: Vec<&Taken> = path.iter().collect();
        for (index, (name, state)) in definition.states.iter().enumerate() {
            let (end, lines) = match state {
                State::Final { end, .. } => (Some(*end), Vec::new()),
                State::Active(active) => {
                    let explained = graph.transitions(index, name, active, path, &indices);
                    unexplained.retain(|taken| !explained.iter().any(|other| std::ptr::eq(*other, *taken)));
                    (None, lines(active))
                }
            };
            graph.nodes.push(Node {
                name: name.as_str(),
                end,
                lines,
                is_visited: visited.contains(name),
                is_current: current == Some(name),
            });
        }
        let mut added = BTreeSet::new();
        for taken in unexplained {
            let ends = (indices.get(&taken.from), indices.get(&taken.to));
            if let (Some(from), Some(to)) = ends
                && added.insert((from, to, taken.event.as_str()))
            {
                graph.edges.push(Edge {
                    from: *from,
                    to: *to,
                    label: Label {
                        trigger: taken.event.to_string(),
                        effect: String::new(),
                    },
                    is_taken: true,
                });
            }
        }
        graph
    }

    /// Adds those of a state, and returns what of the path they account for.
    fn transitions<'p>(
        &mut self,
        from: usize,
        name: &StateName,
        state: &ActiveState,
        path: &'p [Taken],
        indices: &BTreeMap<&StateName, usize>,
    ) -> Vec<&'p Taken> {
        let mut explained = Vec::new();
        for (trigger, words, candidate) in ways(state) {
            let target = candidate.course.target().unwrap_or(name);
            let Some(to) = indices.get(target) else { continue };
            let mut mine = path.iter().filter(|taken| {
                taken.from == *name
                    && taken.to == *target
                    && match trigger {
                        Trigger::Event(event) => taken.event.as_str() == event,
                        Trigger::Time => taken.event.as_str() == "after",
                        // It follows from whatever led into the state.
                        Trigger::Always => !state.on.contains_key(&taken.event) && taken.event.as_str() != "after",
                    }
            });
            let before = explained.len();
            explained.extend(&mut mine);
            self.edges.push(Edge {
                from,
                to: *to,
                label: Label {
                    trigger: guarded(words, candidate),
                    effect: shortened(&effect(candidate), WORDS_MAX_CHARACTERS),
                },
                is_taken: explained.len() > before,
            });
        }
        explained
    }
}

fn ways(state: &ActiveState) -> Vec<(Trigger<'_>, String, &Candidate)> {
    let events = state.on.iter().flat_map(|(event, candidates)| {
        let candidates = candidates.as_slice().iter();
        candidates.map(move |candidate| (Trigger::Event(event.as_str()), event.to_string(), candidate))
    });
    let after = state.after.iter().map(|delayed| {
        let words = format!("after {}", lasting(delayed.delay));
        (Trigger::Time, words, &delayed.candidate)
    });
    let always = state.always.iter();
    let always = always.map(|candidate| (Trigger::Always, "always".to_owned(), candidate));
    events.chain(after).chain(always).collect()
}

fn guarded(words: String, candidate: &Candidate) -> String {
    match &candidate.guard {
        Some(guard) => format!("{words} [{}]", shortened(guard, GUARD_MAX_CHARACTERS)),
        None => words,
    }
}

/// What it starts and what it registers, or that it undoes everything.
fn effect(candidate: &Candidate) -> String {
    let starts = match &candidate.course {
        Course::Forward { tasks, .. } => actions(tasks),
        Course::Compensate { .. } => "undo all".to_owned(),
    };
    let undo = undone(&candidate.compensation);
    match (starts.is_empty(), undo.is_empty()) {
        (_, true) => starts,
        (true, false) => undo,
        (false, false) => format!("{starts}, {undo}"),
    }
}

fn undone(compensation: &[TaskBody]) -> String {
    let names: Vec<String> = compensation.iter().filter_map(TaskBody::name).collect();
    if names.is_empty() {
        String::new()
    } else {
        format!("undone by {}", names.join(", "))
    }
}

fn actions(actions: &[Action]) -> String {
    let words = actions.iter().map(|action| {
        let what = match action {
            Action::Task(task) => {
                let name = task.body.name().unwrap_or_default();
                match task.reach {
                    Reach::Once { .. } => name,
                    Reach::ForEach { .. } => format!("{name} for each"),
                }
            }
            Action::Saga(child) => format!("saga {}", child.saga),
        };
        let undo = undone(action.compensation());
        if undo.is_empty() {
            what
        } else {
            format!("{what} ({undo})")
        }
    });
    words.collect::<Vec<_>>().join(", ")
}

fn lines(state: &ActiveState) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(input) = &state.await_input {
        let words = format!("awaits {} ({})", input.event, input.prompt);
        lines.push(shortened(&words, WORDS_MAX_CHARACTERS));
        let reminders = input.reminders.iter();
        lines.extend(reminders.map(|reminder| format!("{} after {}", reminder.event, lasting(reminder.delay))));
        if let Some(default) = &input.default_after {
            lines.push(format!("answered by default after {}", lasting(default.delay)));
        }
    }
    for (words, list) in [("entry", &state.on_entry), ("exit", &state.on_exit)] {
        if !list.is_empty() {
            lines.push(shortened(&format!("{words} / {}", actions(list)), WORDS_MAX_CHARACTERS));
        }
    }
    lines
}

fn of_timeout(timeout: &Timeout) -> String {
    let undo = if timeout.compensate { " / undo all" } else { "" };
    format!("timeout after {}{undo} → {}", lasting(timeout.after), timeout.target)
}

/// In the largest unit that needs no fraction.
fn lasting(delay: Delay) -> String {
    let duration: Duration = delay.duration();
    let seconds = duration.as_secs();
    if duration.subsec_nanos() != 0 {
        return format!("{} s", duration.as_secs_f64());
    }
    let units = [(86_400, "d"), (3_600, "h"), (60, "min")];
    let unit = units.into_iter().find(|(length, _)| seconds.is_multiple_of(*length));
    unit.map_or_else(
        || format!("{seconds} s"),
        |(length, word)| format!("{} {word}", seconds / length),
    )
}

/// On one line, with what cannot be seen as a blank.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let letters = text.chars().map(|letter| if is_blank(letter) { ' ' } else { letter });
    let mut letters = letters.peekable();
    let mut shortened = String::new();
    let mut count = 0;
    while let Some(letter) = letters.next() {
        if letter == ' ' && (shortened.ends_with(' ') || shortened.is_empty()) {
            continue;
        }
        count += 1;
        if count == most && letters.peek().is_some() {
            shortened.push('…');
            break;
        }
        shortened.push(letter);
    }
    shortened.trim_end().to_owned()
}

/// Also the marks that turn the direction of a text around, by which a label could show what it does not say.
fn is_blank(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}
