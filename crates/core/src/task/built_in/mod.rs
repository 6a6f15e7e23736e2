//! The tasks that workers offer by themselves, and what they take as their input.
//!
//! The names are reserved: such a task means the same to whoever posts it and to whichever worker runs it. So its input is
//! checked where it enters, and once more by the worker with these same rules, because another version may have stored it.
//! No message repeats a value of an input: it may be a secret, and messages go into logs and into other people's lists.

mod amqp;
mod celery;
mod csharp;
mod environment;
mod fields;
mod gitlab;
mod http;
mod invocation;
mod names;
mod python;
mod shell;

use crate::identity::TaskName;
use crate::task::rules::Violations;

pub use amqp::{AmqpBody, AmqpInput, AmqpReply};
pub use celery::CeleryInput;
pub use csharp::CSharpInput;
pub use gitlab::{
    CloseMergeRequestInput, CommitInput, CreateBranchInput, CreateMergeRequestInput, DeleteBranchInput,
    FileExistsInput, FileFormat, FileText, GetFileInput, GitlabTask, ListIssuesInput, OnFault, RevertCommitInput,
    TakenBack,
};
pub use http::{ExpectedStatuses, HttpBody, HttpInput, HttpMethod, InvalidUrl, check_url};
pub use invocation::Invocation;
pub use python::PythonInput;
pub use shell::ShellInput;

/// A name that no handler may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuiltIn {
    Amqp,
    Celery,
    CSharp,
    Echo,
    Gitlab(GitlabTask),
    Http,
    Python,
    Shell,
}

impl BuiltIn {
    pub const ALL: [Self; 16] = [
        Self::Amqp,
        Self::Celery,
        Self::CSharp,
        Self::Echo,
        Self::Gitlab(GitlabTask::CloseMergeRequest),
        Self::Gitlab(GitlabTask::Commit),
        Self::Gitlab(GitlabTask::CreateBranch),
        Self::Gitlab(GitlabTask::CreateMergeRequest),
        Self::Gitlab(GitlabTask::DeleteBranch),
        Self::Gitlab(GitlabTask::FileExists),
        Self::Gitlab(GitlabTask::GetFile),
        Self::Gitlab(GitlabTask::ListIssues),
        Self::Gitlab(GitlabTask::RevertCommit),
        Self::Http,
        Self::Python,
        Self::Shell,
    ];

    pub fn of(name: &TaskName) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|built_in| built_in.as_str() == name.as_str())
    }

    /// Whether no handler and no command may have the name: it belongs to a task that is there, or to one that will be. What
    /// somebody called so today would mean something else with the next version.
    pub fn is_reserved(name: &TaskName) -> bool {
        Self::of(name).is_some() || name.as_str().starts_with(gitlab::PREFIX)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amqp => "amqp",
            Self::Celery => "celery",
            Self::CSharp => "csharp",
            Self::Echo => "echo",
            Self::Gitlab(task) => task.as_str(),
            Self::Http => "http",
            Self::Python => "python",
            Self::Shell => "shell",
        }
    }

    /// Checks an input, which is JSON.
    ///
    /// # Errors
    /// All [`Violations`], their pointers below the input.
    pub fn check(self, input: &str) -> Result<(), Violations> {
        match self {
            Self::Echo => Ok(()),
            Self::Amqp => AmqpInput::read(input).map(drop),
            Self::Celery => CeleryInput::read(input).map(drop),
            Self::CSharp => CSharpInput::read(input).map(drop),
            Self::Gitlab(task) => task.check(input),
            Self::Http => HttpInput::read(input).map(drop),
            Self::Python => PythonInput::read(input).map(drop),
            Self::Shell => ShellInput::read(input).map(drop),
        }
    }

    /// Checks an input of which only a part is known: what these pointers lead to will be something else than the `null` that is
    /// there.
    ///
    /// # Errors
    /// Those [`Violations`] that it has whatever that will be.
    pub(crate) fn check_known(self, input: &str, unknown: &[String]) -> Result<(), Violations> {
        let Err(mut broken) = self.check(input) else {
            return Ok(());
        };
        let lies_in = |inner: &str, outer: &str| {
            inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let has_other = |field: &str| unknown.iter().any(|other| other == field);
        broken.0.retain(|violation| {
            let pointer = violation.pointer.as_str();
            let depends = unknown.iter().any(|unknown| lies_in(pointer, unknown) || lies_in(unknown, pointer))
                // Some methods have a body.
                || (self == Self::Http && pointer == "/body" && has_other("/method"));
            !depends
        });
        broken.into_result()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::EnvironmentName;

    fn broken(built_in: BuiltIn, input: &str) -> Vec<String> {
        match built_in.check(input) {
            Ok(()) => Vec::new(),
            Err(violations) => {
                let told = violations.0.into_iter();
                told.map(|violation| format!("{} {}", violation.pointer, violation.message))
                    .collect()
            }
        }
    }

    #[test]
    fn every_built_in_name_is_known_by_itself() {
        for built_in in BuiltIn::ALL {
            let name = TaskName::new(built_in.as_str()).expect("a name");
            assert_eq!(BuiltIn::of(&name), Some(built_in));
        }
        for task in GitlabTask::ALL {
            assert!(BuiltIn::ALL.contains(&BuiltIn::Gitlab(task)), "{task:?}");
        }
        assert_eq!(BuiltIn::of(&TaskName::new("email.send").expect("a name")), None);
    }

    #[test]
    fn the_names_of_tasks_to_come_are_reserved_as_those_that_are_there() {
        let is_reserved = |name: &str| BuiltIn::is_reserved(&TaskName::new(name).expect("a name"));
        for name in ["python", "gitlab.commit", "gitlab.pipeline"] {
            assert!(is_reserved(name), "{name}");
        }
        for name in ["celery.send", "my.amqp", "gitlab", "gitlab-pipeline", "Python"] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn an_echo_takes_anything() {
        for input in ["null", "5", r#"{"code": 5}"#] {
            assert_eq!(broken(BuiltIn::Echo, input), Vec::<String>::new());
        }
    }

    #[test]
    fn every_broken_rule_of_an_input_is_told_with_its_place() {
        let input =
            r#"{"code": 5, "cod": "1", "args": ["a", 2], "env": {"A": 3, "PATH": "/"}, "stdin": [], "network": 0}"#;
        for built_in in [BuiltIn::Python, BuiltIn::CSharp] {
            let told = broken(built_in, input);
            let pointers: Vec<&str> = told.iter().filter_map(|told| told.split(' ').next()).collect();
            assert_eq!(
                pointers,
                ["/cod", "/code", "/args/1", "/stdin", "/env/A", "/env/PATH", "/network"],
                "{told:?}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_the_value() {
        for (input, expected) in [
            ("5", " must be an object, not a number"),
            ("null", " must be an object, not null"),
            ("{}", "/code is missing"),
            (r#"{"code": null}"#, "/code is missing"),
            (r#"{"code": 31337}"#, "/code must be a text, not a number"),
            (
                r#"{"code": "", "args": "31337"}"#,
                "/args must be an array of texts, not a text",
            ),
            (
                r#"{"code": "", "args": [{"a": 31337}]}"#,
                "/args/0 must be a text, not an object",
            ),
            (
                r#"{"code": "", "env": {"TOKEN": 31337}}"#,
                "/env/TOKEN must be a text, not a number",
            ),
            (
                r#"{"code": "", "env": ["31337"]}"#,
                "/env must be an object of texts, not an array",
            ),
            (
                r#"{"code": "", "network": "31337"}"#,
                "/network must be true or false, not a text",
            ),
            (
                r#"{"code": "", "environment": ["31337"]}"#,
                "/environment must be a text, not an array",
            ),
            (
                r#"{"code": "", "environment": "../31337"}"#,
                "/environment must match [A-Za-z0-9._-]{1,100}",
            ),
            (r#"{"code": "31337", "code": "31337"}"#, "/code is given twice"),
            (
                r#"{"code": "", "env": {"A": "1", "B": "31337", "A": "1", "A": "31337"}}"#,
                "/env/A is given twice",
            ),
        ] {
            let told = broken(BuiltIn::Python, input);
            assert_eq!(told, [expected], "{input}");
        }
    }

    #[test]
    fn an_unknown_field_is_named_with_those_that_exist() {
        let told = broken(BuiltIn::Python, r#"{"code": "", "arg": []}"#);
        assert_eq!(
            told,
            ["/arg is no field of this input, which has code, input, args, stdin, env, network, environment"]
        );
        let long = format!(r#"{{"command": "", "{}": 1}}"#, "x".repeat(10_000));
        assert!(broken(BuiltIn::Shell, &long)[0].len() < 300, "a name may be long");
    }

    #[test]
    fn only_python_has_environments() {
        let read = |input: &str| PythonInput::read(input).map(|input| input.environment);
        let named = read(r#"{"code": "", "environment": "reports-2.1"}"#).expect("a name");
        assert_eq!(named.as_ref().map(EnvironmentName::as_str), Some("reports-2.1"));
        for none in [r#"{"code": ""}"#, r#"{"code": "", "environment": null}"#] {
            assert_eq!(read(none), Ok(None));
        }
        let csharp = broken(BuiltIn::CSharp, r#"{"code": "", "environment": "reports"}"#);
        assert!(csharp[0].starts_with("/environment is no field"), "{csharp:?}");
    }

    #[test]
    fn a_shell_task_has_one_program() {
        assert_eq!(
            broken(BuiltIn::Shell, r#"{"command": "ls", "script": null}"#),
            Vec::<String>::new()
        );
        assert_eq!(broken(BuiltIn::Shell, "{}"), [" must have a command or a script"]);
        assert_eq!(
            broken(BuiltIn::Shell, r#"{"command": "ls", "script": "ls"}"#),
            ["/script must be left out where there is a command"]
        );
        assert_eq!(
            broken(BuiltIn::Shell, r#"{"command": 5}"#),
            ["/command must be a text, not a number"]
        );
    }

    #[test]
    fn of_a_part_only_that_is_told_which_is_wrong_whatever_the_rest_will_be() {
        let told = |built_in: BuiltIn, input: &str, unknown: &[&str]| {
            let unknown: Vec<String> = unknown.iter().map(ToString::to_string).collect();
            let broken = built_in.check_known(input, &unknown).err().unwrap_or_default();
            broken
                .0
                .into_iter()
                .map(|violation| violation.pointer)
                .collect::<Vec<_>>()
        };
        let message = r#"{"routing_key": 7, "body": null}"#;
        assert_eq!(told(BuiltIn::Amqp, message, &["/body"]), ["/routing_key"]);
        assert_eq!(told(BuiltIn::Amqp, "null", &[""]), [""; 0]);
        let python = r#"{"code": null, "args": ["a", null, 5], "cod": 1, "env": {"A": null, "B": 5}}"#;
        assert_eq!(
            told(BuiltIn::Python, python, &["/code", "/args/1", "/env/A"]),
            ["/cod", "/args/2", "/env/B"]
        );
        let post = r#"{"url": "https://example.com", "method": null, "body": "a"}"#;
        assert_eq!(told(BuiltIn::Http, post, &["/method"]), [""; 0]);
        assert_eq!(told(BuiltIn::Shell, r#"{"script": null}"#, &["/script"]), [""; 0]);
    }

    #[test]
    fn arguments_and_variables_have_a_number_that_is_told() {
        let args = format!(r#"{{"code": "", "args": [{}"a"]}}"#, r#""a","#.repeat(1_000));
        assert_eq!(
            broken(BuiltIn::Python, &args),
            ["/args must have at most 1000 entries, not 1001"]
        );
        let variables: Vec<String> = (0..=1_000).map(|index| format!(r#""A{index}": """#)).collect();
        let env = format!(r#"{{"code": "", "env": {{{}}}}}"#, variables.join(","));
        assert_eq!(
            broken(BuiltIn::Python, &env),
            ["/env must have at most 1000 entries, not 1001"]
        );
    }
}
