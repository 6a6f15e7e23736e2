//! What the sagas of a schedule run by: the shipped definitions, and generated ones.
//!
//! Sixty-four seeds have a definition in common: to compile one takes longer than a schedule.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use orchestratum_core::saga::{CompiledDefinition, EventName, State, check};
use orchestratum_core::task::{SpecLimits, TaskSpec};
use orchestratum_core::{Target, TaskName, Timestamp};
use serde_json::{Map, Value, json};

use crate::chance::Chance;

/// The definitions that are shipped, and the one that has everything of the language.
pub const SHIPPED: &[(&str, &str)] = &[
    ("order", include_str!("../../../../config/sagas/order.yaml")),
    ("whole", include_str!("../../../core/src/saga/tests/whole.yaml")),
];

/// The name of every generated definition.
pub const GENERATED: &str = "generated";

/// How many seeds in a row share their definitions.
const SEEDS_OF_ONE: u64 = 64;

/// What others start as a child, by either of these names.
const CHILDREN: [&str; 2] = ["child", "other"];

/// What the sagas of a schedule run by.
#[derive(Debug, Clone)]
pub(super) struct Definitions {
    pub(super) main: Arc<CompiledDefinition>,
    pub(super) children: Vec<Arc<CompiledDefinition>>,
    /// Every event that a state of the main one takes.
    pub(super) events: Vec<EventName>,
    /// At which their tasks run.
    pub(super) targets: Vec<Target>,
    /// By which workers claim; the first serves every task.
    pub(super) lanes: Vec<Lane>,
}

/// What a lane of a worker serves.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    pub(super) targets: Arc<[Target]>,
    /// In their order.
    pub(super) names: Arc<[TaskName]>,
}

impl Lane {
    pub(super) fn serves(&self, spec: &TaskSpec) -> bool {
        self.targets.contains(&spec.target) && self.names.contains(&spec.name)
    }

    /// One for all, one for each target, and two for some of the names each.
    fn of(targets: &[Target], names: &[TaskName]) -> Vec<Self> {
        let lane = |targets: &[Target], names: &mut dyn Iterator<Item = &TaskName>| Self {
            targets: targets.into(),
            names: names.cloned().collect(),
        };
        let mut lanes = vec![lane(targets, &mut names.iter())];
        lanes.extend(
            targets
                .iter()
                .map(|target| lane(std::slice::from_ref(target), &mut names.iter())),
        );
        lanes.push(lane(targets, &mut names.iter().step_by(2)));
        lanes.push(lane(targets, &mut names.iter().skip(1).step_by(2)));
        lanes
    }
}

thread_local! {
    static LAST: RefCell<Option<(u64, Definitions)>> = const { RefCell::new(None) };
}

impl Definitions {
    pub(super) fn of_seed(seed: u64) -> Self {
        let number = seed / SEEDS_OF_ONE;
        LAST.with_borrow_mut(|last| match last {
            Some((of, definitions)) if *of == number => definitions.clone(),
            Some(_) | None => {
                let definitions = Self::of_number(number);
                *last = Some((number, definitions.clone()));
                definitions
            }
        })
    }

    fn of_number(number: u64) -> Self {
        // One of four is shipped.
        let main = match usize::try_from(number % 8) {
            Ok(place @ (0 | 4)) => compiled(SHIPPED[place / 4].1),
            Ok(_) | Err(_) => compiled(&generated(number)),
        };
        let mut chance = Chance::new(!number);
        // Where there is none of the name, it cannot be started.
        let names = CHILDREN.iter().take(if number.is_multiple_of(3) { 1 } else { 2 });
        let children = names.map(|name| compiled(&valid(&mut chance, |chance| child(chance, name))));
        let children: Vec<Arc<CompiledDefinition>> = children.collect();
        let mut events: Vec<EventName> = Vec::new();
        for state in main.definition().states.values() {
            if let State::Active(state) = state {
                events.extend(state.on.keys().cloned());
            }
        }
        events.sort_unstable();
        events.dedup();
        let mut tasks = Tasks::default();
        for definition in children.iter().chain([&main]) {
            tasks.of(&serde_json::to_value(definition.definition()).expect("a definition is always JSON"));
        }
        let targets: Vec<Target> = tasks.targets.into_iter().collect();
        let names: Vec<TaskName> = tasks.names.into_iter().collect();
        Self {
            main,
            children,
            events,
            lanes: Lane::of(&targets, &names),
            targets,
        }
    }
}

/// The targets and the names of tasks.
struct Tasks {
    targets: BTreeSet<Target>,
    names: BTreeSet<TaskName>,
}

impl Default for Tasks {
    fn default() -> Self {
        let default = Target::new("default".to_owned()).expect("a target");
        Self {
            targets: BTreeSet::from([default]),
            names: BTreeSet::new(),
        }
    }
}

impl Tasks {
    /// Whatever has a name counts as one.
    fn of(&mut self, part: &Value) {
        match part {
            Value::Object(fields) => {
                if let Some(name) = text(fields, "name").and_then(|name| TaskName::new(name).ok()) {
                    self.names.insert(name);
                    self.targets
                        .extend(text(fields, "target").and_then(|target| Target::new(target).ok()));
                }
                fields.values().for_each(|part| self.of(part));
            }
            Value::Array(parts) => parts.iter().for_each(|part| self.of(part)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn text(fields: &Map<String, Value>, name: &str) -> Option<String> {
    fields.get(name)?.as_str().map(str::to_owned)
}

fn compiled(text: &str) -> Arc<CompiledDefinition> {
    let checked = check(text, &SpecLimits::default(), Timestamp::EPOCH).unwrap_or_else(|faults| panic!("{faults}"));
    let compiled = CompiledDefinition::new(checked.definition).unwrap_or_else(|faults| panic!("{faults}"));
    Arc::new(compiled)
}

/// The generated definition of a number: one that meets every rule.
pub fn generated(number: u64) -> String {
    valid(&mut Chance::new(number), whole)
}

/// Draws until the rules are met, which most are at once.
fn valid(chance: &mut Chance, draw: impl Fn(&mut Chance) -> Value) -> String {
    for _ in 0..1_000 {
        let text = draw(chance).to_string();
        if check(&text, &SpecLimits::default(), Timestamp::EPOCH).is_ok() {
            return text;
        }
    }
    panic!("of a thousand definitions none meets the rules: {}", draw(chance));
}

/// A definition in the drawing.
struct Drawing<'a> {
    chance: &'a mut Chance,
    states: usize,
    children: bool,
}

/// States that lead from one to the next, each of a kind of its own.
fn whole(chance: &mut Chance) -> Value {
    let states = 2 + chance.index(4);
    let mut drawing = Drawing {
        chance,
        states,
        children: true,
    };
    drawing.definition(GENERATED)
}

fn child(chance: &mut Chance, name: &str) -> Value {
    let states = 1 + chance.index(2);
    let mut drawing = Drawing {
        chance,
        states,
        children: false,
    };
    drawing.definition(name)
}

impl Drawing<'_> {
    fn definition(&mut self, name: &str) -> Value {
        let mut states = Map::new();
        let mut start = json!({"target": "S0", "set": {"n": 0}});
        if self.chance.happens(300) {
            let action = self.task("first", "heard");
            start["tasks"] = json!([action]);
        }
        states.insert("Initial".to_owned(), json!({"on": {"start": start}}));
        for place in 0..self.states {
            let state = self.state(place);
            states.insert(format!("S{place}"), state);
        }
        let text = Value::Object(states.clone()).to_string();
        if text.contains("\"Rest\"") {
            let rest = json!({
                "on_entry": [{"name": "recover", "raises": {"success": "recovered", "failure": "recovered"}}],
                "on": {"recovered": {"target": "Failed"}},
            });
            states.insert("Rest".to_owned(), rest);
        }
        let mut definition =
            json!({"name": name, "initial": "Initial", "context": {"items": "${ input.items }", "n": 0}});
        if self.chance.happens(300) {
            let after = 100 + self.chance.below(5_000);
            definition["timeout"] =
                json!({"after_seconds": after, "target": "Late", "compensate": self.chance.happens(600)});
            states.insert("Late".to_owned(), json!({"final": "failed"}));
        }
        states.insert("Done".to_owned(), json!({"final": true}));
        if Value::Object(states.clone()).to_string().contains("\"Failed\"") {
            states.insert("Failed".to_owned(), json!({"final": "failed"}));
        }
        definition["states"] = Value::Object(states);
        definition["unhandled"] = json!(["reject", "ignore", "defer"][self.chance.index(3)]);
        if self.chance.happens(400) {
            definition["on_compensation_failure"] = json!("continue");
        }
        definition
    }

    fn next(&self, place: usize) -> String {
        if place + 1 < self.states {
            format!("S{}", place + 1)
        } else {
            "Done".to_owned()
        }
    }

    fn state(&mut self, place: usize) -> Value {
        let mut state = match self.chance.below(if self.children { 12 } else { 8 }) {
            0..=3 => self.work(place),
            4 | 5 => self.fan_out(place),
            6 => self.ask(place),
            7 => self.wait(place),
            8 | 9 => self.descend(place),
            10 => self.choose(place),
            _ => self.fan_out_beside_work(place),
        };
        if self.chance.happens(250) && state.get("after").is_none() {
            let delay = 5 + self.chance.below(90);
            let mut way = self.failure(place);
            way["seconds"] = json!(delay);
            state["after"] = json!([way]);
        }
        if self.chance.happens(150) && place + 1 < self.states {
            state["on_exit"] = json!([self.task(&format!("leave{place}"), "heard")]);
        }
        if self.chance.happens(200) && place > 0 {
            let back = format!("S{}", self.chance.index(place));
            state["on"][format!("ext_back{place}")] =
                json!([{"if": "context.n < 3", "set": {"n": "${ context.n + 1 }"}, "target": back}]);
        }
        if state.get("always").is_none() {
            // The ends of tasks that nothing waits for.
            state["on"]["heard"] = json!({});
        }
        if self.chance.happens(150) {
            let body = json!([{"name": format!("undo_note{place}")}]);
            state["on"][format!("ext_note{place}")] =
                json!({"set": {"noted": "${ event.data.ok }"}, "compensation": body});
        }
        state
    }

    /// The way on.
    fn forward(&mut self, place: usize) -> Value {
        let mut way = json!({"target": self.next(place)});
        if self.chance.happens(250) {
            way["set"] = json!({format!("value{place}"): "${ event.data.ok }"});
        }
        if self.chance.happens(400) && place + 1 < self.states {
            way["compensation"] = json!([{"name": format!("undo_way{place}"), "max_retries": self.chance.below(2)}]);
            if self.chance.happens(200) {
                way["compensation"] =
                    json!([{"name": format!("undo_one{place}")}, {"name": format!("undo_two{place}")}]);
            }
        }
        way
    }

    /// Where it goes that did not go well.
    fn failure(&mut self, place: usize) -> Value {
        match self.chance.below(10) {
            0..=5 => json!({"compensate": true, "target": "Failed"}),
            6 => json!({"compensate": true, "target": "Rest"}),
            7 if place + 1 < self.states => json!({"compensate": true, "target": self.next(place)}),
            8 => json!({"target": self.next(place)}),
            _ => json!({"target": "Failed"}),
        }
    }

    fn task(&mut self, name: &str, heard: &str) -> Value {
        let mut task = json!({
            "name": format!("do_{name}"),
            "ttl_seconds": 20 + self.chance.below(200),
            "max_retries": self.chance.below(3),
            "raises": {"success": heard, "failure": heard},
        });
        if self.chance.happens(500) {
            task["compensation"] = json!([{"name": format!("undo_{name}"), "max_retries": self.chance.below(2)}]);
        }
        if self.chance.happens(300) {
            task["target"] = json!("elsewhere");
        }
        if self.chance.happens(150) {
            task["priority"] = json!(1 + self.chance.below(3));
        }
        task
    }

    fn raises(&mut self, place: usize) -> Value {
        let mut raises = json!({"success": format!("ok{place}"), "failure": format!("bad{place}")});
        match self.chance.below(10) {
            // Nobody hears of its failure.
            0 => raises = json!({"success": format!("ok{place}")}),
            1 => raises["expired"] = json!(format!("ok{place}")),
            2 => raises["cancelled"] = json!(format!("ok{place}")),
            _ => {}
        }
        raises
    }

    fn work(&mut self, place: usize) -> Value {
        let mut task = self.task(&place.to_string(), "");
        task["raises"] = self.raises(place);
        let mut entry = vec![task];
        if self.chance.happens(250) {
            // One beside it, whose end nobody waits for.
            let beside = self.task(&format!("beside{place}"), "heard");
            entry.push(beside);
        }
        let (forward, failure) = (self.forward(place), self.failure(place));
        json!({"on_entry": entry, "on": {format!("ok{place}"): forward, format!("bad{place}"): failure}})
    }

    fn many(&mut self, place: usize) -> Value {
        let partial = if self.chance.happens(500) { "fail" } else { "continue" };
        let mut task = json!({
            "name": format!("do_each{place}"),
            "input": "${ item }",
            "for_each": "${ context.items }",
            "join": {"raises": format!("all{place}"), "on_partial_failure": partial},
            "max_retries": self.chance.below(2),
        });
        if self.chance.happens(900) {
            task["raises"] = json!({"failure": format!("bad{place}")});
        }
        if self.chance.happens(500) {
            task["compensation"] = json!([{"name": format!("undo_each{place}"), "input": "${ index }"}]);
        }
        task
    }

    fn fan_out(&mut self, place: usize) -> Value {
        let many = self.many(place);
        let (mut forward, failure) = (self.forward(place), self.failure(place));
        forward["set"] = json!({format!("joined{place}"): "${ size(event.data.outputs) }"});
        json!({"on_entry": [many], "on": {format!("all{place}"): forward, format!("bad{place}"): failure}})
    }

    fn fan_out_beside_work(&mut self, place: usize) -> Value {
        let (many, mut work) = (self.many(place), self.work(place));
        if let Some(entry) = work["on_entry"].as_array_mut() {
            entry.push(many);
        }
        work["on"][format!("all{place}")] = json!({"set": {format!("joined{place}"): "${ size(event.data.outputs) }"}});
        work
    }

    fn descend(&mut self, place: usize) -> Value {
        let mut action =
            json!({"saga": CHILDREN[self.chance.index(2)], "input": {"items": [1]}, "raises": self.raises(place)});
        if self.chance.happens(200) {
            action["correlation_id"] = json!("the same for all");
        }
        if self.chance.happens(500) {
            action["compensation"] = json!([{"name": format!("undo_child{place}")}]);
        }
        let (forward, failure) = (self.forward(place), self.failure(place));
        json!({"on_entry": [action], "on": {format!("ok{place}"): forward, format!("bad{place}"): failure}})
    }

    fn ask(&mut self, place: usize) -> Value {
        let answer = format!("ext_answer{place}");
        let mut input = json!({"event": answer, "prompt": "Go on?"});
        let mut on = Map::new();
        if self.chance.happens(600) {
            let delay = 40 + self.chance.below(50);
            input["default_after"] = json!({"seconds": delay, "data": {"ok": self.chance.happens(500)}});
        }
        if self.chance.happens(400) {
            input["reminders"] = json!([{"seconds": 10, "event": "reminded"}, {"seconds": 30.5, "event": "reminded"}]);
            on.insert(
                "reminded".to_owned(),
                json!({"set": {"reminded": "${ event.data.prompt }"}}),
            );
        }
        let mut forward = self.forward(place);
        forward["if"] = json!("event.data.ok");
        let failure = self.failure(place);
        on.insert(answer, json!([forward, failure]));
        json!({"await_input": input, "on": on})
    }

    fn wait(&mut self, place: usize) -> Value {
        let (mut forward, failure) = (self.forward(place), self.failure(place));
        let delay = 5 + self.chance.below(90);
        let on = json!({format!("ext_go{place}"): forward.clone(), format!("ext_stop{place}"): failure});
        if let Some(way) = forward.as_object_mut() {
            way.remove("set");
        }
        forward["seconds"] = json!(delay);
        json!({"on": on, "after": [forward]})
    }

    fn choose(&mut self, place: usize) -> Value {
        let (mut forward, failure) = (json!({"target": self.next(place)}), self.failure(place));
        forward["if"] = json!("size(context.items) > 1");
        json!({"always": [forward, failure], "on": {}})
    }
}
