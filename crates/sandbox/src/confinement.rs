//! What a program may see and reach beside its own memory.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How well a program is kept apart from the machine it runs on. Ordered: a later one is at least as good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// An ordinary process: it ends when it must, but it may see and do what its user may.
    #[default]
    Off,
    /// Of the machine's files it may read those of the system and write none; it has no sockets, and only the system calls
    /// that interpreters need. It sees the other processes of its user.
    Landlock,
    /// Also a user, processes, files and network of its own: nothing of the machine but a read-only system.
    Full,
}

impl Isolation {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Landlock => "landlock",
            Self::Full => "full",
        }
    }
}

/// The walls around programs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    pub isolation: Isolation,
    /// Files and folders they may read and execute beside those of the system, such as an interpreter of one's own.
    pub readable: Vec<PathBuf>,
    /// Whether they may use the network of the machine.
    pub network: bool,
    /// Whether the memory of a program is counted together, with what the kernel holds for it. Where it is not, they may not
    /// make what would be as much as there is, whatever their limits: files that are in memory and in no folder
    /// (`memfd_create(2)`), sockets with large buffers, and sockets and pipes that hold memory of others.
    pub memory_is_counted: bool,
}

impl Confinement {
    pub(crate) fn with_network(&self, network: bool) -> Self {
        Self {
            network,
            ..self.clone()
        }
    }
}
