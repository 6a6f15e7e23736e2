//! What to do next: operations that mostly make sense, and some that do not.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::conformance::lab::{START, evidence, name, progress, target};
use orchestratum_core::task::{
    Backoff, CheckedPatch, ConcurrencyDraft, ConditionsDraft, Ending, ErrorCode, FollowUps, GroupDraft, GroupPolicy,
    Members, RateDraft, Report, SpecLimits, TaskDraft, TaskEvent, TaskPatch, TaskState, TaskStatus, UniqueDraft,
};
use orchestratum_core::{GroupId, JsonText, Origin, TaskId, Timestamp, WorkerId};
use orchestratum_store::{
    Announce, Audit, Change, ClaimRequest, CreateRequest, Evidence, IdempotencyKey, LogAppend, NewGroup, NewTask,
    Registration, TaskFilter,
};
use orchestratum_testkit::Chance;
use uuid::Uuid;

use super::model::Model;
use super::operation::{Operation, audit};

pub(crate) const TARGETS: [&str; 3] = ["default", "gpu", "mail"];
const NAMES: [&str; 3] = ["echo", "resize", "email.send"];
const LABELS: [&str; 2] = ["team", "stage"];
const LEASE: Duration = Duration::from_secs(8);

#[derive(Debug)]
pub(crate) struct Script {
    chance: Chance,
    identities: u64,
}

impl Script {
    pub(crate) fn new(chance: Chance) -> Self {
        Self { chance, identities: 0 }
    }

    pub(crate) fn next(&mut self, model: &Model) -> Operation {
        match self.chance.below(108) {
            0..10 => Operation::Advance(self.some_time()),
            10..24 => Operation::Create((0..=self.chance.below(3)).map(|_| self.request(model)).collect()),
            24..40 => Operation::Claim(self.claim(model)),
            40..44 => Operation::Append(self.appends(model)),
            44..66 => Operation::Apply((0..=self.chance.below(4)).map(|_| self.change(model)).collect()),
            66..68 => Operation::Delete(self.task(model)),
            68..73 => Operation::Register(self.registration(model)),
            73..74 => Operation::Leave(self.worker(model)),
            74..79 => Operation::Renew(self.worker(model), LEASE),
            79..81 => Operation::MarkDead,
            81..83 => Operation::SetPaused(target(self.word(&TARGETS)), self.chance.once_in(3)),
            83..87 => Operation::ReleaseDue,
            87..90 => Operation::Feed {
                target: target(self.word(&TARGETS)),
                force: self.chance.once_in(4),
            },
            90..91 => self.purge(model),
            91..94 => Operation::List(Box::new(self.filter(model))),
            94..95 => Operation::Children(model.tasks.keys().copied().chain([self.task(model)]).collect()),
            95..97 => Operation::ReadAll(model.tasks.keys().copied().chain([self.task(model)]).collect()),
            97..100 => Operation::Overview,
            100..102 => Operation::CreateGroup(Box::new(self.group(model))),
            102..105 => Operation::SettleGroup(self.known_group(model), u128::from(self.chance.draw())),
            105 => Operation::CancelGroup(self.known_group(model)),
            _ => Operation::Groups,
        }
    }

    fn identity(&mut self, now: Timestamp) -> Uuid {
        self.identities += 1;
        let milliseconds = u64::try_from(now.as_micros() / 1_000).unwrap_or(0);
        Uuid::from_u64_pair((milliseconds << 16) | 0x7000, (1 << 63) | self.identities)
    }

    fn word(&mut self, words: &[&'static str]) -> &'static str {
        self.chance.pick(words).copied().unwrap_or("default")
    }

    fn some_time(&mut self) -> Duration {
        let scale = [1_000, 1_000_000, 10_000_000][usize::try_from(self.chance.below(3)).unwrap_or(0)];
        Duration::from_micros(self.chance.below(scale))
    }

    fn seconds(&mut self, below: u64) -> f64 {
        Duration::from_millis(1 + self.chance.below(below * 1_000)).as_secs_f64()
    }

    fn once<T>(&mut self, times: u64, value: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.chance.once_in(times).then(|| value(self))
    }

    fn json(&mut self) -> JsonText {
        JsonText::of(&format!("{} 'ü'\n", self.chance.below(100))).expect("JSON")
    }

    fn labels(&mut self) -> BTreeMap<String, String> {
        (0..self.chance.below(3))
            .map(|_| (self.word(&LABELS).to_owned(), self.chance.below(3).to_string()))
            .collect()
    }

    /// Mostly one that exists.
    fn task(&mut self, model: &Model) -> TaskId {
        let known: Vec<TaskId> = model.tasks.keys().copied().collect();
        if self.chance.once_in(30) {
            return TaskId(Uuid::from_u128(u128::from(self.chance.draw())));
        }
        // The newer half is where most still happens.
        let from = if self.chance.once_in(3) { 0 } else { known.len() / 2 };
        self.chance
            .pick(&known[from..])
            .copied()
            .unwrap_or(TaskId(Uuid::from_u128(1)))
    }

    fn worker(&mut self, model: &Model) -> WorkerId {
        let known: Vec<WorkerId> = model.workers.keys().rev().take(6).copied().collect();
        self.chance
            .pick(&known)
            .copied()
            .unwrap_or(WorkerId(Uuid::from_u128(1)))
    }

    fn request(&mut self, model: &Model) -> CreateRequest {
        let mut tasks: Vec<NewTask> = (0..=self.chance.below(2)).map(|_| self.new_task(model)).collect();
        tasks.dedup_by_key(|task| task.spec.id);
        let idempotency = self.once(4, |script| IdempotencyKey {
            scope: script.word(&["one", "two"]).to_owned(),
            key: script.chance.below(8).to_string(),
            body_hash: [u8::try_from(script.chance.below(2)).unwrap_or(0); 32],
        });
        CreateRequest { tasks, idempotency }
    }

    /// Not where the parent of what goes stays for its group: so soon after the end of the parent nothing goes otherwise.
    fn purge(&mut self, model: &Model) -> Operation {
        let before = model.now - self.some_time() * 4;
        if model.spares_a_parent(before) {
            Operation::Overview
        } else {
            Operation::PurgeFinished(before)
        }
    }

    /// Mostly one that exists.
    fn known_group(&mut self, model: &Model) -> GroupId {
        let known: Vec<GroupId> = model.groups.keys().rev().take(6).copied().collect();
        let known = self.chance.pick(&known).copied();
        known.unwrap_or(GroupId(Uuid::from_u128(1)))
    }

    /// What comes after some of them cannot be made.
    fn group(&mut self, model: &Model) -> NewGroup {
        const AFTER: [&str; 4] = [
            r#"{"name": "echo", "input": "${ outputs }"}"#,
            r#"{"name": "resize", "target": "gpu", "input": {"results": "${ results }", "group": "${ group.status }"}}"#,
            r#"{"name": "echo", "input": "${ outputs[0][0] + 1 }", "delay_seconds": 1}"#,
            r#"{"name": "echo", "labels": {"team": "${ group.name }"}}"#,
        ];
        let after = |script: &mut Self| JsonText::new(script.word(&AFTER)).expect("JSON");
        let policy = GroupPolicy::ALL[usize::from(self.chance.once_in(2))];
        // What is ready of them is for the model of keys to say, which knows requests.
        let drafts = (0..=self.chance.below(3)).map(|_| TaskDraft {
            conditions: ConditionsDraft::default(),
            ..self.draft(model)
        });
        let drafts = drafts.collect();
        let draft = GroupDraft {
            name: self.once(2, |_| "nightly".to_owned()),
            policy,
            members: Members::Tasks(drafts),
            on_complete: self.once(2, after),
            on_failure: self.once(2, after).filter(|_| policy == GroupPolicy::Fail),
        };
        let id = GroupId(self.identity(model.now));
        let checked = draft.check(
            id,
            || TaskId(self.identity(model.now)),
            &SpecLimits::default(),
            model.now,
        );
        let (spec, members) = checked.expect("a draft that meets the rules");
        let tasks = members.into_iter().map(|(spec, life)| NewTask {
            spec,
            life,
            announce: Announce::ByFeeder,
            request_hash: None,
            origin: Origin::default(),
        });
        NewGroup {
            spec,
            tasks: tasks.collect(),
            request_hash: None,
            idempotency: None,
            origin: Origin::default(),
        }
    }

    fn draft(&mut self, model: &Model) -> TaskDraft {
        let parents: Vec<TaskId> = model.tasks.keys().copied().take(3).collect();
        TaskDraft {
            name: self.word(&NAMES).to_owned(),
            target: Some(self.word(&TARGETS).to_owned()),
            description: self.once(3, |script| script.json().to_string()),
            input: Some(self.json()),
            labels: self.labels(),
            priority: Some(i64::try_from(self.chance.below(4)).unwrap_or(0)),
            ttl_seconds: Some(self.seconds(60)),
            timeout_seconds: self.once(2, |script| script.seconds(9)),
            max_retries: self.once(2, |script| i64::try_from(script.chance.below(3)).unwrap_or(0)),
            max_losses: self.once(2, |script| i64::try_from(script.chance.below(2)).unwrap_or(0)),
            backoff: Some(self.backoff()),
            scheduled_at: None,
            delay_seconds: self.once(3, |script| script.seconds(5)),
            limits: self.once(5, Self::json),
            parent_id: self.chance.pick(&parents).copied().filter(|_| self.chance.once_in(3)),
            follow_ups: self.once(2, |script| script.follow_ups(0)).unwrap_or_default(),
            conditions: self.once(3, Self::conditions).unwrap_or_default(),
        }
    }

    fn new_task(&mut self, model: &Model) -> NewTask {
        let draft = self.draft(model);
        // One in a few names a task that exists, as a caller that chose its id and repeats itself does.
        let chosen = self.once(5, |script| [u8::try_from(script.chance.below(2)).unwrap_or(0); 32]);
        let known: Vec<TaskId> = model.tasks.keys().copied().collect();
        let again = self.chance.pick(&known).copied();
        let id = again
            .filter(|_| chosen.is_some() && self.chance.once_in(2))
            .unwrap_or_else(|| TaskId(self.identity(model.now)));
        let (spec, life) = draft
            .check("", id, &SpecLimits::default(), model.now)
            .expect("a draft that meets the rules");
        NewTask {
            spec,
            life,
            announce: if self.chance.once_in(2) {
                Announce::ByCaller
            } else {
                Announce::ByFeeder
            },
            request_hash: chosen,
            origin: Origin::default(),
        }
    }

    /// Few keys, so that they are asked for much.
    fn conditions(&mut self) -> ConditionsDraft {
        let statuses = ["Pending", "InProgress", "Completed", "Failed"];
        ConditionsDraft {
            concurrency: self.once(2, |script| ConcurrencyDraft {
                key: script.word(&["one", "of-${ task.name }"]).to_owned(),
                limit: 1 + i64::try_from(script.chance.below(3)).unwrap_or(0),
            }),
            rate: self.once(2, |script| RateDraft {
                key: script.word(&["even", "${ task.target }"]).to_owned(),
                limit: 2,
                per_seconds: 1.5,
            }),
            unique: self.once(2, |script| UniqueDraft {
                by: JsonText::trusted(script.word(&[
                    r#"["name"]"#,
                    r#"["target", "priority"]"#,
                    r#""${ task.name }""#,
                ])),
                within_seconds: script.once(2, |script| script.seconds(20)),
                states: script.once(2, |script| {
                    let some = statuses.into_iter().filter(|_| !script.chance.once_in(2));
                    some.chain(["Cancelled"]).map(str::to_owned).collect()
                }),
            }),
        }
    }

    fn follow_ups(&mut self, depth: u64) -> FollowUps {
        FollowUps::new([(); 4].map(|()| (0..self.chance.below(3)).map(|_| self.follow_up(depth)).collect()))
    }

    /// Some of which have no value, or one that breaks a rule.
    fn follow_up(&mut self, depth: u64) -> JsonText {
        const INPUTS: [&str; 6] = [
            "5",
            r#""${ output }""#,
            r#"{"was": "${ input }", "why": "${ error }"}"#,
            r#""${ task.name }#${ task.run }/${ task.attempt } ${ task.status }""#,
            r#""${ output[0] + 1 }""#,
            r#"["${ output.missing }"]"#,
        ];
        let mut text = format!(
            r#"{{"name": "{}", "input": {}, "max_retries": {}"#,
            self.word(&NAMES),
            self.word(&INPUTS),
            self.chance.below(2)
        );
        for field in [
            r#""target": "mail""#,
            r#""target": "${ task.target }""#,
            r#""labels": {"team": "${ task.id }"}"#,
            r#""delay_seconds": 1.5"#,
            r#""delay_seconds": "${ output[0] }""#,
            r#""description": "after ${ input }""#,
            r#""concurrency": {"key": "one", "limit": 2}"#,
            r#""rate": {"key": "even", "limit": 2, "per_seconds": 1.5}"#,
            r#""unique": {"by": ["name", "input"]}"#,
        ] {
            if self.chance.once_in(6) && !text.contains(&field[..8]) {
                text = format!("{text}, {field}");
            }
        }
        if depth < 2 && self.chance.once_in(3) {
            let edge = self.word(&["on_success", "on_failure", "on_cancel", "on_expire"]);
            text = format!(r#"{text}, "{edge}": [{}]"#, self.follow_up(depth + 1));
        }
        JsonText::new(format!("{text}}}")).expect("JSON")
    }

    fn backoff(&mut self) -> Backoff {
        match self.chance.below(3) {
            0 => Backoff::None,
            1 => Backoff::Fixed {
                delay: Duration::from_secs(1),
            },
            _ => Backoff::Exponential {
                delay: Duration::from_millis(100),
                max_delay: Duration::from_secs(2),
                jitter: true,
            },
        }
    }

    fn registration(&mut self, model: &Model) -> Registration {
        let words = |script: &mut Self, words: &[&'static str]| -> Vec<&'static str> {
            words.iter().copied().filter(|_| !script.chance.once_in(3)).collect()
        };
        Registration {
            id: WorkerId(self.identity(model.now)),
            name: "worker".to_owned(),
            targets: words(self, &TARGETS).into_iter().map(target).collect(),
            names: words(self, &NAMES).into_iter().map(name).collect(),
            capacity: 4,
            isolation: "off".to_owned(),
            environments: Vec::new(),
            version: "0.1.0".to_owned(),
            lease: LEASE,
        }
    }

    fn claim(&mut self, model: &Model) -> ClaimRequest {
        let worker = self.worker(model);
        let registration = model.workers.get(&worker).map(|row| &row.registration);
        let mut request = ClaimRequest {
            worker,
            named: (0..self.chance.below(3)).map(|_| self.task(model)).collect(),
            targets: registration.map_or_else(Vec::new, |registration| registration.targets.clone()),
            names: registration.map_or_else(Vec::new, |registration| registration.names.clone()),
            limit: usize::try_from(self.chance.below(6)).unwrap_or(0),
            fill_up: self.chance.below(4) > 0,
        };
        // Tasks of equal priority and age have no order: the limit must not fall between them.
        let candidates = model.candidates(&request);
        while request.limit > 0
            && candidates
                .get(request.limit)
                .is_some_and(|(next, _)| candidates[request.limit - 1].0 == *next)
        {
            request.limit += 1;
        }
        request
    }

    fn change(&mut self, model: &Model) -> Change {
        let task = self.task(model);
        let row = model.tasks.get(&task);
        let running = row.is_some_and(|row| row.task.life.status() == TaskStatus::InProgress);
        let event = match self.chance.below(if running { 40 } else { 16 }) {
            0 => TaskEvent::DeadlinePassed,
            1 => TaskEvent::NameNotOffered {
                message: "nobody offers it".to_owned(),
            },
            2..4 => TaskEvent::CancelRequested {
                reason: self.once(2, |script| script.json().to_string()),
            },
            4..8 => TaskEvent::RetryRequested {
                ttl: Duration::from_millis(1 + self.chance.below(10_000)),
            },
            8..11 => return self.patch(model, task),
            // Claims pass over those that wait for a key.
            11 if !model.workers.is_empty() && row.is_some_and(|row| row.task.spec.conditions.is_none()) => {
                TaskEvent::Claimed {
                    worker: self.worker(model),
                }
            }
            12 => self.loss(model, task),
            _ => self.report(model, task),
        };
        let success = matches!(&event, TaskEvent::Reported(report) if report.ending == Ending::Success);
        let edits = match &event {
            TaskEvent::RetryRequested { .. } => self.once(3, |script| TaskPatch {
                input: Some(script.json()),
                target: Some(script.word(&TARGETS).to_owned()),
                limits: script.once(2, |script| script.once(2, Self::json)),
                ..TaskPatch::default()
            }),
            _ => None,
        };
        Change {
            evidence: if success { self.success() } else { self.leftovers() },
            seed: u128::from(self.chance.draw()),
            patch: edits.map(|edits| checked(edits, model)),
            expected_version: self.once(12, |script| u32::try_from(script.chance.below(4)).unwrap_or(0)),
            audit: self.once(6, |_| audit()),
            ..Change::new(task, event)
        }
    }

    /// What a worker tells of the tasks it thinks it runs, each at most once.
    fn appends(&mut self, model: &Model) -> Vec<LogAppend> {
        let mut appends: BTreeMap<TaskId, LogAppend> = BTreeMap::new();
        for _ in 0..=self.chance.below(3) {
            let task = self.task(model);
            let append = LogAppend {
                task,
                attempt: self.attempt_of(model, task),
                chunks: self.once(2, |_| evidence("0").logs).unwrap_or_default(),
                progress: self.once(2, |script| progress(u32::try_from(script.chance.below(4)).unwrap_or(0))),
            };
            appends.insert(task, append);
        }
        appends.into_values().collect()
    }

    /// Mostly the newest one.
    fn attempt_of(&mut self, model: &Model, task: TaskId) -> u32 {
        let current = model.tasks.get(&task).map_or(1, |row| row.task.life.attempt);
        if self.chance.once_in(6) {
            current.saturating_sub(1)
        } else {
            current
        }
    }

    fn success(&mut self) -> Evidence {
        let follow_ups = self.once(8, |script| vec![script.follow_up(1)]).unwrap_or_default();
        let whole = evidence("[1]");
        Evidence {
            follow_ups,
            // Nothing but an output goes the short way.
            logs: self.once(2, |_| whole.logs).unwrap_or_default(),
            progress: whole.progress.filter(|_| self.chance.once_in(2)),
            ..whole
        }
    }

    fn leftovers(&mut self) -> Evidence {
        Evidence {
            output: None,
            ..self.once(4, |_| evidence("0")).unwrap_or_default()
        }
    }

    fn loss(&mut self, model: &Model, task: TaskId) -> TaskEvent {
        let (mut worker, mut attempt) = (self.worker(model), 1);
        if let Some(row) = model.tasks.get(&task)
            && let TaskState::InProgress { worker: holder, .. } = row.task.life.state
            && !self.chance.once_in(4)
        {
            (worker, attempt) = (holder, row.task.life.attempt);
        }
        TaskEvent::WorkerLost { worker, attempt }
    }

    fn report(&mut self, model: &Model, task: TaskId) -> TaskEvent {
        let attempt = self.attempt_of(model, task);
        let message = || "it is\n'broken'".to_owned();
        let ending = match self.chance.below(12) {
            0..4 => Ending::Success,
            4 => Ending::Failed {
                message: message(),
                retryable: false,
                code: ErrorCode::new("broken").ok(),
            },
            5 => Ending::OutOfMemory { message: message() },
            6 => Ending::NotFound { message: message() },
            7 => Ending::TimedOut { message: message() },
            8 => Ending::Released { message: message() },
            9 => Ending::Cancelled { message: message() },
            10 => Ending::Expired { message: message() },
            _ => Ending::Failed {
                message: message(),
                retryable: true,
                code: None,
            },
        };
        let chance = [0.0, 0.25, 0.875][usize::try_from(self.chance.below(3)).unwrap_or(0)];
        TaskEvent::Reported(Report {
            attempt,
            ending,
            chance,
        })
    }

    fn patch(&mut self, model: &Model, task: TaskId) -> Change {
        let patch = TaskPatch {
            description: self.once(3, |script| script.once(2, |script| script.json().to_string())),
            labels: self.once(3, Self::labels),
            priority: self.once(6, |script| i64::try_from(script.chance.below(4)).unwrap_or(0)),
            input: self.once(6, Self::json),
            target: self.once(6, |script| script.word(&TARGETS).to_owned()),
            ttl_seconds: self.once(3, |script| script.seconds(60)),
            timeout_seconds: self.once(6, |script| script.once(2, |script| script.seconds(9))),
            max_retries: self.once(6, |script| i64::try_from(script.chance.below(3)).unwrap_or(0)),
            scheduled_at: self.once(6, |script| model.now + script.some_time()),
            limits: self.once(6, |script| script.once(2, Self::json)),
        };
        let checked = checked(patch, model);
        Change {
            patch: Some(checked.clone()),
            expected_version: self.once(6, |script| u32::try_from(script.chance.below(4)).unwrap_or(0)),
            audit: Some(Audit {
                detail: Some("{}".to_owned()),
                ..audit()
            }),
            ..Change::new(task, TaskEvent::Patched(checked.life))
        }
    }

    fn filter(&mut self, model: &Model) -> TaskFilter {
        let age = model.now.saturating_since(START);
        let some_age = |script: &mut Self| {
            let micros = u64::try_from(age.as_micros()).unwrap_or(1).max(1);
            START + Duration::from_micros(script.chance.below(micros))
        };
        TaskFilter {
            status: self.once(2, |script| {
                script
                    .chance
                    .pick(TaskStatus::ALL)
                    .copied()
                    .unwrap_or(TaskStatus::Pending)
            }),
            name: self.once(4, |script| name(script.word(&NAMES))),
            target: self.once(4, |script| target(script.word(&TARGETS))),
            parent_id: self.once(6, |script| script.task(model)),
            schedule_id: None,
            saga_id: None,
            labels: self.once(3, Self::labels).unwrap_or_default(),
            created_after: self.once(4, some_age),
            created_before: self.once(4, some_age),
        }
    }
}

/// The rules ask for the name only because of built-in ones, and none of those used here restricts its input.
fn checked(patch: TaskPatch, model: &Model) -> CheckedPatch {
    patch
        .check(&name("echo"), &SpecLimits::default(), model.now)
        .expect("meets the rules")
}
