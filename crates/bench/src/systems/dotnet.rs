//! C# with nothing there before it: the compiler and then the program, each a new process of the runtime and the compiler
//! that the product uses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use tokio::time::timeout;

use crate::machine::monotonic_now;

/// The first that the product takes.
const OLDEST_MAJOR: u32 = 8;

const LIMIT: Duration = Duration::from_secs(120);

/// What the program below needs and no more: reading the others would only take time.
const LIBRARIES: &[&str] = &[
    "System.Private.CoreLib",
    "System.Runtime",
    "System.Console",
    "System.Linq",
];

/// The settings of the product's own processes, so that the start is as fast as theirs.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("DOTNET_EnableDiagnostics", "0"),
    ("DOTNET_EnableWriteXorExecute", "0"),
    ("DOTNET_TieredPGO", "0"),
    ("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1"),
];

/// The folder of a `dotnet` with an SDK, and what the product takes of it: the newest SDK and its runtime. The rule is the
/// worker's, of which the benchmark only knows the program; they have the same examples.
#[derive(Debug)]
pub(crate) struct Dotnet {
    pub(crate) root: PathBuf,
    compiler: PathBuf,
    framework: PathBuf,
    versions: String,
}

impl Dotnet {
    /// # Errors
    /// What is missing, in words.
    pub(crate) fn find(root: Option<&Path>) -> Result<Self, String> {
        let root = root
            .filter(|root| !root.as_os_str().is_empty())
            .ok_or("CSHARP_RUNTIME names no folder of a `dotnet` with an SDK")?;
        let lacks = |what: &str| format!("{} has no {what}", root.display());
        let root = root.canonicalize().map_err(|_| lacks("`dotnet`"))?;
        if root.parent().is_none() || !root.join("dotnet").is_file() {
            return Err(lacks("`dotnet`"));
        }
        let compiler_of = |sdk: &str| root.join("sdk").join(sdk).join("Roslyn/bincore");
        let ([major, ..], sdk) = versions(&root.join("sdk"))
            .into_iter()
            .rfind(|(_, sdk)| compiler_of(sdk).join("csc.dll").is_file())
            .ok_or_else(|| lacks("SDK"))?;
        let frameworks = root.join("shared/Microsoft.NETCore.App");
        let (_, runtime) = versions(&frameworks)
            .into_iter()
            .rfind(|(version, _)| version[0] == major)
            .ok_or_else(|| lacks("runtime for its SDK"))?;
        if major < OLDEST_MAJOR {
            return Err(lacks(&format!("SDK of version {OLDEST_MAJOR} or newer")));
        }
        Ok(Self {
            compiler: compiler_of(&sdk),
            framework: frameworks.join(&runtime),
            versions: format!("runtime {runtime}, SDK {sdk}"),
            root,
        })
    }

    pub(crate) fn versions(&self) -> &str {
        &self.versions
    }

    /// Compiles a program with this number in it and runs it; returns how many milliseconds that took.
    pub(crate) async fn compile_and_run(&self, number: usize, folder: &Path) -> Result<f64> {
        let source = format!(
            "using System.Linq;\nvar numbers = new[] {{ {number}, 1 }};\n\
             System.Console.WriteLine(numbers.Select(x => x + 1).Sum());\n"
        );
        fs::write(folder.join("main.cs"), source).context("cannot write a source")?;
        fs::copy(
            self.compiler.join("csc.runtimeconfig.json"),
            folder.join("main.runtimeconfig.json"),
        )
        .context("cannot write the configuration of a program")?;
        let mut compile = self.command(&self.compiler.join("csc.dll"), folder);
        compile.args(["-nologo", "-noconfig", "-nostdlib+", "-out:main.dll"]);
        for library in LIBRARIES {
            compile.arg(format!("-r:{}/{library}.dll", self.framework.display()));
        }
        compile.arg("main.cs");
        let mut run = self.command(Path::new("main.dll"), folder);
        let started = monotonic_now();
        output(&mut compile).await?;
        let printed = output(&mut run).await?;
        let milliseconds = started.elapsed().as_secs_f64() * 1_000.0;
        ensure!(printed == format!("{}\n", number + 3), "a program printed {printed:?}");
        Ok(milliseconds)
    }

    fn command(&self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(self.root.join("dotnet"));
        command
            .arg(program)
            .current_dir(folder)
            .envs(ENVIRONMENT.iter().copied());
        command
    }
}

async fn output(command: &mut Command) -> Result<String> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(LIMIT, command.output()).await;
    let output = output
        .context("dotnet did not end in time")?
        .context("dotnet cannot be started")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "dotnet ended with {}: {printed}{errors}",
        output.status
    );
    Ok(printed)
}

/// Folders that are called like a version, the oldest first; those of previews are not.
fn versions(folder: &Path) -> Vec<([u32; 3], String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut versions: Vec<_> = names
        .filter_map(|name| {
            let numbers: Result<Vec<u32>, _> = name.split('.').map(str::parse).collect();
            Some((numbers.ok()?.try_into().ok()?, name))
        })
        .collect();
    versions.sort();
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Example {
        name: String,
        files: Vec<PathBuf>,
        found: Option<Versions>,
    }

    #[derive(serde::Deserialize)]
    struct Versions {
        sdk: String,
        runtime: String,
    }

    /// The worker has the same examples.
    #[test]
    fn the_newest_sdk_with_a_compiler_is_taken_with_the_newest_runtime_it_can_use() {
        let examples = include_str!("../../../worker/csharp/installations.json");
        let examples: Vec<Example> = serde_json::from_str(examples).expect("valid");
        for Example { name, files, found } in examples {
            let root = tempfile::tempdir().expect("a folder");
            for file in files {
                let path = root.path().join(file);
                fs::create_dir_all(path.parent().expect("it is below the root")).expect("made");
                fs::write(path, "").expect("written");
            }
            let expected = found.map(|Versions { sdk, runtime }| format!("runtime {runtime}, SDK {sdk}"));
            let found = Dotnet::find(Some(root.path())).ok();
            assert_eq!(found.map(|found| found.versions), expected, "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = || Dotnet::find(Some(folder.path())).expect_err("something is missing");
        assert!(Dotnet::find(None).is_err_and(|reason| reason.contains("CSHARP_RUNTIME")));
        assert!(missing().ends_with("has no `dotnet`"));
        fs::write(folder.path().join("dotnet"), "").expect("written");
        assert!(missing().ends_with("has no SDK"));
    }
}
