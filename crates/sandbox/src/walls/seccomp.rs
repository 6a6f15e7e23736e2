//! Which system calls a program may make.
//!
//! An allow-list: what is not on it does not exist (`ENOSYS`), so that programs fall back to what does. Another filter says
//! `EPERM` to what is refused on purpose, which programs and people understand better, and one says that it was done to what
//! is so already. Of several filters the strictest answer counts, and of equally strict ones that of the latest (`seccomp(2)`).

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use nix::sys::resource::Resource;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use super::calls::{ALLOWED, ALLOWED_OF_OLD, REFUSED};
use super::landlock::Scope;
use crate::{Confinement, Isolation};

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Applies to this process and all it starts, for good.
pub(crate) fn restrict(confinement: &Confinement, scope: Scope) -> io::Result<()> {
    for filter in [answered()?, allowed(confinement)?, refused(confinement, scope)?] {
        apply_filter(&filter).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Core dumps are off by a limit that is not the lowest. A program that turns them off itself would turn them on.
fn answered() -> io::Result<BpfProgram> {
    let core = Resource::RLIMIT_CORE as u64;
    let is_set = Check::wide(2, SeccompCmpOp::Ne, 0);
    let rules = Rules::from([
        (
            libc::SYS_setrlimit,
            vec![rule(&[Check::narrow(0, SeccompCmpOp::Eq, core)])?],
        ),
        (
            libc::SYS_prlimit64,
            vec![rule(&[Check::narrow(1, SeccompCmpOp::Eq, core), is_set])?],
        ),
    ]);
    compile(rules, SeccompAction::Errno(0), SeccompAction::Allow)
}

fn allowed(confinement: &Confinement) -> io::Result<BpfProgram> {
    let mut rules: Rules = ALLOWED
        .iter()
        .chain(ALLOWED_OF_OLD)
        .map(|call| (*call, Vec::new()))
        .collect();
    if confinement.files_in_memory {
        rules.insert(libc::SYS_memfd_create, Vec::new());
    }
    // In a user namespace of its own a program would have all capabilities, and most ways out of a sandbox began there.
    // `clone3` hides its flags behind a pointer and so does not exist; the C library falls back to this one.
    let no_new_namespace = Check::wide(0, SeccompCmpOp::MaskedEq(FORBIDDEN_FLAGS), 0);
    rules.insert(libc::SYS_clone, vec![rule(&[no_new_namespace])?]);
    compile(rules, SeccompAction::Allow, SeccompAction::Errno(errno(libc::ENOSYS)))
}

/// The flags of `clone(2)` that make a namespace, and the one that would give a child to whoever keeps the program.
const FORBIDDEN_FLAGS: u64 = {
    const TIME: i32 = 0x80;
    let flags = TIME
        | libc::CLONE_PARENT
        | libc::CLONE_NEWCGROUP
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWUSER
        | libc::CLONE_NEWUTS;
    flags.cast_unsigned() as u64
};

fn refused(confinement: &Confinement, scope: Scope) -> io::Result<BpfProgram> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let other_families: Vec<Check> = families(confinement, scope)
        .iter()
        .map(|family| Check::narrow(0, SeccompCmpOp::Ne, u64::from(family.cast_unsigned())))
        .collect();
    let sockets = if other_families.is_empty() {
        Vec::new()
    } else {
        vec![rule(&other_families)?]
    };
    rules.insert(libc::SYS_socket, sockets);
    // A pair of another family would load the module of that family into the kernel.
    let family = Check::narrow(0, SeccompCmpOp::Ne, u64::from(libc::AF_UNIX.cast_unsigned()));
    let mut pairs = vec![rule(&[family])?];
    if confinement.isolation < Isolation::Full {
        // One end of such a pair can send to a path of the machine.
        for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
            let kind = u64::from(kind.cast_unsigned());
            pairs.push(rule(&[Check::wide(1, SeccompCmpOp::MaskedEq(0xf), kind)])?);
        }
        // It has the user of the worker, whose processes it could cripple. It may set its own, which are number 0.
        for (call, argument) in [
            (libc::SYS_prlimit64, 0),
            (libc::SYS_sched_setaffinity, 0),
            (libc::SYS_setpriority, 1),
        ] {
            rules.insert(call, vec![rule(&[Check::narrow(argument, SeccompCmpOp::Ne, 0)])?]);
        }
    } else {
        // Process 1 has the same user: with limits of a program's choice it would fail the next one.
        let keeper = Check::narrow(0, SeccompCmpOp::Eq, 1);
        rules.insert(libc::SYS_prlimit64, vec![rule(&[keeper])?]);
    }
    rules.insert(libc::SYS_socketpair, pairs);
    // Typing into the terminal of whoever started the worker.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX]
        .into_iter()
        .map(|request| rule(&[Check::narrow(1, SeccompCmpOp::Eq, request)]))
        .collect::<io::Result<_>>()?;
    rules.insert(libc::SYS_ioctl, typing);
    compile(rules, SeccompAction::Errno(errno(libc::EPERM)), SeccompAction::Allow)
}

/// The sockets a program may make. Pairs within one program (`socketpair(2)`) are always possible.
fn families(confinement: &Confinement, scope: Scope) -> &'static [i32] {
    match (confinement.isolation, confinement.network) {
        // They lead nowhere but to itself.
        (Isolation::Full, false) => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
        (Isolation::Full, true) if scope == Scope::Kept => {
            &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK]
        }
        // Landlock does not guard the paths of Unix sockets, such as that of a container engine; and abstract ones, which are of
        // the network, only where it has scopes.
        (_, true) => &[libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
        (Isolation::Landlock | Isolation::Off, false) => &[],
    }
}

/// A condition on an argument.
struct Check {
    argument: u8,
    width: SeccompCmpArgLen,
    operator: SeccompCmpOp,
    value: u64,
}

impl Check {
    /// The kernel takes only the lower half of the argument.
    const fn narrow(argument: u8, operator: SeccompCmpOp, value: u64) -> Self {
        Self {
            argument,
            width: SeccompCmpArgLen::Dword,
            operator,
            value,
        }
    }

    const fn wide(argument: u8, operator: SeccompCmpOp, value: u64) -> Self {
        Self {
            argument,
            width: SeccompCmpArgLen::Qword,
            operator,
            value,
        }
    }
}

/// All of them must hold.
fn rule(checks: &[Check]) -> io::Result<SeccompRule> {
    let conditions = checks
        .iter()
        .map(|check| SeccompCondition::new(check.argument, check.width.clone(), check.operator.clone(), check.value))
        .collect::<Result<_, _>>()
        .map_err(io::Error::other)?;
    SeccompRule::new(conditions).map_err(io::Error::other)
}

fn compile(rules: Rules, listed: SeccompAction, otherwise: SeccompAction) -> io::Result<BpfProgram> {
    let architecture = std::env::consts::ARCH.try_into().map_err(io::Error::other)?;
    SeccompFilter::new(rules, otherwise, listed, architecture)
        .and_then(TryInto::try_into)
        .map_err(io::Error::other)
}

const fn errno(number: i32) -> u32 {
    number.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_the_network_there_are_no_unix_sockets_where_the_kernel_does_not_keep_them_inside() {
        let confinement = Confinement {
            isolation: Isolation::Full,
            network: true,
            ..Confinement::default()
        };
        assert!(families(&confinement, Scope::Kept).contains(&libc::AF_UNIX));
        assert!(!families(&confinement, Scope::Unknown).contains(&libc::AF_UNIX));
        let without = Confinement {
            network: false,
            ..confinement
        };
        assert!(
            families(&without, Scope::Unknown).contains(&libc::AF_UNIX),
            "they are its own"
        );
    }
}
