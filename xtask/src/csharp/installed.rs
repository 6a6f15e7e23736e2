//! An SDK that this machine has already. The worker looks in the same places (`worker/src/dotnet.rs`), and by the same rule:
//! they have the same examples of it. To take it from there, this package would have to wait for the worker to be built.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::packages::on_search_path;

/// The first that the worker's own programs compile with.
pub(super) const OLDEST_MAJOR: u32 = 8;

/// Where packages and people put it.
const USUAL_FOLDERS: [&str; 3] = ["/usr/share/dotnet", "/usr/lib/dotnet", "/usr/local/share/dotnet"];

pub(super) fn find() -> Option<PathBuf> {
    let variable = env::var_os("DOTNET_ROOT").map(PathBuf::from);
    let program = on_search_path("dotnet")
        .and_then(|folder| Some(folder.join("dotnet").canonicalize().ok()?.parent()?.to_owned()));
    variable
        .into_iter()
        .chain(program)
        .chain(USUAL_FOLDERS.map(PathBuf::from))
        .find(|folder| is_usable(folder))
}

/// Whether the folder has a `dotnet`, a compiler that is new enough, and a runtime for what it makes.
pub(super) fn is_usable(folder: &Path) -> bool {
    newest(folder).is_some()
}

/// The newest SDK with a compiler, and the newest runtime for it.
fn newest(folder: &Path) -> Option<(Version, Version)> {
    let folder = folder.canonicalize().ok()?;
    // The worker shows nobody a whole machine because somebody put a runtime at its root.
    if folder.parent().is_none() || !folder.join("dotnet").is_file() {
        return None;
    }
    let compiler = |sdk: &str| folder.join("sdk").join(sdk).join("Roslyn/bincore/csc.dll");
    let sdk = versions(&folder.join("sdk"))
        .into_iter()
        .rfind(|version| compiler(&version.name).is_file())?;
    let runtime = versions(&folder.join("shared/Microsoft.NETCore.App"))
        .into_iter()
        .rfind(|version| version.major() == sdk.major())?;
    (sdk.major() >= OLDEST_MAJOR).then_some((sdk, runtime))
}

/// A folder that is called like a version.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    numbers: [u32; 3],
    name: String,
}

impl Version {
    /// Those of previews are none.
    fn parse(name: String) -> Option<Self> {
        let parts: Vec<u32> = name.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let numbers = parts.try_into().ok()?;
        Some(Self { numbers, name })
    }

    fn major(&self) -> u32 {
        self.numbers[0]
    }
}

/// The oldest first.
fn versions(folder: &Path) -> Vec<Version> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut versions: Vec<Version> = entries
        .filter_map(|entry| Version::parse(entry.file_name().into_string().ok()?))
        .collect();
    versions.sort();
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gone when this is dropped.
    struct Folder(PathBuf);

    impl Folder {
        fn with(number: usize, files: &[&str]) -> Self {
            let root = env::temp_dir().join(format!("orchestratum-xtask-sdk-{number}-{}", std::process::id()));
            for file in files {
                let path = root.join(file);
                fs::create_dir_all(path.parent().expect("it is below the root")).expect("made");
                fs::write(path, "").expect("written");
            }
            Self(root)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// The worker has the same examples.
    #[test]
    fn the_newest_sdk_with_a_compiler_is_taken_with_the_newest_runtime_it_can_use() {
        let examples = include_str!("../../../crates/worker/csharp/installations.json");
        let examples: serde_json::Value = serde_json::from_str(examples).expect("valid");
        for (number, example) in examples.as_array().expect("a list").iter().enumerate() {
            let files = example["files"].as_array().expect("a list").iter();
            let files: Vec<&str> = files.map(|file| file.as_str().expect("a path")).collect();
            let folder = Folder::with(number, &files);
            let found = match newest(&folder.0) {
                Some((sdk, runtime)) => serde_json::json!({"sdk": sdk.name, "runtime": runtime.name}),
                None => serde_json::Value::Null,
            };
            assert_eq!(found, example["found"], "{}", example["name"]);
        }
        assert!(!is_usable(Path::new("/no/such/folder")));
    }

    #[test]
    fn a_version_with_more_digits_is_newer() {
        let parsed = |name: &str| Version::parse(name.to_owned());
        assert!(parsed("10.0.9") > parsed("9.0.300") && parsed("9.0.100") > parsed("9.0.20"));
        assert_eq!((parsed("9.0"), parsed("NuGetFallbackFolder")), (None, None));
    }
}
