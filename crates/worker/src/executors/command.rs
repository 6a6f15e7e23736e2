//! Configured commands: a program of the operator's own that takes the input as JSON and gives the output as JSON.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use orchestratum_core::JsonText;
use orchestratum_core::task::{Ending, Invocation};
use orchestratum_engine::CommandSettings;
use orchestratum_engine::error::chain;
use orchestratum_sandbox::{self as sandbox, Exit, Finished, Isolation, Sandbox};
use orchestratum_store::ClaimedTask;
use secrecy::ExposeSecret;

use super::limits::Kept;
use super::program::{Asked, Done};
use super::{Context, Ended, Executor, program};
use crate::machine;
use crate::shared::Programs;

/// How much of what is no JSON is told.
const SHOWN_CHARACTERS: usize = 200;

#[derive(Debug)]
pub(crate) struct Configured {
    program: String,
    settings: CommandSettings,
    programs: Programs,
}

#[async_trait]
impl Executor for Configured {
    async fn run(&self, task: &ClaimedTask, context: Context) -> Ended {
        let Self { settings, programs, .. } = self;
        let env = settings
            .env
            .iter()
            .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()));
        let invocation = Invocation {
            args: settings.args.clone(),
            stdin: Some(task.input.as_str().to_owned()),
            env: env.collect(),
            network: settings.network,
        };
        let (args, asked) = match Asked::of(task, programs, invocation) {
            Ok(asked) => asked,
            Err(message) => return Ended::not_granted(&message),
        };
        let kept = Kept::of(&asked.limits, programs);
        let command = program::command(task, &self.program, programs, asked)
            .arguments(args)
            .stdout_is_result(programs.output_max_bytes);
        match program::attended(programs.sandbox.spawn(&command), context).await {
            Ok(done) => self.conclude(done, &kept),
            Err(not_run) => not_run.into(),
        }
    }
}

impl Configured {
    /// The command, if its program and what that is to read are there, and programs start behind walls that show them. Its
    /// own program is not started: it may have effects.
    ///
    /// # Errors
    /// Why the command is not offered, in words.
    pub(crate) async fn that_works(settings: &CommandSettings, programs: &Programs) -> Result<Self, String> {
        let path =
            machine::program(&settings.program).ok_or_else(|| format!("there is no program {:?}", settings.program))?;
        for readable in &settings.readable {
            // What is not there is shown to nobody, and every task would find it missing.
            let found = readable.metadata();
            found.map_err(|error| format!("it cannot read {}: {error}", readable.display()))?;
        }
        let command = Self::new(&path, settings.clone(), programs).await;
        command.map_err(|error| chain(&error))
    }

    /// Where it is.
    pub(crate) fn program(&self) -> &str {
        &self.program
    }

    /// What is there and hidden from the program, though the settings give it that: it would say that there is no such file.
    pub(crate) fn warning(&self) -> Option<String> {
        let sandbox = &self.programs.sandbox;
        if sandbox.isolation() == Isolation::Off {
            return None;
        }
        let given = self.settings.args.iter().map(|argument| path_in(argument).to_owned());
        let hidden: Vec<String> = given
            .chain(interpreter(Path::new(&self.program)))
            .filter(|path| is_hidden(path, sandbox, self.settings.network))
            .map(|path| path.display().to_string())
            .collect();
        (!hidden.is_empty()).then(|| {
            format!(
                "its program cannot see what it is given: {}; `readable` has neither that nor a folder above it",
                hidden.join(", ")
            )
        })
    }

    async fn new(path: &Path, settings: CommandSettings, programs: &Programs) -> Result<Self, sandbox::Error> {
        let path = without_links_on_the_way(path);
        let programs = Programs {
            sandbox: reading(&programs.sandbox, &path, &settings.readable).await?,
            // Whoever configures the command permits it.
            network: settings.network,
            usual: settings.limits,
            ..programs.clone()
        };
        Ok(Self {
            program: path.display().to_string(),
            settings,
            programs,
        })
    }

    fn conclude(&self, mut done: Done, kept: &Kept) -> Ended {
        let mut evidence = program::evidence(&mut done);
        let finished = &done.finished;
        // One that was told to end, and did so without a word, has not come to the end of its work.
        let gave_up = done.interrupted && finished.result.is_empty();
        let ending = if !finished.exit.is_success() || gave_up {
            self.failure(finished, kept)
        } else {
            match output(&finished.result, self.programs.output_max_bytes) {
                Ok(output) => {
                    evidence.output = Some(output);
                    Ending::Success
                }
                Err(message) => Ending::OutputNotStorable { message },
            }
        };
        Ended {
            ending,
            evidence,
            interrupted: done.interrupted,
        }
    }

    fn failure(&self, finished: &Finished, kept: &Kept) -> Ending {
        let mut ending = program::failure(finished, kept);
        if let Ending::Failed { message, retryable, .. } = &mut ending {
            if let Exit::Code(code) = finished.exit {
                *retryable = !self.settings.permanent_exit_codes.contains(&code);
            }
            // Many programs say there what is wrong.
            let said = String::from_utf8_lossy(&finished.result);
            if finished.stderr.text.trim().is_empty() && !said.trim().is_empty() {
                // A database may not store U+0000.
                let said = program::tail(said.trim_end()).replace('\0', "\u{fffd}");
                *message = format!("{message}: {said}");
            }
        }
        ending
    }
}

/// The sandbox for a command: it may read files of its own, which the code of tasks may not.
async fn reading(sandbox: &Arc<Sandbox>, program: &Path, readable: &[PathBuf]) -> Result<Arc<Sandbox>, sandbox::Error> {
    let own = readable.iter().map(PathBuf::as_path).chain([program]);
    let more: Vec<PathBuf> = own.flat_map(links).filter(|path| !sandbox.reads(path, false)).collect();
    if more.is_empty() {
        return Ok(Arc::clone(sandbox));
    }
    let sandbox = sandbox.showing(&more, sandbox.beside())?;
    sandbox.try_out().await?;
    Ok(Arc::new(sandbox))
}

/// The path that an argument is, or that it gives to an option. That it is one at all has to show elsewhere.
fn path_in(argument: &str) -> &Path {
    let option = argument.split_once('=').filter(|_| argument.starts_with('-'));
    Path::new(option.map_or(argument, |(_, value)| value))
}

/// What runs the program, by its first line, where that is a script.
fn interpreter(program: &Path) -> Option<PathBuf> {
    /// As much as the kernel looks at.
    const LINE_MAX_BYTES: u64 = 256;
    let mut beginning = Vec::new();
    let mut file = File::open(program).ok()?.take(LINE_MAX_BYTES);
    file.read_to_end(&mut beginning).ok()?;
    let line = beginning.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let path = std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?;
    Some(PathBuf::from(path))
}

/// Whether it is there, and behind the walls it is not.
fn is_hidden(path: &Path, sandbox: &Sandbox, network: bool) -> bool {
    /// Programs have something of their own at these places, in these folders or as them.
    const OWN: [&str; 3] = ["/dev", "/proc", "/run/task"];
    const OWN_FOLDERS: [&str; 3] = ["/", "/tmp", "/var/tmp"];
    let is_own = OWN.iter().any(|own| path.starts_with(own)) || OWN_FOLDERS.iter().any(|own| path == Path::new(own));
    let hides = |real: PathBuf| !sandbox.reads(path, network) && !sandbox.reads(&real, network);
    path.is_absolute() && !is_own && path.canonicalize().is_ok_and(hides)
}

/// The path and, where it is a link, all that it leads to.
fn links(path: &Path) -> Vec<PathBuf> {
    /// As many as the kernel follows.
    const LINKS_MOST: usize = 40;
    let next = |path: &PathBuf| {
        let target = path.read_link().ok()?;
        Some(without_links_on_the_way(&path.parent()?.join(target)))
    };
    let first = without_links_on_the_way(path);
    std::iter::successors(Some(first), next).take(LINKS_MOST).collect()
}

/// Where the path is, without links to folders on the way. One at its end stays: by the name that they are called by, some
/// programs know what they are to do.
fn without_links_on_the_way(path: &Path) -> PathBuf {
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match folder.zip(path.file_name()) {
        Some((folder, name)) => folder.join(name),
        None => path.to_owned(),
    }
}

/// All of standard output as one JSON value; nothing is `null`.
fn output(written: &[u8], most: usize) -> Result<JsonText, String> {
    if written.len() > most {
        return Err(format!("standard output has more than {most} bytes"));
    }
    let Ok(text) = std::str::from_utf8(written) else {
        return Err("standard output is not UTF-8".to_owned());
    };
    let text = text.trim_ascii();
    if text.is_empty() {
        return Ok(JsonText::null());
    }
    JsonText::new(text).map_err(|error| {
        let beginning: String = text.chars().take(SHOWN_CHARACTERS).collect();
        format!(
            "standard output {error}; it begins with {beginning:?}. A command writes one JSON value there, and all else to \
             standard error"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_link_leads_to_is_found_link_by_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().canonicalize().expect("it is there").join(name);
        std::fs::create_dir(at("versions")).expect("made");
        std::fs::write(at("versions/2"), "").expect("written");
        for (target, link) in [
            ("versions", at("current")),
            ("../current/2", at("versions/newest")),
            ("versions/newest", at("program")),
        ] {
            std::os::unix::fs::symlink(target, link).expect("linked");
        }
        assert_eq!(
            links(&at("program")),
            [at("program"), at("versions/newest"), at("versions/2")]
        );
        assert_eq!(links(&at("current/2")), [at("versions/2")]);
        assert_eq!(links(Path::new("/")), [Path::new("/")]);
        std::os::unix::fs::symlink("circle", at("circle")).expect("linked");
        assert!(links(&at("circle")).len() < 100);
    }

    #[test]
    fn a_path_is_an_argument_or_the_value_of_an_option() {
        for (argument, expected) in [
            ("/srv/a=b.py", "/srv/a=b.py"),
            ("--model=/srv/model", "/srv/model"),
            ("-u", "-u"),
            ("a.py", "a.py"),
        ] {
            assert_eq!(path_in(argument), Path::new(expected));
        }
    }

    #[test]
    fn the_interpreter_of_a_script_is_in_its_first_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("script");
        for (content, expected) in [
            (
                "#!/opt/python/bin/python3 -u\nprint(1)\n",
                Some("/opt/python/bin/python3"),
            ),
            ("#! /bin/sh", Some("/bin/sh")),
            ("#!\n/bin/sh", None),
            ("\u{7f}ELF", None),
        ] {
            std::fs::write(&script, content).expect("written");
            assert_eq!(interpreter(&script), expected.map(PathBuf::from), "{content}");
        }
        assert_eq!(interpreter(folder.path()), None);
    }

    #[test]
    fn all_of_standard_output_is_one_value() {
        for (written, expected) in [
            ("", "null"),
            (" \n", "null"),
            ("{\"a\": [1.50]}\n", "{\"a\": [1.50]}"),
            ("\"é\"", "\"é\""),
        ] {
            let output = output(written.as_bytes(), 100).expect("it is JSON");
            assert_eq!(output.as_str(), expected);
        }
    }

    #[test]
    fn what_is_not_one_value_is_told_with_how_to_mend_it() {
        for (written, expected) in [
            (
                &b"encoding...\n{}"[..],
                "begins with \"encoding...\\n{}\". A command writes one JSON value",
            ),
            (b"{} {}", "is not JSON: trailing characters"),
            (b"\xff", "is not UTF-8"),
            (b"\"a\\u0000\"", "U+0000"),
            (b"0123456789", "has more than 9 bytes"),
        ] {
            let message = output(written, if expected.contains('9') { 9 } else { 100 }).expect_err("it is none");
            assert!(message.contains(expected), "{message}");
        }
    }
}
