//! Which system calls a program may make.
//!
//! An allow-list: what is not on it does not exist (`ENOSYS`), so that programs fall back to what does. A second filter
//! says `EPERM` to what is refused on purpose, which programs and people understand better. Of two filters the stricter
//! answer counts, and of two equally strict ones that of the later (`seccomp(2)`).

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use super::calls::{ALLOWED, ALLOWED_OF_OLD, REFUSED};
use crate::{Confinement, Isolation};

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Applies to this process and all it starts, for good.
pub(crate) fn restrict(confinement: &Confinement) -> io::Result<()> {
    for filter in [allowed()?, refused(confinement)?] {
        apply_filter(&filter).map_err(io::Error::other)?;
    }
    Ok(())
}

fn allowed() -> io::Result<BpfProgram> {
    let mut rules: Rules = ALLOWED
        .iter()
        .chain(ALLOWED_OF_OLD)
        .map(|call| (*call, Vec::new()))
        .collect();
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

fn refused(confinement: &Confinement) -> io::Result<BpfProgram> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let other_families: Vec<Check> = families(confinement)
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
fn families(confinement: &Confinement) -> &'static [i32] {
    match (confinement.isolation, confinement.network) {
        (Isolation::Full, true) => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
        // They lead nowhere but to itself.
        (Isolation::Full, false) => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
        // Landlock does not guard the paths of Unix sockets, such as that of a container engine.
        (Isolation::Landlock | Isolation::Off, true) => &[libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
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
