//! Whose rights a server runs with: neither PostgreSQL nor RabbitMQ should run as root.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::packages::are_we_root;

/// The account of a server where we are root; nothing to change where we are not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account(Option<Ids>);

#[derive(Clone, Copy, Debug)]
struct Ids {
    user: u32,
    group: u32,
}

impl Account {
    pub(super) fn of_server(name: &str) -> Result<Self> {
        if !are_we_root()? {
            return Ok(Self(None));
        }
        let accounts = std::fs::read_to_string("/etc/passwd").context("cannot read the accounts of this machine")?;
        let ids = find(&accounts, name)
            .with_context(|| format!("root must not run this server, and the account `{name}` does not exist"))?;
        Ok(Self(Some(ids)))
    }

    /// Gives the folder itself (it is still empty) to the account.
    pub(super) fn own(self, directory: &Path) -> Result<()> {
        if let Self(Some(ids)) = self {
            std::os::unix::fs::chown(directory, Some(ids.user), Some(ids.group))
                .with_context(|| format!("cannot hand {} over", directory.display()))?;
        }
        Ok(())
    }

    pub(super) fn apply(self, command: &mut Command) -> &mut Command {
        if let Self(Some(ids)) = self {
            command.uid(ids.user).gid(ids.group);
        }
        command
    }
}

fn find(accounts: &str, name: &str) -> Option<Ids> {
    let mut fields = accounts
        .lines()
        .find(|line| line.split(':').next() == Some(name))?
        .split(':')
        .skip(2);
    Some(Ids {
        user: fields.next()?.parse().ok()?,
        group: fields.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let accounts = "postgresql:x:1:1::/:/bin/sh\npostgres:x:114:120:PostgreSQL:/var/lib/postgresql:/bin/bash\n";
        let ids = find(accounts, "postgres").expect("it is there");
        assert_eq!((ids.user, ids.group), (114, 120));
        assert!(find(accounts, "rabbitmq").is_none());
    }
}
