//! Installing packages of the machine's distribution, where that is allowed.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process;

/// How packages may be installed here.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Installer {
    AsRoot,
    BySudo,
    Forbidden { why: &'static str },
}

impl Installer {
    pub(crate) fn of_this_machine() -> Result<Self> {
        if on_search_path("apt-get").is_none() {
            return Ok(Self::Forbidden {
                why: "there is no apt-get",
            });
        }
        if are_we_root()? {
            return Ok(Self::AsRoot);
        }
        if process::succeeds(Command::new("sudo").args(["-n", "true"])) {
            return Ok(Self::BySudo);
        }
        Ok(Self::Forbidden {
            why: "this user is not root and may not use sudo without a password",
        })
    }

    pub(crate) fn install(self, packages: &[&str]) -> Result<()> {
        let mut shell = match self {
            Self::AsRoot => Command::new("sh"),
            Self::BySudo => {
                let mut sudo = Command::new("sudo");
                sudo.args(["-n", "sh"]);
                sudo
            }
            Self::Forbidden { why } => anyhow::bail!("cannot install {}: {why}", packages.join(", ")),
        };
        eprintln!("installing {}", packages.join(", "));
        process::run(shell.args(["-euc", SCRIPT, "install"]).args(packages))
    }
}

/// A package must not start a server of its own on the standard port: `policy-rc.d` forbids it while we install, unless
/// the machine has such a policy already. Another installation under way is waited for. A failed refresh of the lists is
/// no reason to stop: the old ones may do.
const SCRIPT: &str = r#"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -qq -o DPkg::Lock::Timeout=300 update </dev/null >&2 || true
apt-get -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 install -y --no-install-recommends "$@" </dev/null >&2
"#;

pub(crate) fn are_we_root() -> Result<bool> {
    Ok(process::read(Command::new("id").arg("-u"))?.trim() == "0")
}

/// The folder that holds the program.
pub(crate) fn on_search_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|directory| directory.join(program).is_file())
}
