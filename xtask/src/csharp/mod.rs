//! What the tests of C# compile and run with: the folder of a `dotnet` with an SDK.
//!
//! ```text
//! CSHARP_RUNTIME is set ────► that one
//! this machine has an SDK ──► that one
//! neither ──────────────────► a runtime and a compiler, put together from packages, once, in the build folder
//! ```

mod bootstrap;
mod installed;

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// What the tests read.
pub(crate) const VARIABLE: &str = "CSHARP_RUNTIME";

pub(crate) fn provide(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(given) = env::var_os(VARIABLE).filter(|given| !given.is_empty()) {
        // Tests run in folders of their own.
        let given = std::path::absolute(given)?;
        if !installed::is_usable(&given) {
            bail!(
                "{VARIABLE} is {}, which is not the folder of a `dotnet` with an SDK of version {} or newer",
                given.display(),
                installed::OLDEST_MAJOR
            );
        }
        return Ok(given);
    }
    if let Some(installed) = installed::find() {
        return Ok(installed);
    }
    bootstrap::provide(&workspace.target()).with_context(|| {
        format!(
            "there is no runtime of C# for the tests, and none can be made: install a .NET SDK, version {} or newer, or set \
             {VARIABLE} to the folder of one",
            installed::OLDEST_MAJOR
        )
    })
}
