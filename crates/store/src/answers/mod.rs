//! Whether an answer meets the JSON Schema that a saga asks for. It is asked where an event is put to its saga, whichever way it came.
//!
//! The rules of definitions see to it that a schema refers to nothing but itself, not in circles, and has few values
//! ([`schema_parts`]); patterns take time linear in the text. So a definition cannot make the server fetch anything, and what an
//! answer costs is [known](work) before it is looked at.

mod memory;
#[cfg(test)]
mod tests;
mod work;

use jsonschema::{PatternOptions, ValidationError, Validator};
use orchestratum_core::JsonText;
use orchestratum_core::saga::{AnswerSchema, CheckedAnswer, Definition, Fault, Faults, State, schema_parts};
use orchestratum_core::task::Violations;
use serde_json::Value;

use self::memory::PATTERN_BYTES;
use self::work::{BYTES_SCANNED_AT_ONCE, UNITS_OF_A_STEP, Walk, Weights, reading};

/// What an answer may take to be read and checked, in steps: 15 ms, while the row of the saga is locked. Ten thousand values of a
/// form with patterns take half of it.
const ANSWER_STEPS_MAX: u64 = 150_000;

/// What a file may take: nobody waits for it.
const FILE_STEPS_MAX: u64 = 2_000_000;

/// A third of it may be taken once more to look for what is wrong.
const TELLING_SHARE: u64 = 3;

/// How many faults of an answer are told.
const FAULTS_TOLD: usize = 20;

/// How long the words about one fault may be: they quote the schema.
const FAULT_MAX_CHARACTERS: usize = 300;

/// How much memory a schema may take that is ready.
const MEMORY_MAX_BYTES: usize = 8 << 20;

/// How much all schemas of a definition may take together: some 200 regular expressions, of which each takes milliseconds to be made
/// ready.
const MEMORY_OF_ALL_MAX_BYTES: usize = 24 << 20;

/// With how many faults the others are not looked for: each schema takes its time.
const FAULTY_MAX: usize = 20;

/// A regular expression keeps so much of what it has found at most, for each thread that uses it.
const PATTERN_MAX_BYTES: usize = 64 << 10;

/// A schema that is ready: it is made so with the definition it belongs to, while nobody waits and no row is locked.
#[derive(Debug)]
pub struct Schema(Result<ReadySchema, String>);

#[derive(Debug)]
struct ReadySchema {
    validator: Validator,
    weights: Weights,
}

impl Schema {
    pub fn new(source: &JsonText) -> Self {
        Self(ReadySchema::of(source))
    }

    /// For a definition that is ready to run.
    pub fn boxed(source: &JsonText) -> Box<dyn AnswerSchema> {
        Box::new(Self::new(source))
    }

    fn check_within(&self, answer: &JsonText, most_steps: u64) -> CheckedAnswer {
        let mut violations = Violations::default();
        let (units, faults) = match &self.0 {
            Ok(ready) => ready.faults(answer, most_steps * UNITS_OF_A_STEP),
            Err(message) => {
                let message = format!("the schema of the definition cannot be used: {message}");
                (0, vec![(String::new(), message)])
            }
        };
        for (pointer, message) in faults {
            violations.add(format!("/data{pointer}"), message);
        }
        CheckedAnswer {
            steps: units / UNITS_OF_A_STEP,
            broken: violations.into_result(),
        }
    }
}

impl AnswerSchema for Schema {
    /// No value of the answer is told: answers may be secrets.
    fn check(&self, answer: &JsonText) -> CheckedAnswer {
        self.check_within(answer, ANSWER_STEPS_MAX)
    }
}

/// Holds a file against a schema, as if it were an answer.
///
/// # Errors
/// What the file breaks, each with a pointer below `/data`.
pub fn check_file(schema: &JsonText, file: &JsonText) -> Result<(), Violations> {
    Schema::new(schema).check_within(file, FILE_STEPS_MAX).broken
}

/// How much memory the schemas of a definition take at the most when all of them are ready.
pub(crate) fn memory(definition: &Definition) -> usize {
    let schemas = definition.states.values().filter_map(|state| match state {
        State::Active(state) => state.await_input.as_ref()?.schema.as_ref(),
        State::Final { .. } => None,
    });
    schemas
        .filter_map(|schema| Some(memory::memory(&schema.parse::<Value>().ok()?, schema_parts(schema)?)))
        .map(|bytes| bytes.min(MEMORY_MAX_BYTES))
        .sum()
}

/// What is wrong with the schemas of a definition, beside what core knows, and with the answers that are given for whoever gives
/// none.
pub fn faults(definition: &Definition) -> Faults {
    let mut faults = Faults::default();
    let mut bytes = 0;
    for (name, state) in &definition.states {
        let input = match state {
            State::Active(state) => state.await_input.as_ref(),
            State::Final { .. } => None,
        };
        let Some((input, schema)) = input.and_then(|input| Some((input, input.schema.as_ref()?))) else {
            continue;
        };
        let pointer = format!("/states/{name}/await_input");
        // What core refuses is told by core.
        let Some(parts) = schema_parts(schema) else { continue };
        bytes += schema
            .parse::<Value>()
            .map_or(0, |schema| memory::memory(&schema, parts));
        if bytes > MEMORY_OF_ALL_MAX_BYTES {
            let message = format!(
                "is too much: the schemas of a definition may take {MEMORY_OF_ALL_MAX_BYTES} bytes of memory together, in which a \
                 regular expression takes {PATTERN_BYTES}"
            );
            faults.0.push(Fault::new(format!("{pointer}/schema"), message));
            return faults;
        }
        if faults.0.len() >= FAULTY_MAX {
            return faults;
        }
        let data = input
            .default_after
            .as_ref()
            .map_or_else(JsonText::null, |default| default.data.clone());
        match ReadySchema::of(schema) {
            Err(message) => faults.0.push(Fault::new(format!("{pointer}/schema"), message)),
            Ok(ready) if input.default_after.is_some() => {
                let (_, broken) = ready.faults(&data, ANSWER_STEPS_MAX * UNITS_OF_A_STEP);
                let broken = broken.into_iter().map(|(below, message)| {
                    let message = format!("does not meet the schema of the answer: {message}");
                    Fault::new(format!("{pointer}/default_after/data{below}"), message)
                });
                faults.0.extend(broken);
            }
            Ok(_) => {}
        }
    }
    faults
}

impl ReadySchema {
    fn of(source: &JsonText) -> Result<Self, String> {
        let parts = schema_parts(source).ok_or("it is too large, or refers to itself")?;
        let schema = source.parse::<Value>().map_err(|error| error.to_string())?;
        if memory::memory(&schema, parts) > MEMORY_MAX_BYTES {
            return Err(format!(
                "it takes more than {MEMORY_MAX_BYTES} bytes of memory: names may be shorter, and what stands below a not smaller"
            ));
        }
        Ok(Self {
            validator: validator(&schema)?,
            weights: Weights::of(&schema),
        })
    }

    /// What it took, and pointers into the answer with what is wrong there.
    fn faults(&self, answer: &JsonText, most: u64) -> (u64, Vec<(String, String)>) {
        let (values, read) = reading(answer.as_str());
        if read > most {
            let scanned = answer.len() as u64 / BYTES_SCANNED_AT_ONCE;
            return (
                scanned,
                vec![too_much(most, values.saturating_mul(most) / read, values)],
            );
        }
        let answer = match answer.parse::<Value>() {
            Ok(answer) => answer,
            Err(error) => return (read, vec![(String::new(), error.to_string())]),
        };
        let walk = Walk::through(&self.weights, &answer, most - read);
        if walk.is_too_long() {
            return (most, vec![too_much(most, walk.values.min(values), values)]);
        }
        let checked = read + walk.work.truth;
        if self.validator.is_valid(&answer) {
            return (checked, Vec::new());
        }
        let told = |fault: &ValidationError<'_>| (fault.instance_path().to_string(), words(fault));
        let most = most / TELLING_SHARE;
        if walk.work.all <= most {
            let faults = self.validator.iter_errors(&answer).take(FAULTS_TOLD);
            return (checked + walk.work.all, faults.map(|fault| told(&fault)).collect());
        }
        if walk.work.first <= most {
            let faults = self.validator.validate(&answer).err();
            return (checked + walk.work.first, faults.iter().map(told).collect());
        }
        let message = "does not meet the schema, and is too large for what is wrong to be looked for";
        (checked, vec![(String::new(), message.to_owned())])
    }
}

fn too_much(most: u64, taken: u64, values: u64) -> (String, String) {
    let most = most / UNITS_OF_A_STEP;
    let message = format!(
        "must be smaller: it may take {most} steps to check against this schema, and {taken} of its {values} values take them"
    );
    (String::new(), message)
}

fn validator(schema: &Value) -> Result<Validator, String> {
    let patterns = PatternOptions::regex().dfa_size_limit(PATTERN_MAX_BYTES);
    let options = jsonschema::draft202012::options().with_pattern_options(patterns);
    options.offline().build(schema).map_err(|fault| words(&fault))
}

fn words(fault: &ValidationError<'_>) -> String {
    fault
        .masked_with("it")
        .to_string()
        .chars()
        .take(FAULT_MAX_CHARACTERS)
        .collect()
}
