//! Giving all definitions of a folder when a process starts.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use orchestratum_core::saga::{DefinitionName, SOURCE_MAX_BYTES};

use super::Defined;
use super::define::Given;
use crate::{Engine, Error};

/// A folder with more is not the one that was meant.
const FILES_MAX: usize = 1_000;

/// Up to here it is told how large a definition is that is too large.
const FILE_MAX_BYTES: u64 = 16 << 20;

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{} (sagas.definitions_folder) cannot be read", .path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{} (sagas.definitions_folder) has more than {FILES_MAX} definitions", .0.display())]
    TooMany(PathBuf),
    /// Each fault with the file, the line and the column.
    #[error("sagas.definitions_folder has definitions with faults:\n{}", .0.join("\n"))]
    Faulty(Vec<String>),
    #[error("a definition of sagas.definitions_folder cannot be stored")]
    Engine(#[from] Error),
}

impl Engine {
    /// Stores every definition of `sagas.definitions_folder`: all of them, or none where one has a fault. What is the newest version
    /// of its name already stays it.
    ///
    /// # Errors
    /// [`FolderError`] with every fault of every file.
    pub async fn define_folder(&self) -> Result<Vec<Defined>, FolderError> {
        let Some(folder) = self.parts.settings.sagas.definitions_folder.clone() else {
            return Ok(Vec::new());
        };
        let read = tokio::task::spawn_blocking(move || sources(&folder));
        let sources = read.await.map_err(|_| Error::Panicked)??;
        let mut defined = Vec::with_capacity(sources.len());
        let (paths, mut given) = self.checked(sources).await?;
        self.warn_of_missing(&mut given).await?;
        for (path, Given { new, warnings, .. }) in paths.into_iter().zip(given) {
            let one = self.store_definition(new, warnings, None).await?;
            for warning in &one.warnings.0 {
                tracing::warn!(saga.definition = %one.name, "{}", placed(&path, &warning.to_string()));
            }
            defined.push(one);
        }
        Ok(defined)
    }

    async fn checked(&self, sources: Vec<(PathBuf, String)>) -> Result<(Vec<PathBuf>, Vec<Given>), FolderError> {
        let (mut paths, mut definitions, mut faults) = (Vec::new(), Vec::new(), Vec::new());
        let mut files: BTreeMap<DefinitionName, PathBuf> = BTreeMap::new();
        for (path, source) in sources {
            match self.checked_aside(source).await? {
                Ok(given) => {
                    let name = &given.new.name;
                    if let Some(other) = files.insert(name.clone(), path.clone()) {
                        let message = format!("{} has a definition of the name {name}, too", other.display());
                        faults.push(placed(&path, &message));
                    }
                    paths.push(path);
                    definitions.push(given);
                }
                Err(found) => faults.extend(found.0.iter().map(|fault| placed(&path, &fault.to_string()))),
            }
        }
        if faults.is_empty() {
            Ok((paths, definitions))
        } else {
            Err(FolderError::Faulty(faults))
        }
    }
}

fn placed(path: &Path, message: &str) -> String {
    format!("{}: {message}", path.display())
}

/// The texts of the definitions, in the order of their names. Folders below it are nobody's.
fn sources(folder: &Path) -> Result<Vec<(PathBuf, String)>, FolderError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |cause| FolderError::Unreadable { path, cause }
    };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        let ending = path.extension().and_then(|ending| ending.to_str());
        if ending.is_some_and(|ending| ENDINGS.contains(&ending)) && path.is_file() {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            return Err(FolderError::TooMany(folder.to_owned()));
        }
    }
    paths.sort();
    let read = |path: PathBuf| {
        let source = text(&path).map_err(unreadable(&path))?;
        Ok((path, source))
    };
    paths.into_iter().map(read).collect()
}

/// A file that is far too large for a definition is not read at all.
fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_MAX_BYTES + 1).read_to_string(&mut text)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > FILE_MAX_BYTES {
        let message = format!("a definition must not be larger than {SOURCE_MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}
