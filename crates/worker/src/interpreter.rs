//! Interpreters of Python: which one it is, and what programs have to be shown for it to run.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use orchestratum_engine::error::chain;
use orchestratum_sandbox::{Command, Pool, Sandbox};
use serde::Deserialize;
use tokio::time::timeout;

/// How long an interpreter may take to say which it is.
const PROBE_PATIENCE: Duration = Duration::from_secs(10);

/// Begins every variable that is a setting, in capitals or not.
const SETTINGS_PREFIX: &str = "ORCHESTRATUM";

/// Without `site`: it runs code that packages bring along for every start.
const OPTIONS: [&str; 3] = ["-I", "-S", "-c"];

/// `site` would also find out that it is the interpreter of a virtual environment.
const QUESTION: &str = "
import json, os, sys
assert sys.version_info >= (3, 8), sys.version
own = os.path.dirname(os.path.abspath(sys.executable))
prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
if any(os.path.exists(os.path.join(folder, 'pyvenv.cfg')) for folder in (own, os.path.dirname(own))):
    prefixes.add(os.path.dirname(own))
print(json.dumps({
    'path': sys.executable,
    'version': '.'.join(map(str, sys.version_info[:3])),
    'own': [sys.executable, os.path.realpath(sys.executable), os.path.dirname(os.__file__)],
    'prefixes': sorted(prefixes),
}))
";

/// An interpreter of Python.
#[derive(Debug)]
pub struct Interpreter {
    /// Its own: a wrapper, such as those of version managers, needs the worker's environment to work, but not the passwords
    /// in it, which every process of this user could read from there.
    pub path: String,
    pub version: String,
    /// What it needs beside the system: itself and its libraries.
    pub folders: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    path: String,
    version: String,
    /// Files and folders that have nothing of anybody else in them.
    own: Vec<PathBuf>,
    /// Folders that it is installed in, maybe beside other things.
    prefixes: Vec<PathBuf>,
}

/// Which interpreter it is that is called so.
///
/// # Errors
/// What is wrong, in words: it is not there, it does not answer, or it is older than Python 3.8.
pub async fn python(interpreter: &str) -> Result<Interpreter, String> {
    let mut command = tokio::process::Command::new(interpreter);
    command
        .args(OPTIONS)
        .arg(QUESTION)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().to_ascii_uppercase().starts_with(SETTINGS_PREFIX) {
            command.env_remove(name);
        }
    }
    let output = match timeout(PROBE_PATIENCE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(error.to_string()),
        Err(_) => return Err(late()),
    };
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
    let answer = Answer::read(output.status.success(), &stdout, &stderr, &output.status)?;
    let elsewhere = elsewhere();
    let shown = answer.prefixes.iter().flat_map(|prefix| shown(prefix, &elsewhere));
    Ok(Interpreter {
        folders: answer.own.iter().cloned().chain(shown).collect(),
        path: answer.path,
        version: answer.version,
    })
}

/// The one of a virtual environment, which is asked behind the walls that its tasks have: packages can put files of theirs in
/// the place of any in there. Nor is it asked where it lies.
pub(crate) async fn python_in(environment: &Path, sandbox: &Sandbox) -> Result<Interpreter, String> {
    let told = |error: io::Error| error.to_string();
    // A program starts in a folder of its own.
    let environment = std::path::absolute(environment).map_err(told)?;
    let program = environment.join("bin/python");
    fs::metadata(&program).map_err(told)?;
    let program = program.to_str().ok_or("its path is not UTF-8")?;
    let elsewhere = elsewhere();
    let installations = [environment.clone()].into_iter().chain(bases(&environment));
    let folders: Vec<PathBuf> = installations.flat_map(|folder| shown(&folder, &elsewhere)).collect();
    let walls = sandbox
        .showing(&folders, &Pool::holding(0))
        .map_err(|error| chain(&error))?;
    let command = Command::new(program).arguments(OPTIONS).arguments([QUESTION]);
    let asked = async { walls.spawn(&command).await?.wait().await };
    let finished = match timeout(PROBE_PATIENCE, asked).await {
        Ok(Ok(finished)) => finished,
        Ok(Err(error)) => return Err(chain(&error)),
        Err(_) => return Err(late()),
    };
    let (stdout, stderr) = (&finished.stdout.text, &finished.stderr.text);
    let answer = Answer::read(finished.exit.is_success(), stdout, stderr, &finished.exit)?;
    Ok(Interpreter {
        path: program.to_owned(),
        version: answer.version,
        folders,
    })
}

fn late() -> String {
    format!("it did not answer within {} s", PROBE_PATIENCE.as_secs())
}

impl Answer {
    fn read(succeeded: bool, stdout: &str, stderr: &str, ended: &dyn Display) -> Result<Self, String> {
        // A wrapper may say something of its own before.
        let answer = stdout.lines().next_back().unwrap_or_default();
        match serde_json::from_str::<Self>(answer) {
            Ok(answer) if succeeded && Path::new(&answer.path).is_absolute() => Ok(answer),
            _ if stderr.trim().is_empty() => Err(format!("it does not say where it is: {ended}")),
            _ => Err(stderr.trim().to_owned()),
        }
    }
}

/// The installations that a virtual environment is one of: by what is written in it, and by where its interpreter leads to.
fn bases(environment: &Path) -> impl Iterator<Item = PathBuf> {
    let written = fs::read_to_string(environment.join("pyvenv.cfg")).unwrap_or_default();
    let home = written.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == "home").then(|| PathBuf::from(value.trim()))
    });
    let program = environment.join("bin/python").canonicalize().ok();
    let programs = program.and_then(|program| Some(program.parent()?.to_owned()));
    let folders = home.into_iter().chain(programs);
    folders.filter_map(|programs| Some(programs.parent()?.to_owned()))
}

/// What programs are shown of a folder that an interpreter is installed in: all of it, unless there is more in it than that.
fn shown(folder: &Path, elsewhere: &[PathBuf]) -> Vec<PathBuf> {
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    if ![folder, real.as_path()]
        .iter()
        .any(|folder| holds_more(folder, elsewhere))
    {
        return vec![folder.to_owned()];
    }
    let within = ["bin", "lib", "lib64"].map(|name| folder.join(name));
    let entries = within.iter().flat_map(fs::read_dir).flatten().flatten();
    let of_python = |name: &str| ["python", "libpython"].iter().any(|start| name.starts_with(start));
    let mut parts: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(of_python))
        .map(|entry| entry.path())
        .collect();
    parts.sort();
    parts.push(folder.join("pyvenv.cfg"));
    tracing::info!(folder = %folder.display(), ?parts, "of this folder programs are shown only what is Python's");
    parts
}

/// Whether it is, or has in it, what somebody lives or works in.
fn holds_more(folder: &Path, elsewhere: &[PathBuf]) -> bool {
    let is = |path: &Path, home: &str| path == Path::new(home);
    folder.parent().is_none_or(|parent| is(parent, "/home"))
        || is(folder, "/home")
        || is(folder, "/root")
        || folder.ends_with(".local")
        || elsewhere.iter().any(|place| place.starts_with(folder))
}

/// Where this worker lives and works.
fn elsewhere() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let places = home
        .into_iter()
        .chain(std::env::current_dir())
        .chain([std::env::temp_dir()]);
    let places: Vec<PathBuf> = places.filter(|place| place.is_absolute()).collect();
    let real = places.iter().filter_map(|place| place.canonicalize().ok());
    real.chain(places.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[tokio::test]
    async fn an_interpreter_that_is_not_there_is_told_with_a_reason() {
        assert!(
            python("/no/such/python3")
                .await
                .is_err_and(|reason| reason.contains("No such file"))
        );
        assert!(python("/bin/false").await.is_err_and(|reason| !reason.is_empty()));
    }

    #[tokio::test]
    async fn an_interpreter_is_asked_without_running_code_of_its_packages() {
        let folder = tempfile::tempdir().expect("a folder");
        let ran = folder.path().join("ran");
        let environment = folder.path().join("environment");
        let made = std::process::Command::new("python3")
            .args(["-m", "venv", "--without-pip"])
            .arg(&environment)
            .status();
        assert!(made.expect("it runs").success());
        let libraries = fs::read_dir(environment.join("lib")).expect("it is there").flatten();
        for library in libraries {
            let line = format!("import os; open({ran:?}, 'w')\n");
            fs::write(library.path().join("site-packages/poison.pth"), line).expect("written");
        }
        let program = environment.join("bin/python");
        let found = python(program.to_str().expect("UTF-8")).await.expect("it answers");
        assert_eq!(Path::new(&found.path), program);
        assert!(found.folders.contains(&environment), "{:?}", found.folders);
        assert!(!ran.exists(), "code of a package ran");
        let usual = std::process::Command::new(&program).args(["-I", "-c", "pass"]).status();
        assert!(
            usual.expect("it runs").success() && ran.exists(),
            "as every other start"
        );
    }

    #[test]
    fn of_a_folder_in_which_somebody_lives_or_works_python_alone_is_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().canonicalize().expect("it is there");
        for made in ["bin", "documents", "lib/python3.12", "lib/others"] {
            fs::create_dir_all(home.join(made)).expect("made");
        }
        for file in ["bin/mine", "bin/python3.12", "lib/libpython3.12.so.1.0", "secret"] {
            fs::write(home.join(file), "").expect("written");
        }
        symlink("lib", home.join("lib64")).expect("linked");
        let parts = [
            "bin/python3.12",
            "lib/libpython3.12.so.1.0",
            "lib/python3.12",
            "lib64/libpython3.12.so.1.0",
            "lib64/python3.12",
            "pyvenv.cfg",
        ]
        .map(|part| home.join(part));
        for place in [home.clone(), home.join("documents")] {
            assert_eq!(shown(&home, &[place]), parts);
        }
        assert_eq!(
            shown(&home, &[PathBuf::from("/elsewhere")]),
            std::slice::from_ref(&home)
        );
        let linked = home.join("bin/linked");
        symlink(&home, &linked).expect("linked");
        assert!(!shown(&linked, std::slice::from_ref(&home)).contains(&linked));
    }

    #[test]
    fn homes_and_the_root_hold_more_than_an_interpreter() {
        let mine = Path::new("/home").join("me");
        let working_folder = PathBuf::from("/srv/app/worker");
        let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<Vec<_>>();
        let of_people = [mine.clone(), mine.join(".local")];
        let above = paths(&["/", "/home", "/root", "/srv", "/srv/app", "/srv/app/worker"]);
        for folder in above.iter().chain(&of_people) {
            assert!(
                holds_more(folder, std::slice::from_ref(&working_folder)),
                "{}",
                folder.display()
            );
        }
        let own = [mine.join(".pyenv/versions/3.12.1"), working_folder.join("venv")];
        for folder in paths(&["/usr", "/usr/local", "/opt/python"]).iter().chain(&own) {
            assert!(
                !holds_more(folder, std::slice::from_ref(&working_folder)),
                "{}",
                folder.display()
            );
        }
    }

    #[test]
    fn the_installation_of_a_virtual_environment_is_found_by_what_it_says_and_by_its_links() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().canonicalize().expect("it is there");
        for made in ["environment/bin", "python-3.12.1/bin"] {
            fs::create_dir_all(place.join(made)).expect("made");
        }
        let program = place.join("python-3.12.1/bin/python3");
        fs::write(&program, "").expect("written");
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
        symlink(&program, place.join("environment/bin/python")).expect("linked");
        let written = "include-system-site-packages = false\nhome = /opt/python/bin\n";
        fs::write(place.join("environment/pyvenv.cfg"), written).expect("written");
        let found: Vec<PathBuf> = bases(&place.join("environment")).collect();
        assert_eq!(found, [PathBuf::from("/opt/python"), place.join("python-3.12.1")]);
    }
}
