//! A runtime and a compiler of C#, as this machine has them, and the two programs that are compiled with it once: the server
//! that compiles the code of tasks, and the runner of one task. `doctor` asks the same questions as a start.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use orchestratum_engine::WorkerSettings;
use tokio::time::timeout;

use crate::cache::{Cache, Key};
use crate::machine;

const COMPILE_SERVER: &str = include_str!("../csharp/CompileServer.cs");
const RUNNER: &str = include_str!("../csharp/Runner.cs");

/// The first whose language and library the two programs are written in.
const OLDEST_MAJOR: u32 = 8;

/// How long compiling one of the two may take, on a machine that has other things to do.
const COMPILE_PATIENCE: Duration = Duration::from_secs(120);

/// Where packages and people put it.
const USUAL_FOLDERS: [&str; 3] = ["/usr/share/dotnet", "/usr/lib/dotnet", "/usr/local/share/dotnet"];

/// What to do where there is none.
const HOW_TO_GET_ONE: &str = "a .NET SDK of version 8 or newer comes from https://dotnet.microsoft.com/download, or as a package \
                              such as `dotnet-sdk-8.0`; where `dotnet` is not in the search path, `worker.csharp` \
                              (ORCHESTRATUM__WORKER__CSHARP) is the folder that has it";

/// For every program of this runtime: nobody can attach to it, it takes its language from no file of the machine, and it
/// starts fast.
pub(crate) const ENVIRONMENT: [(&str, &str); 3] = [
    ("DOTNET_EnableDiagnostics", "0"),
    ("DOTNET_EnableWriteXorExecute", "0"),
    ("DOTNET_TieredPGO", "0"),
];

/// What runs `csharp` tasks.
#[derive(Debug)]
pub struct Tools {
    installation: Installation,
    /// What was compiled.
    folder: PathBuf,
}

/// The folder of a `dotnet` with an SDK. `xtask` and the benchmark look for one, too, and are linked with as little as they can
/// be: `installations.json` holds them to the same rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Installation {
    root: PathBuf,
    /// Of the compiler, within the SDK.
    compiler: PathBuf,
    sdk: Version,
    runtime: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

/// # Errors
/// What is missing, in words.
pub async fn find(settings: &WorkerSettings) -> Result<Tools, String> {
    let installation = installation(settings.csharp.as_deref())?;
    let cache = Cache::open(settings.csharp_cache.as_deref(), "worker.csharp_cache")?;
    let name = format!("csharp-{}", installation.hash());
    let folder = cache.folder().join(&name);
    if !cache.has(&name)? {
        let told = |error: io::Error| cache.told(&error);
        let made = tempfile::Builder::new()
            .prefix("csharp-new-")
            .tempdir_in(cache.folder())
            .map_err(told)?;
        installation.compile_tools(made.path()).await?;
        fs::set_permissions(made.path(), Permissions::from_mode(0o755)).map_err(told)?;
        // Another worker may have been faster.
        if let Err(error) = fs::rename(made.path(), &folder)
            && !cache.has(&name)?
        {
            return Err(told(error));
        }
    }
    Ok(Tools { installation, folder })
}

impl Tools {
    /// The runtime and the compiler, for people.
    pub fn describe(&self) -> String {
        let Installation { root, sdk, runtime, .. } = &self.installation;
        format!("{}: runtime {}, SDK {}", root.display(), runtime.text(), sdk.text())
    }

    /// What its programs read beside the system.
    pub fn folders(&self) -> Vec<PathBuf> {
        let mut read = self.installation.read_by_programs();
        read.push(self.folder.clone());
        read
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.installation.program()
    }

    pub(crate) fn compiler(&self) -> &Path {
        &self.installation.compiler
    }

    pub(crate) fn compile_server(&self) -> PathBuf {
        self.folder.join("CompileServer.dll")
    }

    pub(crate) fn runner(&self) -> PathBuf {
        self.folder.join("Runner.dll")
    }
}

fn installation(configured: Option<&Path>) -> Result<Installation, String> {
    if let Some(folder) = configured {
        return Installation::in_folder(folder).map_err(|reason| format!("{}: {reason}", folder.display()));
    }
    let variable = std::env::var_os("DOTNET_ROOT").map(PathBuf::from);
    let program =
        machine::program("dotnet").and_then(|program| Some(program.canonicalize().ok()?.parent()?.to_owned()));
    let folders = variable.into_iter().chain(program);
    first_of(folders.chain(USUAL_FOLDERS.map(PathBuf::from)))
}

fn first_of(folders: impl Iterator<Item = PathBuf>) -> Result<Installation, String> {
    let mut reason = "there is no `dotnet`".to_owned();
    for folder in folders {
        match Installation::in_folder(&folder) {
            Ok(installation) => return Ok(installation),
            Err(lacks) if folder.exists() => reason = format!("{}: {lacks}", folder.display()),
            Err(_) => {}
        }
    }
    Err(format!("{reason}: {HOW_TO_GET_ONE}"))
}

impl Installation {
    fn in_folder(folder: &Path) -> Result<Self, String> {
        let root = folder.canonicalize().map_err(|error| error.to_string())?;
        // Nobody is shown a whole machine because somebody put a runtime at its root.
        if root.parent().is_none() || !root.join("dotnet").is_file() {
            return Err("there is no `dotnet`".to_owned());
        }
        let compiler_of = |sdk: &str| root.join("sdk").join(sdk).join("Roslyn/bincore");
        let (sdk, name) = versions(&root.join("sdk"))
            .into_iter()
            .rfind(|(_, name)| compiler_of(name).join("csc.dll").is_file())
            .ok_or("it has no SDK, so there is no compiler")?;
        let runtime = versions(&root.join("shared/Microsoft.NETCore.App"))
            .into_iter()
            .map(|(version, _)| version)
            .rfind(|version| version.major == sdk.major)
            .ok_or_else(|| format!("it has no runtime for its SDK {}", sdk.text()))?;
        if runtime.major < OLDEST_MAJOR {
            return Err(format!("version {} is older than {OLDEST_MAJOR}", runtime.text()));
        }
        Ok(Self {
            compiler: compiler_of(&name),
            root,
            sdk,
            runtime,
        })
    }

    fn program(&self) -> PathBuf {
        self.root.join("dotnet")
    }

    /// Not the whole folder, which may be that of somebody who put more there.
    fn read_by_programs(&self) -> Vec<PathBuf> {
        vec![
            self.program(),
            self.root.join("host"),
            self.frameworks(),
            self.compiler.clone(),
        ]
    }

    fn frameworks(&self) -> PathBuf {
        self.root.join("shared/Microsoft.NETCore.App")
    }

    fn framework(&self) -> PathBuf {
        self.frameworks().join(self.runtime.text())
    }

    /// Of all that the compiled programs depend on.
    fn hash(&self) -> String {
        let mut key = Key::default();
        let installation = format!("{self:?}");
        for part in [COMPILE_SERVER, RUNNER, &self.runtime_config(), &installation] {
            key.part(part);
        }
        key.text()
    }

    fn runtime_config(&self) -> String {
        let framework = serde_json::json!({"name": "Microsoft.NETCore.App", "version": self.runtime.text()});
        let properties = serde_json::json!({
            "System.GC.Concurrent": false,
            "System.GC.Server": false,
            "System.Globalization.Invariant": true,
            "System.Runtime.TieredPGO": false,
        });
        serde_json::json!({"runtimeOptions": {"framework": framework, "configProperties": properties}}).to_string()
    }

    async fn compile_tools(&self, folder: &Path) -> Result<(), String> {
        for (name, source) in [("CompileServer", COMPILE_SERVER), ("Runner", RUNNER)] {
            let path = folder.join(format!("{name}.cs"));
            let config = folder.join(format!("{name}.runtimeconfig.json"));
            fs::write(&path, source)
                .and_then(|()| fs::write(config, self.runtime_config()))
                .map_err(|error| format!("{}: {error}", folder.display()))?;
            self.compile(&path, &folder.join(format!("{name}.dll"))).await?;
        }
        Ok(())
    }

    async fn compile(&self, source: &Path, into: &Path) -> Result<(), String> {
        let mut command = tokio::process::Command::new(self.program());
        command.arg(self.compiler.join("csc.dll"));
        command.args([
            "-nologo",
            "-noconfig",
            "-nostdlib+",
            "-langversion:latest",
            "-nullable:enable",
        ]);
        command.args(["-optimize+", "-deterministic+", "-target:exe", "-nowarn:CS8632"]);
        command.arg(format!("-out:{}", into.display()));
        let libraries = ["Microsoft.CodeAnalysis.dll", "Microsoft.CodeAnalysis.CSharp.dll"];
        let libraries = libraries.map(|name| self.compiler.join(name));
        for reference in assemblies(&self.framework()).into_iter().chain(libraries) {
            command.arg(format!("-r:{}", reference.display()));
        }
        command
            .arg(source)
            .env_clear()
            .envs(ENVIRONMENT)
            .env("DOTNET_SYSTEM_GLOBALIZATION_INVARIANT", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = match timeout(COMPILE_PATIENCE, command.output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(format!("{}: {error}", self.program().display())),
            Err(_) => {
                return Err(format!(
                    "its compiler did not end within {} s",
                    COMPILE_PATIENCE.as_secs()
                ));
            }
        };
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let first = said.lines().next().unwrap_or_default();
        Err(format!("its compiler ended with {}: {first}", output.status))
    }
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.').map(|part| part.parse().ok());
        let version = Self {
            major: parts.next()??,
            minor: parts.next()??,
            patch: parts.next()??,
        };
        parts.next().is_none().then_some(version)
    }

    fn text(self) -> String {
        format!("{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Folders that are called like a version, the oldest first. Those of previews are not.
fn versions(folder: &Path) -> Vec<(Version, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut versions: Vec<_> = names.filter_map(|name| Some((Version::parse(&name)?, name))).collect();
    versions.sort();
    versions
}

fn assemblies(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut assemblies: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "dll"))
        .collect();
    assemblies.sort();
    assemblies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Example {
        name: String,
        files: Vec<PathBuf>,
        found: Option<Versions>,
    }

    #[derive(Debug, PartialEq, Eq, serde::Deserialize)]
    struct Versions {
        sdk: String,
        runtime: String,
    }

    fn with_folders(folders: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for folder in folders {
            fs::create_dir_all(root.path().join(folder)).expect("made");
        }
        root
    }

    /// `xtask` and the benchmark have the same examples.
    #[test]
    fn the_newest_sdk_with_a_compiler_is_taken_with_the_newest_runtime_it_can_use() {
        let examples = include_str!("../csharp/installations.json");
        let examples: Vec<Example> = serde_json::from_str(examples).expect("valid");
        for Example { name, files, found } in examples {
            let root = tempfile::tempdir().expect("a folder");
            for file in files {
                let path = root.path().join(file);
                fs::create_dir_all(path.parent().expect("it is below the root")).expect("made");
                fs::write(path, "").expect("written");
            }
            let installation = Installation::in_folder(root.path()).ok();
            let versions = installation.map(|installation| Versions {
                sdk: installation.sdk.text(),
                runtime: installation.runtime.text(),
            });
            assert_eq!(versions, found, "{name}");
        }
    }

    #[test]
    fn programs_read_the_runtime_and_the_compiler_and_nothing_beside_them() {
        let root = with_folders(&[
            "documents",
            "host",
            "sdk/9.0.100/Roslyn/bincore",
            "sdk/9.0.100/Sdks",
            "shared/Microsoft.NETCore.App/9.0.2",
            "shared/documents",
        ]);
        for file in ["dotnet", "sdk/9.0.100/Roslyn/bincore/csc.dll"] {
            fs::write(root.path().join(file), "").expect("written");
        }
        let found = Installation::in_folder(root.path()).expect("it has all");
        let at = |path: &str| found.root.join(path);
        let read = [
            "dotnet",
            "host",
            "shared/Microsoft.NETCore.App",
            "sdk/9.0.100/Roslyn/bincore",
        ];
        assert_eq!(found.read_by_programs(), read.map(at));
    }

    #[test]
    fn what_is_compiled_for_another_runtime_has_another_place() {
        let version = |patch| Version {
            major: 9,
            minor: 0,
            patch,
        };
        let with = |runtime| Installation {
            root: PathBuf::from("/opt/dotnet"),
            compiler: PathBuf::from("/opt/dotnet/sdk/9.0.100/Roslyn/bincore"),
            sdk: version(100),
            runtime,
        };
        assert_ne!(with(version(1)).hash(), with(version(2)).hash());
    }

    #[test]
    fn where_there_is_none_it_is_told_how_to_get_one() {
        let nothing = with_folders(&["sdk"]);
        for (folders, begins) in [
            (Vec::new(), "there is no `dotnet`: ".to_owned()),
            (
                vec![nothing.path().to_owned()],
                format!("{}: there is no `dotnet`: ", nothing.path().display()),
            ),
        ] {
            let told = first_of(folders.into_iter()).expect_err("there is none");
            assert!(
                told.starts_with(&begins)
                    && told.contains("ORCHESTRATUM__WORKER__CSHARP")
                    && told.contains(&format!("version {OLDEST_MAJOR} or newer")),
                "{told}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_told() {
        let root = with_folders(&["sdk/6.0.1/Roslyn/bincore"]);
        let missing = || Installation::in_folder(root.path()).expect_err("something is missing");
        assert_eq!(missing(), "there is no `dotnet`");
        fs::write(root.path().join("dotnet"), "").expect("written");
        assert_eq!(missing(), "it has no SDK, so there is no compiler");
        fs::write(root.path().join("sdk/6.0.1/Roslyn/bincore/csc.dll"), "").expect("written");
        assert_eq!(missing(), "it has no runtime for its SDK 6.0.1");
        fs::create_dir_all(root.path().join("shared/Microsoft.NETCore.App/6.0.9")).expect("made");
        assert_eq!(missing(), "version 6.0.9 is older than 8");
        assert!(Installation::in_folder(Path::new("/no/such/folder")).is_err());
    }
}
