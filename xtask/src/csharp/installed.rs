//! An SDK that this machine has already. The worker looks in the same places, and by the same rules.

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
    let compiler = |sdk: &str| folder.join("sdk").join(sdk).join("Roslyn/bincore/csc.dll");
    let newest = versions(&folder.join("sdk"))
        .into_iter()
        .rfind(|version| compiler(&version.name).is_file());
    let runtimes = versions(&folder.join("shared/Microsoft.NETCore.App"));
    folder.join("dotnet").is_file()
        && newest.is_some_and(|sdk| {
            sdk.major() >= OLDEST_MAJOR && runtimes.iter().any(|runtime| runtime.major() == sdk.major())
        })
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
        fn with(name: &str, files: &[&str]) -> Self {
            let root = env::temp_dir().join(format!("orchestratum-xtask-{name}-{}", std::process::id()));
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

    #[test]
    fn a_folder_is_usable_if_its_newest_compiler_has_a_runtime() {
        let compiler = "sdk/10.0.100/Roslyn/bincore/csc.dll";
        let older = "sdk/9.0.300/Roslyn/bincore/csc.dll";
        let runtime = "shared/Microsoft.NETCore.App/10.0.0/System.Runtime.dll";
        for (name, files, usable) in [
            ("whole", vec!["dotnet", compiler, older, runtime], true),
            ("no-program", vec![compiler, runtime], false),
            ("no-compiler", vec!["dotnet", "sdk/10.0.100/dotnet.dll", runtime], false),
            ("no-runtime", vec!["dotnet", older, runtime], false),
            (
                "preview",
                vec!["dotnet", "sdk/10.0.100-rc.1/Roslyn/bincore/csc.dll", runtime],
                false,
            ),
            (
                "too-old",
                vec![
                    "dotnet",
                    "sdk/6.0.400/Roslyn/bincore/csc.dll",
                    "shared/Microsoft.NETCore.App/6.0.9/System.Runtime.dll",
                ],
                false,
            ),
        ] {
            let folder = Folder::with(name, &files);
            assert_eq!(is_usable(&folder.0), usable, "{name}");
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
