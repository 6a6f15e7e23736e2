//! The rules for follow-ups when their parent is created.

use uuid::Uuid;

use super::body::Entry;
use super::{Edge, FollowUps, VARIABLES};
use crate::JsonText;
use crate::expression::{Size, Variable};
use crate::identity::{TaskId, TaskName};
use crate::task::built_in::BuiltIn;
use crate::task::rules::Violations;
use crate::task::spec::SpecLimits;
use crate::time::Timestamp;

/// The most follow-ups of a task, those of its follow-ups included.
pub const FOLLOW_UPS_MAX: usize = 1_000;

/// How deep follow-ups may lie in each other: a chain of one task and so many more.
pub const FOLLOW_UPS_DEPTH_MAX: usize = 20;

/// How large they may be together, as they are written: they are kept with their parent.
const FOLLOW_UPS_TEXT_MAX_BYTES: usize = 1 << 20;

/// The most expressions of all of them: each takes its time, when the parent is created and when the follow-up is due.
const EXPRESSIONS_MAX: usize = 10_000;

/// The most regular expressions of all of them: to compile one may take as long as ten of the others.
const REGEXES_MAX: usize = 100;

impl FollowUps {
    /// Checks every rule that does not depend on how the parents end.
    ///
    /// # Errors
    /// All [`Violations`], their pointers below `prefix`, such as `/on_success/0/input/total`.
    pub fn check(&self, prefix: &str, limits: &SpecLimits, now: Timestamp) -> Result<(), Violations> {
        let mut checker = Checker::new(limits, now);
        let lists = Edge::ALL.into_iter().filter(|edge| !self.is_as_after_failure(*edge));
        let bytes: usize = lists.flat_map(|edge| self.of(edge)).map(JsonText::len).sum();
        if bytes > FOLLOW_UPS_TEXT_MAX_BYTES {
            let first = Edge::ALL.into_iter().find(|edge| !self.of(*edge).is_empty());
            let pointer = first.map_or_else(String::new, |edge| format!("{prefix}/{edge}"));
            let message =
                format!("the follow-ups of a task must not be larger than {FOLLOW_UPS_TEXT_MAX_BYTES} bytes together");
            checker.violations.add(pointer, message);
        } else {
            checker.lists(self, prefix, 1);
        }
        checker.violations.into_result()
    }

    /// Whether the list of an end is that of the failure again: what holds for the one holds for the other.
    fn is_as_after_failure(&self, edge: Edge) -> bool {
        match edge {
            Edge::Success | Edge::Failure => false,
            Edge::Cancel | Edge::Expire => self.of(edge) == self.of(Edge::Failure),
        }
    }
}

/// Checks a task that is created later and follows none, with all that follows it; its expressions see these variables.
///
/// # Errors
/// All [`Violations`], their pointers below `pointer`.
pub(crate) fn check_entry(
    json: &JsonText,
    variables: &[Variable<'_>],
    pointer: &str,
    limits: &SpecLimits,
    now: Timestamp,
) -> Result<(), Violations> {
    let mut checker = Checker::new(limits, now);
    if json.len() > FOLLOW_UPS_TEXT_MAX_BYTES + limits.input_max_bytes {
        let most = FOLLOW_UPS_TEXT_MAX_BYTES + limits.input_max_bytes;
        checker
            .violations
            .add(pointer, format!("must not be larger than {most} bytes"));
    } else {
        checker.entry(json, variables, pointer, 0);
    }
    checker.violations.into_result()
}

struct Checker<'a> {
    limits: &'a SpecLimits,
    now: Timestamp,
    follow_ups: usize,
    size: Size,
    /// Whoever broke the bounds of the whole is told that, and not every rule that all of it breaks.
    is_too_much: bool,
    violations: Violations,
}

impl<'a> Checker<'a> {
    fn new(limits: &'a SpecLimits, now: Timestamp) -> Self {
        Self {
            limits,
            now,
            follow_ups: 0,
            size: Size::default(),
            is_too_much: false,
            violations: Violations::default(),
        }
    }

    fn lists(&mut self, follow_ups: &FollowUps, pointer: &str, depth: usize) {
        for edge in Edge::ALL {
            if follow_ups.is_as_after_failure(edge) {
                continue;
            }
            let list = follow_ups.of(edge);
            let pointer = format!("{pointer}/{edge}");
            if !list.is_empty() && depth > FOLLOW_UPS_DEPTH_MAX {
                self.is_too_much = true;
                let message = format!("follow-ups must not lie deeper than {FOLLOW_UPS_DEPTH_MAX} in each other");
                self.violations.add(pointer, message);
                return;
            }
            for (index, entry) in list.iter().enumerate() {
                self.follow_ups += 1;
                if self.follow_ups > FOLLOW_UPS_MAX && !self.is_too_much {
                    self.is_too_much = true;
                    let message = format!("a task must not have more than {FOLLOW_UPS_MAX} follow-ups in all");
                    self.violations.add(pointer.clone(), message);
                }
                if self.is_too_much {
                    return;
                }
                self.entry(entry, &VARIABLES, &format!("{pointer}/{index}"), depth);
            }
        }
    }

    fn entry(&mut self, json: &JsonText, variables: &[Variable<'_>], pointer: &str, depth: usize) {
        let (entry, broken) = match Entry::read_what_holds(json, variables) {
            Ok(read) => read,
            Err(broken) => {
                self.violations.extend_below(pointer, broken);
                return;
            }
        };
        let unread = broken.0.iter().map(|broken| format!("{pointer}{}", broken.pointer));
        let unread: Vec<String> = unread.collect();
        self.violations.extend_below(pointer, broken);
        self.size = self.size + entry.size();
        let most = [
            (self.size.expressions, EXPRESSIONS_MAX, "expressions"),
            (self.size.regexes, REGEXES_MAX, "regular expressions"),
        ];
        if let Some((_, most, what)) = most.into_iter().find(|(count, most, _)| count > most) {
            if !self.is_too_much {
                self.is_too_much = true;
                let message = format!("the follow-ups of a task must not have more than {most} {what} in all");
                self.violations.add(pointer, message);
            }
            return;
        }
        let built_in = TaskName::new(entry.draft.name.as_str()).ok();
        let built_in = built_in.and_then(|name| BuiltIn::of(&name));
        if let (Some(built_in), Some(input)) = (built_in, &entry.input) {
            let (known, unknown) = input.known();
            if let Err(broken) = built_in.check_known(known.as_str(), &unknown) {
                self.violations.extend_below(&format!("{pointer}/input"), broken);
            }
        }
        let input = format!("{pointer}/input");
        let has_input = entry.input.is_some() || unread.iter().any(|broken| broken.starts_with(&input));
        let is_known = unread.is_empty() && entry.is_known();
        // Of the task that it will be only the rules matter here.
        if let Err(mut broken) = entry.draft.check(pointer, TaskId(Uuid::nil()), self.limits, self.now) {
            // What it is will be checked when it is there.
            // Their form was checked as the entry was read.
            let keys = ["concurrency/key", "rate/key", "unique/by"].map(|key| format!("{pointer}/{key}"));
            broken.0.retain(|violation| {
                (!has_input || !violation.pointer.starts_with(&input))
                    && (is_known || !keys.contains(&violation.pointer))
                    && !unread.contains(&violation.pointer)
            });
            self.violations.extend_below("", broken);
        }
        self.lists(&entry.follow_ups, pointer, depth + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(on_success: &str) -> Vec<String> {
        let list: Vec<JsonText> = serde_json::from_str(on_success).expect("an array");
        let checked = FollowUps::on_success(list).check("", &SpecLimits::default(), Timestamp::EPOCH);
        checked.map_or_else(
            |broken| broken.0.iter().map(ToString::to_string).collect(),
            |()| Vec::new(),
        )
    }

    #[test]
    fn what_is_constant_in_the_input_of_a_built_in_task_is_checked_beside_its_expressions() {
        let told = check(
            r#"[{"name": "amqp", "input": {"routing_key": 7, "body": "${ output }"}},
                {"name": "http", "input": {"url": "${ output.url }", "methd": "GET"}},
                {"name": "python", "input": "${ output }"}]"#,
        );
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], "/on_success/0/input/routing_key must be a text, not a number");
        assert!(told[1].starts_with("/on_success/1/input/methd is no field"), "{told:?}");
    }

    #[test]
    fn a_follow_up_is_checked_with_the_rules_of_a_create() {
        assert_eq!(
            check(
                r#"[{"name": "echo", "input": {"total": "${ output.result }", "why": "${error.kind}"},
                    "target": "${ task.target }", "delay_seconds": "${ output.wait }", "labels": {"of": "${task.id}"},
                    "limits": {"memory_mb": 64}, "backoff": {"kind": "none"},
                    "on_failure": [{"name": "python", "input": {"code": "${ input.code }"}}]}]"#
            ),
            Vec::<String>::new()
        );
        let told = check(
            r#"[{"name": "no spaces", "priority": 10, "ttl_seconds": 0},
                {"name": "python", "input": {"code": 5}, "target": "a b"},
                {"name": "echo", "input": {"a": ["${ outptu }"]}, "description": "${ task.nme }"},
                {"name": "echo", "delay_seconds": "soon", "limits": {"memory_mb": 0, "memory": 1}},
                {"name": "echo", "id": "x"},
                {"name": "echo", "priority": 1.5},
                {"nme": "echo"},
                5,
                {"name": "echo", "on_success": [{"name": "shell"}], "on_expire": {}}]"#,
        );
        let expected = [
            "/on_success/0/name must match [A-Za-z0-9._-]{1,100}",
            "/on_success/0/priority must be a whole number from 0 to 9, not 10",
            "/on_success/0/ttl_seconds must lie between 0.001 and 3155760000 seconds, not 0",
            "/on_success/1/target must match [A-Za-z0-9._-]{1,100}",
            "/on_success/1/input/code must be a text, not a number",
            "/on_success/2/input/a/0 at character 4: there is no variable outptu; there are output, error, input, task",
            "/on_success/2/description at character 4: task has no field nme; it has ",
            "/on_success/3/delay_seconds must be a number, or a text that is an expression",
            "/on_success/3/limits/memory ",
            "/on_success/3/limits/memory_mb must be a whole number from 1 to 1048576, not 0",
            "/on_success/4/id unknown field `id`, expected ",
            "/on_success/5/priority invalid type: floating point `1.5`, expected a whole number",
            "/on_success/6/nme unknown field `nme`",
            "/on_success/7 invalid type: integer `5`, expected an object",
            "/on_success/8/on_expire invalid type: map, expected an array",
            "/on_success/8/on_success/0/input must be an object, not null",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}\nexpected {expected}");
        }
    }

    #[test]
    fn beside_a_broken_expression_all_else_is_told_as_well_and_once() {
        let told = check(
            r#"[{"name": "echo", "input": "${ outptu }", "labels": {"of": "${ task.nme }"}, "limits": {"memory_mb": 0},
                 "max_retries": -1, "concurrency": {"key": "${ input.customer }", "limit": 0},
                 "rate": {"key": "${ 1 +", "limit": 1, "per_seconds": 1},
                 "on_failure": [{"name": "no spaces"}]},
                {"name": "python", "input": {"code": "${ outptu }"}},
                {"name": "shell", "target": "${ task.nme }"}]"#,
        );
        let mut pointers: Vec<&str> = told.iter().filter_map(|told| told.split(' ').next()).collect();
        pointers.sort_unstable();
        let expected = [
            "/on_success/0/concurrency/limit",
            "/on_success/0/input",
            "/on_success/0/labels/of",
            "/on_success/0/limits/memory_mb",
            "/on_success/0/max_retries",
            "/on_success/0/on_failure/0/name",
            "/on_success/0/rate/key",
            "/on_success/1/input/code",
            "/on_success/2/input",
            "/on_success/2/target",
        ];
        assert_eq!(pointers, expected, "{told:#?}");
    }

    #[test]
    fn fields_that_cannot_be_read_keep_no_other_fault_back() {
        let told = check(
            r#"[{"priority": "high", "max_retries": 1.5, "nonsense": 1, "input": "${ outptu }", "labels": {"a": 1, "b": [], "c": "d"},
                 "concurrency": {"key": 5, "limit": "few", "most": 1}, "ttl_seconds": 0, "on_failure": [{"name": "no spaces"}]},
                {"nme": "echo", "target": 5}]"#,
        );
        let mut pointers: Vec<&str> = told.iter().filter_map(|told| told.split(' ').next()).collect();
        pointers.sort_unstable();
        let expected = [
            "/on_success/0/concurrency/key",
            "/on_success/0/concurrency/limit",
            "/on_success/0/concurrency/most",
            "/on_success/0/input",
            "/on_success/0/labels/a",
            "/on_success/0/labels/b",
            "/on_success/0/max_retries",
            "/on_success/0/name",
            "/on_success/0/nonsense",
            "/on_success/0/on_failure/0/name",
            "/on_success/0/priority",
            "/on_success/0/ttl_seconds",
            "/on_success/1/nme",
            "/on_success/1/target",
        ];
        assert_eq!(pointers, expected, "{told:#?}");
        let told = check(r#"[{"name": "echo", "name": "echo"}]"#);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("duplicate field"), "{told:?}");
    }

    #[test]
    fn a_nested_fault_is_told_with_the_whole_way_to_it() {
        assert_eq!(
            check(r#"[{"name": "echo", "on_expire": [{"name": "echo"}, {"name": "echo", "input": "${ 1 / 0 }"}]}]"#),
            ["/on_success/0/on_expire/1/input at character 4: it divides by zero"]
        );
        assert_eq!(
            check(r#"[{"name": "echo", "on_success": [{"name": "shell"}]}]"#),
            ["/on_success/0/on_success/0/input must be an object, not null"]
        );
    }

    #[test]
    fn expressions_are_counted_wherever_they_stand() {
        let matching = |count: usize| format!("${{ {} }}", vec!["input.a.matches('^a+$')"; count].join(" && "));
        let with = |tasks: usize, inputs: usize, keys: usize| {
            let concurrency = format!(
                r#"{{"key": "${{ string({}) }}", "limit": 1}}"#,
                &matching(keys)[3..].replace(" }", "")
            );
            let task = format!(
                r#"{{"name": "echo", "input": "{}", "concurrency": {concurrency}}}"#,
                matching(inputs)
            );
            format!("[{}]", vec![task; tasks].join(","))
        };
        assert_eq!(check(&with(5, 10, 10)), Vec::<String>::new());
        assert_eq!(
            check(&with(6, 10, 10)),
            ["/on_success/5 the follow-ups of a task must not have more than 100 regular expressions in all"]
        );
        assert_eq!(
            check(&with(1, 11, 1)),
            ["/on_success/0/input at character 12: an expression must not have more than 10 regular expressions"]
        );
        let keys = |count: usize| {
            let key = "${ 1 }".repeat(300);
            format!(
                "[{}]",
                vec![format!(r#"{{"name": "echo", "rate": {{"key": "{key}", "limit": 1, "per_seconds": 1}}}}"#); count]
                    .join(",")
            )
        };
        assert_eq!(
            check(&keys(34)),
            ["/on_success/33 the follow-ups of a task must not have more than 10000 expressions in all"]
        );
    }

    #[test]
    fn a_chain_may_be_twenty_deep_and_a_spec_may_have_a_thousand() {
        let chain = |depth: usize| {
            let begin = r#"[{"name": "echo", "on_success": "#;
            format!("{}[]{}", begin.repeat(depth), "}]".repeat(depth))
        };
        assert_eq!(check(&chain(20)), Vec::<String>::new());
        let told = check(&chain(21));
        assert_eq!(told.len(), 1);
        assert!(
            told[0].ends_with("follow-ups must not lie deeper than 20 in each other"),
            "{told:?}"
        );
        assert_eq!(told[0].matches("/on_success").count(), 21);

        let many = |count: usize| format!("[{}]", vec![r#"{"name": "echo"}"#; count].join(","));
        assert_eq!(check(&many(1_000)), Vec::<String>::new());
        assert_eq!(
            check(&many(1_001)),
            ["/on_success a task must not have more than 1000 follow-ups in all"]
        );
        let nested = format!(r#"[{{"name": "echo", "on_success": {}}}]"#, many(1_000));
        assert_eq!(
            check(&nested),
            ["/on_success/0/on_success a task must not have more than 1000 follow-ups in all"]
        );
    }

    #[test]
    fn what_comes_after_a_failure_may_come_after_the_other_ends_and_counts_once() {
        // Written out it would be three times as much with each task of the chain.
        let begin = r#"[{"name": "echo", "on_cancel": "on_failure", "on_expire": "on_failure", "on_failure": "#;
        let chain = |depth: usize| format!("{}[]{}", begin.repeat(depth), "}]".repeat(depth));
        assert_eq!(check(&chain(20)), Vec::<String>::new());
        assert_eq!(check(&chain(21)).len(), 1);
        let told = check(r#"[{"name": "echo", "on_cancel": "on_success"}]"#);
        let expected =
            "/on_success/0/on_cancel invalid value: string \"on_success\", expected an array or the word on_failure";
        assert_eq!(told, [expected]);

        let list: Vec<JsonText> = serde_json::from_str(&chain(2)).expect("an array");
        let read = Entry::read(&list[0], &VARIABLES).expect("an entry").follow_ups;
        assert_eq!(read.of(Edge::Cancel), read.of(Edge::Failure));
        assert_eq!(read.of(Edge::Expire).len(), 1);
    }
}
