//! Environments that a worker makes of wheels: once for the same wheels, by whichever worker comes first.
//!
//! ```text
//!   <cache>/python-<key>.lock     locked by whoever makes it, and by all that it starts
//!   <cache>/python-<key>/venv     the virtual environment, made where it stays: its scripts have its path
//!                       /made     written at the end: what lacks it was left by somebody who was killed
//! ```

use std::ffi::OsStr;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use orchestratum_engine::Requirements;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::cache::{Cache, Key};
use crate::machine::Interpreter;

/// Changes with what this file makes of the same wheels.
const MAKER: &str = "1";

const REQUIREMENTS_MAX_BYTES: u64 = 1 << 20;

/// How often is looked whether another worker is ready.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How many lines of a step that failed are told.
const TOLD_LINES: usize = 6;

/// Runs its arguments, so that what they make can be read by all: programs may have another user.
const READABLE_FOR_ALL: &str = "import os, sys; os.umask(0o022); os.execv(sys.argv[1], sys.argv[1:])";

/// Of pip. Wheels alone: to build what is none, code has to be run that nobody installed yet.
const INSTALL: [&str; 9] = [
    "--quiet",
    "--disable-pip-version-check",
    "--no-input",
    "--no-cache-dir",
    "install",
    "--no-index",
    "--only-binary",
    ":all:",
    "--find-links",
];

/// The folder of the virtual environment.
pub(super) async fn once(
    cache: &Cache,
    interpreter: &Interpreter,
    wheels: &Path,
    requirements: &Requirements,
) -> Result<PathBuf, String> {
    let recipe = Recipe::of(interpreter, wheels, requirements).await?;
    let name = format!("python-{}", recipe.key);
    // What somebody else put there is not looked into.
    cache.has(&name)?;
    let folder = cache.folder().join(name);
    let making = Making {
        recipe: &recipe,
        interpreter,
        folder: &folder,
    };
    if !making.is_done() {
        let lock = making.lock().await.map_err(|error| cache.told(&error))?;
        // Another worker may have been faster.
        if !making.is_done() {
            tracing::info!(wheels = %recipe.wheels.display(), folder = %folder.display(), "an environment is made");
            making.make(&lock).await?;
        }
    }
    Ok(making.venv())
}

/// All that an environment is made of.
#[derive(Debug)]
struct Recipe {
    key: String,
    requirements: String,
    wheels: PathBuf,
}

impl Recipe {
    async fn of(interpreter: &Interpreter, wheels: &Path, requirements: &Requirements) -> Result<Self, String> {
        let mut key = Key::default();
        for part in [MAKER, &interpreter.path, &interpreter.version] {
            key.part(part);
        }
        let (wheels, requirements) = (wheels.to_owned(), requirements.clone());
        let given_up = CancellationToken::new();
        // Reading gigabytes takes a while, and goes on for nobody if this future is dropped.
        let _guard = given_up.clone().drop_guard();
        let reading = tokio::task::spawn_blocking(move || Self::read(key, &wheels, &requirements, &given_up));
        reading.await.map_err(|error| error.to_string())?
    }

    fn read(
        mut key: Key,
        wheels: &Path,
        requirements: &Requirements,
        given_up: &CancellationToken,
    ) -> Result<Self, String> {
        let requirements = text(requirements)?;
        key.part(&requirements);
        let told = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
        let wheels = wheels.canonicalize().map_err(|error| told(wheels, error))?;
        for file in wheels_in(&wheels).map_err(|error| told(&wheels, error))? {
            add_file(&mut key, &file, given_up).map_err(|error| told(&file, error))?;
        }
        Ok(Self {
            key: key.text(),
            requirements,
            wheels,
        })
    }
}

/// In an order that does not depend on the disk.
fn wheels_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "whl") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn add_file(key: &mut Key, path: &Path, given_up: &CancellationToken) -> io::Result<()> {
    let file = File::open(path)?;
    key.part(path.file_name().unwrap_or_default().as_encoded_bytes());
    key.read(file.metadata()?.len(), Until { file, given_up })
}

/// A file that is read until nobody waits for it any more.
struct Until<'a> {
    file: File,
    given_up: &'a CancellationToken,
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given_up.is_cancelled() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.file.read(buffer)
    }
}

fn text(requirements: &Requirements) -> Result<String, String> {
    let text = match requirements {
        Requirements::Listed(lines) => lines.join("\n"),
        Requirements::File(path) => {
            let told = |error: io::Error| format!("{}: {error}", path.display());
            let file = fs::metadata(path).map_err(told)?;
            if !file.is_file() || file.len() > REQUIREMENTS_MAX_BYTES {
                let path = path.display();
                return Err(format!("{path} is no file of at most {REQUIREMENTS_MAX_BYTES} bytes"));
            }
            fs::read_to_string(path).map_err(told)?
        }
    };
    match option_in(&text) {
        None => Ok(text),
        Some(line) => Err(format!("`{line}` is no requirement: options of pip are not taken")),
    }
}

/// A line that is an option, such as another place to look for packages or another file, of which the key would know
/// nothing. The options of a requirement, such as its hashes, stand behind it, maybe on lines that continue it.
fn option_in(requirements: &str) -> Option<&str> {
    let mut continues = false;
    requirements.lines().map(str::trim).find(|line| {
        let is_option = !continues && line.starts_with('-');
        continues = line.ends_with('\\');
        is_option
    })
}

struct Making<'a> {
    recipe: &'a Recipe,
    /// That of the worker, of which the environment's is one with other packages.
    interpreter: &'a Interpreter,
    folder: &'a Path,
}

impl Making<'_> {
    fn venv(&self) -> PathBuf {
        self.folder.join("venv")
    }

    fn is_done(&self) -> bool {
        self.folder.join("made").exists()
    }

    async fn lock(&self) -> io::Result<File> {
        let path = self.folder.with_extension("lock");
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let mut waits = false;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {
                    if !waits {
                        tracing::info!(folder = %self.folder.display(), "another worker makes this environment");
                        waits = true;
                    }
                    sleep(LOOK_AGAIN).await;
                }
            }
        }
    }

    async fn make(&self, lock: &File) -> Result<(), String> {
        let told = |error: io::Error| format!("{}: {error}", self.folder.display());
        if let Err(error) = tokio::fs::remove_dir_all(self.folder).await
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(told(error));
        }
        let requirements = self.folder.join("requirements.txt");
        fs::create_dir_all(self.temporary())
            .and_then(|()| fs::set_permissions(self.folder, Permissions::from_mode(0o755)))
            .and_then(|()| fs::write(&requirements, &self.recipe.requirements))
            .map_err(told)?;
        let venv = self.venv();
        let program = Path::new(&self.interpreter.path);
        self.run(program, "venv", &[venv.as_os_str()], lock).await?;
        let wheels = self.recipe.wheels.as_os_str();
        let what = [wheels, OsStr::new("--requirement"), requirements.as_os_str()];
        let arguments: Vec<&OsStr> = INSTALL.into_iter().map(OsStr::new).chain(what).collect();
        self.run(&venv.join("bin/python"), "pip", &arguments, lock).await?;
        fs::remove_dir_all(self.temporary())
            .and_then(|()| fs::write(self.folder.join("made"), ""))
            .map_err(told)
    }

    fn temporary(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// The lock is standard input, so that it is free only when all that was started here has ended, whatever becomes of
    /// this worker.
    async fn run(&self, program: &Path, module: &str, arguments: &[&OsStr], lock: &File) -> Result<(), String> {
        let told = |error: io::Error| format!("{}: {error}", self.interpreter.path);
        let mut command = tokio::process::Command::new(&self.interpreter.path);
        command
            .args(["-I", "-c", READABLE_FOR_ALL])
            .arg(program)
            .args(["-I", "-m", module])
            .args(arguments)
            .env_clear()
            .env("LANG", "C.UTF-8")
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("TMPDIR", self.temporary())
            // Neither what the machine nor what the user has settled for pip.
            .env("PIP_CONFIG_FILE", "/dev/null")
            .stdin(Stdio::from(lock.try_clone().map_err(told)?))
            .kill_on_drop(true);
        let output = command.output().await.map_err(told)?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!(
            "{module} ended with {}: {}",
            output.status,
            last_words(&output)
        ))
    }
}

/// pip says why on standard error, venv on standard output.
fn last_words(output: &Output) -> String {
    const TOLD_BYTES: usize = 1024;
    let [stdout, stderr] = [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
    let said = if stderr.trim().is_empty() { stdout } else { stderr };
    let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let told = lines[lines.len().saturating_sub(TOLD_LINES)..].join(" ");
    told[..told.floor_char_boundary(TOLD_BYTES)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_pip_are_no_requirements_but_those_of_a_requirement_are() {
        for taken in [
            "",
            "# -r is not taken\none==1",
            "one==1 --hash=sha256:ab",
            "one==1 \\\n    --hash=sha256:ab \\\n    --hash=sha256:cd\ntwo",
        ] {
            assert_eq!(option_in(taken), None, "{taken}");
        }
        for (refused, option) in [
            ("one\n -r others.txt", "-r others.txt"),
            ("--find-links /elsewhere", "--find-links /elsewhere"),
            ("one \\\n  --hash=sha256:ab\n-e .", "-e ."),
        ] {
            assert_eq!(option_in(refused), Some(option), "{refused}");
        }
    }

    #[tokio::test]
    async fn other_wheels_requirements_and_interpreters_make_another_environment() {
        let wheels = tempfile::tempdir().expect("a folder");
        let wheel = wheels.path().join("one-1-py3-none-any.whl");
        fs::write(&wheel, "first").expect("written");
        fs::write(wheels.path().join("notes.txt"), "").expect("written");
        let listed = |line: &str| Requirements::Listed(vec![line.to_owned()]);
        let key = async |version: &str, requirements: Requirements| {
            let interpreter = Interpreter {
                path: "/usr/bin/python3".to_owned(),
                version: version.to_owned(),
                folders: Vec::new(),
            };
            let recipe = Recipe::of(&interpreter, wheels.path(), &requirements).await;
            recipe.expect("it can be read").key
        };
        let first = key("3.12.1", listed("one")).await;
        fs::write(wheels.path().join("notes.txt"), "no wheel").expect("written");
        assert_eq!(key("3.12.1", listed("one")).await, first);
        assert_ne!(key("3.12.2", listed("one")).await, first);
        assert_ne!(key("3.12.1", listed("two")).await, first);
        fs::write(&wheel, "other").expect("written");
        assert_ne!(key("3.12.1", listed("one")).await, first);
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let interpreter = Interpreter {
            path: String::new(),
            version: String::new(),
            folders: Vec::new(),
        };
        let missing = folder.path().join("missing");
        let listed = Requirements::Listed(Vec::new());
        let reason = Recipe::of(&interpreter, &missing, &listed)
            .await
            .expect_err("no folder");
        assert!(reason.contains("/missing: No such file"), "{reason}");
        let no_file = Requirements::File(folder.path().to_owned());
        let reason = Recipe::of(&interpreter, folder.path(), &no_file)
            .await
            .expect_err("no file");
        assert!(reason.contains(" is no file of at most"), "{reason}");
    }
}
