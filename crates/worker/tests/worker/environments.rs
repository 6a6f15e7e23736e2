//! Packages that tasks ask for by the name of an environment: virtual environments and wheels as they are, with a real pip.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use orchestratum_core::EnvironmentName;
use orchestratum_engine::Settings;
use orchestratum_sandbox::Shim;
use orchestratum_worker::{environments, isolation, machine};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Bench, error, output};

/// A package of one module, as `pip wheel` would make it.
const BUILD_A_WHEEL: &str = r#"
import sys, zipfile
folder, name, version, code = sys.argv[1:]
information = f"{name}-{version}.dist-info"
files = {
    f"{name}.py": code,
    f"{information}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: a test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}
files[f"{information}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{information}/RECORD"])
with zipfile.ZipFile(f"{folder}/{name}-{version}-py3-none-any.whl", "w") as wheel:
    for path, text in files.items():
        wheel.writestr(path, text)
"#;

/// Where environments are.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self::below(env!("CARGO_TARGET_TMPDIR"))
    }

    fn below(folder: &str) -> Self {
        Self(tempfile::tempdir_in(folder).expect("a folder"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// A virtual environment with one module.
    fn virtual_environment(&self, name: &str, module: &str, code: &str) -> String {
        self.virtual_environment_of("python3", name, module, code)
    }

    fn virtual_environment_of(&self, interpreter: &str, name: &str, module: &str, code: &str) -> String {
        let folder = self.path(name);
        said(Command::new(interpreter).args(["-m", "venv", "--without-pip", &folder]));
        let question = "import sysconfig; print(sysconfig.get_path('purelib'))";
        let packages = said(Command::new(format!("{folder}/bin/python")).args(["-I", "-c", question]));
        fs::write(Path::new(packages.trim()).join(format!("{module}.py")), code).expect("written");
        folder
    }

    /// An interpreter that has its standard library by a path in this place.
    fn interpreter(&self) -> String {
        let question =
            "import os, sys, sysconfig; print(os.path.realpath(sys.executable), sysconfig.get_path('stdlib'))";
        let answer = said(Command::new("python3").args(["-I", "-c", question]));
        let (program, library) = answer.trim().split_once(' ').expect("two paths");
        let copy = self.path("python/bin/python3");
        for folder in ["python/bin", "python/lib"] {
            fs::create_dir_all(self.path(folder)).expect("made");
        }
        fs::copy(program, &copy).expect("copied");
        let name = Path::new(library).file_name().expect("it has a version");
        symlink(library, Path::new(&self.path("python/lib")).join(name)).expect("linked");
        copy
    }

    /// A folder with the wheel of one module.
    fn wheels(&self, module: &str, code: &str) -> String {
        let folder = self.path("wheels");
        fs::create_dir_all(&folder).expect("made");
        said(Command::new("python3").args(["-I", "-c", BUILD_A_WHEEL, &folder, module, "1.0", code]));
        folder
    }

    /// What workers made here.
    fn made(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("cache")).expect("it is there").flatten();
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    }
}

fn said(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// `reports` is a virtual environment, `etl` is made of wheels.
async fn bench(place: &Place, overrides: &[(&str, &str)]) -> Bench {
    let reports = place.virtual_environment("reports", "reporting", "ANSWER = 'from reports'");
    let wheels = place.wheels("rows", "ANSWER = 'from etl'");
    let cache = place.path("cache");
    let environments = [
        ("worker.environments.reports.virtual_environment", reports.as_str()),
        ("worker.environments.etl.wheels", &wheels),
        ("worker.environments.etl.requirements", "rows==1.0"),
        ("worker.environments_cache", &cache),
        // One program at a time, so that all of an environment run in one cell.
        ("worker.concurrency", "1"),
    ];
    Bench::with(&[&environments, overrides].concat()).await
}

fn task(environment: &str, code: &str) -> Value {
    json!({"name": "python", "input": {"code": code, "environment": environment}})
}

async fn python(bench: &Bench, environment: &str, code: &str) -> Value {
    output(&bench.run(task(environment, code)).await)["result"].clone()
}

/// Which of the modules can be imported, the answer of each, and how many processes its cell has had before.
const LOOK: &str = "
import importlib, os
def main():
    found = []
    for name in ('reporting', 'rows'):
        try:
            found.append(importlib.import_module(name).ANSWER)
        except ModuleNotFoundError:
            pass
    return {'found': found, 'process': os.getpid()}
";

/// Whatever could be changed of the environment that the code runs in.
const CHANGE: &str = "
import importlib, os, sys, sysconfig
def main():
    packages = sysconfig.get_path('purelib')
    module = importlib.import_module(next(name for name in ('reporting', 'rows') if os.path.exists(f'{packages}/{name}.py')))
    changes = {
        'a new file': lambda: open(f'{packages}/sitecustomize.py', 'w'),
        'a change': lambda: open(module.__file__, 'a'),
        'a removal': lambda: os.remove(module.__file__),
        'another name': lambda: os.rename(module.__file__, f'{packages}/other.py'),
        'a folder': lambda: os.mkdir(f'{sys.prefix}/mine'),
        'the interpreter': lambda: os.symlink('/bin/true', f'{sys.prefix}/bin/mine'),
    }
    # Landlock alone does not ask who changes modes.
    if os.path.isdir('/run/task'):
        changes['modes'] = lambda: os.chmod(packages, 0o777)
    done = []
    for what, change in changes.items():
        try:
            change()
            done.append(what)
        except OSError:
            pass
    return done
";

#[tokio::test(flavor = "multi_thread")]
async fn code_imports_the_packages_of_its_environment_and_no_others() {
    packages_are_imported_from(&Place::new()).await;
}

/// Programs have a `/tmp` of their own at the level `full`.
#[tokio::test(flavor = "multi_thread")]
async fn environments_may_lie_among_temporary_files() {
    packages_are_imported_from(&Place::below("/tmp")).await;
}

async fn packages_are_imported_from(place: &Place) {
    let bench = bench(place, &[("worker.isolation", "full")]).await;
    let worker = bench.worker().await;
    for (environment, answer) in [("reports", "from reports"), ("etl", "from etl")] {
        let first = python(&bench, environment, LOOK).await;
        assert_eq!(first["found"], json!([answer]), "{environment}");
        let second = python(&bench, environment, LOOK).await;
        assert_eq!(second["found"], json!([answer]), "{environment}");
        assert!(
            second["process"].as_u64() > first["process"].as_u64(),
            "the interpreter was there before: {first} {second}"
        );
        assert_eq!(python(&bench, environment, CHANGE).await, json!([]), "{environment}");
    }
    let without = output(&bench.run_python(LOOK).await)["result"].clone();
    assert_eq!(without["found"], json!([]), "nobody asked for packages");

    let folders = format!(
        "import os\ndef main():\n    return os.path.exists({:?})",
        place.path("reports")
    );
    assert_eq!(python(&bench, "reports", &folders).await, true);
    assert_eq!(python(&bench, "etl", &folders).await, false);
    assert_eq!(output(&bench.run_python(&folders).await)["result"], false);

    let listed = bench.engine.workers().await.expect("they are listed");
    let environments = listed[0].registration.environments.iter();
    let names: Vec<&str> = environments.map(EnvironmentName::as_str).collect();
    assert_eq!(names, ["etl", "reports"]);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_the_worker_does_not_have_fails_the_task_for_good_and_says_which_there_are() {
    let place = Place::new();
    let bench = bench(
        &place,
        &[
            ("worker.isolation", "off"),
            ("worker.environments.broken.virtual_environment", "/no/such/folder"),
        ],
    )
    .await;
    let worker = bench.worker().await;
    let has = "it has `etl`, `reports`; see \"Environments\" in docs/tasks.md";
    for (name, lacks) in [
        ("sales", "this worker has no environment `sales`"),
        (
            "broken",
            "the environment `broken` could not be prepared on this worker, whose log says why",
        ),
    ] {
        let input = json!({"code": LOOK, "environment": name});
        let task = bench
            .run(json!({"name": "python", "input": input, "max_retries": 5}))
            .await;
        assert_eq!(error(&task), format!("UnknownEnvironment: {lacks}: {has}"));
        assert_eq!(task.life.attempt, 1, "it would be the same again");
    }
    assert_eq!(python(&bench, "reports", LOOK).await["found"], json!(["from reports"]));
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_of_wheels_is_made_once_also_by_workers_that_start_together() {
    let place = Place::new();
    let landlock = bench(&place, &[("worker.isolation", "landlock")]).await;
    let off = bench(&place, &[("worker.isolation", "off")]).await;
    let workers = tokio::join!(landlock.worker(), off.worker());
    for bench in [&landlock, &off] {
        assert_eq!(python(bench, "etl", LOOK).await["found"], json!(["from etl"]));
        assert_eq!(python(bench, "reports", LOOK).await["found"], json!(["from reports"]));
    }
    for environment in ["etl", "reports"] {
        assert_eq!(python(&landlock, environment, CHANGE).await, json!([]), "{environment}");
    }
    let read = format!(
        "print(open({:?}).read())",
        format!("{}/pyvenv.cfg", place.path("reports"))
    );
    assert!(error(&landlock.run(task("etl", &read)).await).contains("PermissionError"));
    workers.0.stopped().await;
    workers.1.stopped().await;

    let made = place.made();
    assert_eq!(made.len(), 1, "{made:?}");
    let mark = fs::metadata(made[0].join("made"))
        .and_then(|mark| mark.modified())
        .expect("it is complete");
    let worker = off.worker().await;
    assert_eq!(python(&off, "etl", LOOK).await["found"], json!(["from etl"]));
    worker.stopped().await;
    let again = fs::metadata(made[0].join("made"))
        .and_then(|mark| mark.modified())
        .expect("it is complete");
    assert_eq!(again, mark, "it is used again");
}

/// What a worker would say of its only environment, made of the wheels of a place.
async fn told(place: &Place, level: &str, requirements: &str) -> Result<String, String> {
    let (wheels, cache) = (place.path("wheels"), place.path("cache"));
    found(
        level,
        &[
            ("worker.environments.etl.wheels", &wheels),
            ("worker.environments.etl.requirements", requirements),
            ("worker.environments_cache", &cache),
        ],
    )
    .await
}

async fn found(level: &str, environment: &[(&str, &str)]) -> Result<String, String> {
    let work_dir = tempfile::tempdir().expect("a folder");
    let common = [
        ("worker.isolation", level),
        ("worker.work_dir", work_dir.path().to_str().expect("UTF-8")),
    ];
    let settings = Settings::load_with(&[&common, environment].concat())
        .expect("valid")
        .worker;
    let interpreter = machine::python(&settings.python).await.expect("the tests need one");
    let shim = Shim::at(env!("CARGO_BIN_EXE_orchestratum-worker"));
    let isolation = isolation::find(&settings, &shim, &interpreter.folders)
        .await
        .expect("a level");
    let sandbox = isolation.sandbox.expect("a sandbox");
    let environments = environments::find(&settings, &interpreter, &sandbox).await;
    let mut told = environments
        .told()
        .map(|(_, found)| found.map(str::to_owned).map_err(str::to_owned));
    told.next().expect("there is one")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_environment_that_cannot_be_made_is_told_with_the_reason() {
    let place = Place::new();
    place.wheels("rows", "ANSWER = 'from etl'");
    let missing = told(&place, "off", "rows==2.0")
        .await
        .expect_err("there is no such wheel");
    assert!(
        missing.starts_with("pip ended with ") && missing.contains("No matching distribution found for rows==2.0"),
        "{missing}"
    );
    fs::write(
        format!("{}/columns-1.0-py3-none-any.whl", place.path("wheels")),
        "no wheel",
    )
    .expect("written");
    let broken = told(&place, "off", "columns").await.expect_err("it is no wheel");
    assert!(
        broken.starts_with("pip ended with ") && broken.contains("columns-1.0"),
        "{broken}"
    );
    let option = told(&place, "off", "--find-links /elsewhere").await;
    assert!(option.is_err_and(|reason| reason.ends_with("options of pip are not taken")));
    let open = [("worker.environments.a.virtual_environment", "/no/such/folder")];
    let absent = found("off", &open).await.expect_err("it is not there");
    assert!(
        absent.starts_with("/no/such/folder/bin/python: No such file"),
        "{absent}"
    );
}

/// Puts modules of its own at the places of those that its interpreter has not imported yet, and ends as it is told.
const REPLACE: &str = "
import os, sys, sysconfig
import builtins
folders = [sysconfig.get_path(name) for name in ('stdlib', 'purelib')]
names = [name.split('.')[0] for folder in folders for name in os.listdir(folder)]
for link in INPUT:
    os.unlink(link)
for folder in folders:
    os.makedirs(folder)
    for name in set(names):
        with open(f'{folder}/{name}.py', 'w') as module:
            module.write('import builtins, os\\nbuiltins.poisoned = True\\nANSWER = \"poisoned\"\\n')
import reporting
assert reporting.ANSWER == 'poisoned' and builtins.poisoned
print(os.getpid(), flush=True)
";

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_replaces_the_files_of_its_interpreter_does_so_for_itself_alone() {
    let place = Place::below("/tmp");
    let interpreter = place.interpreter();
    let environment = place.virtual_environment_of(&interpreter, "reports", "reporting", "ANSWER = 'from reports'");
    let bench = Bench::with(&[
        ("worker.environments.reports.virtual_environment", &environment),
        ("worker.concurrency", "1"),
        ("worker.isolation", "full"),
    ])
    .await;
    let links = format!("{:?}", [environment, place.path("python")]);
    let look = format!("{LOOK}\nimport builtins\nassert not hasattr(builtins, 'poisoned')\nimport colorsys, tabnanny");
    for end in [
        "pass",
        "sys.exit(3)",
        "raise ValueError",
        "os._exit(0)",
        "os.kill(os.getpid(), 9)",
    ] {
        // With an interpreter that has run nothing before.
        let worker = bench.worker().await;
        let replace = format!("{}{end}\n", REPLACE.replace("INPUT", &links));
        let replaced = bench.run(task("reports", &replace)).await;
        let logs = bench.logs(replaced.spec.id).await;
        let process = logs.lines().next().and_then(|line| line.parse().ok());
        let process: u64 = process.unwrap_or_else(|| panic!("{end}: {logs} {replaced:?}"));
        let next = python(&bench, "reports", &look).await;
        assert_eq!(next["found"], json!(["from reports"]), "{end}");
        assert!(next["process"].as_u64() > Some(process), "by the same interpreter");
        worker.stopped().await;
    }
}

/// A worker looks at them when it starts, before any task asks for one.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_environment_runs_outside_the_walls() {
    let place = Place::new();
    let folder = place.virtual_environment("reports", "reporting", "ANSWER = 'from reports'");
    let ran = place.path("ran");
    // What every start of its interpreter runs, and a file of a package in the place of the interpreter.
    let start = Path::new(&folder).join("lib");
    for library in fs::read_dir(start).expect("it is there").flatten() {
        let line = format!("import os; open({ran:?}, 'w')\n");
        fs::write(library.path().join("site-packages/poison.pth"), line).expect("written");
    }
    let program = format!("{folder}/bin/python");
    let real = fs::canonicalize(&program).expect("it is there");
    let instead = format!("#!/bin/sh\ntouch '{ran}'\nexec '{}' \"$@\"\n", real.display());
    fs::remove_file(&program).expect("a link");
    fs::write(&program, instead).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    let environment = [("worker.environments.a.virtual_environment", folder.as_str())];
    for level in ["full", "landlock"] {
        assert_eq!(found(level, &environment).await, Ok(program.clone()));
        assert!(!Path::new(&ran).exists(), "{level}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_left_half_made_is_made_anew() {
    let place = Place::new();
    place.wheels("rows", "ANSWER = 'from etl'");
    let interpreter = told(&place, "off", "rows").await.expect("it can be made");
    let made = place.made().remove(0);
    fs::remove_file(made.join("made")).expect("it was complete");
    fs::write(made.join("venv/left"), "").expect("written");
    assert_eq!(told(&place, "off", "rows").await, Ok(interpreter));
    assert!(made.join("made").exists() && !made.join("venv/left").exists());
}
