//! Which system calls a program may make.
//!
//! An allow-list: what is not on it does not exist (`ENOSYS`), so that programs fall back to what does. Another filter says
//! `EPERM` to what is refused on purpose, which programs and people understand better, and one says that it was done to what
//! is so already, or is no more than a wish. Of several filters the strictest answer counts, and of equally strict ones that
//! of the latest (`seccomp(2)`).

use std::collections::BTreeMap;
use std::io;

use libc::c_long;
use nix::sys::resource::Resource;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

use super::calls::{
    ABSENT_BELOW_FULL, ALLOWED, ALLOWED_OF_OLD, ALLOWED_WHERE_MEMORY_IS_COUNTED, ASKED_FOR, REFUSED, REFUSED_BELOW_FULL,
};
use super::landlock::Guards;
use crate::{Confinement, Isolation};

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

/// Applies to this process and all it starts, for good. `asks`: whether somebody answers it the calls of [`ASKED_FOR`].
pub(crate) fn restrict(confinement: &Confinement, guards: Guards, asks: bool) -> io::Result<()> {
    for filter in [
        answered(confinement)?,
        allowed(confinement, guards)?,
        refused(confinement, guards, asks)?,
    ] {
        apply_filter(&filter).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Core dumps are off by a limit that is not the lowest. A program that turns them off itself would turn them on.
fn answered(confinement: &Confinement) -> io::Result<BpfProgram> {
    let core = Resource::RLIMIT_CORE as u64;
    let is_set = Check::wide(2, SeccompCmpOp::Ne, 0);
    let mut rules = Rules::from([
        (
            libc::SYS_setrlimit,
            vec![rule(&[Check::narrow(0, SeccompCmpOp::Eq, core)])?],
        ),
        (
            libc::SYS_prlimit64,
            vec![rule(&[Check::narrow(1, SeccompCmpOp::Eq, core), is_set])?],
        ),
    ]);
    if !confinement.memory_is_counted {
        rules.insert(libc::SYS_setsockopt, sizes_of_buffers()?);
    }
    compile(rules, SeccompAction::Errno(0), SeccompAction::Allow)
}

/// How much a socket may hold, which is a wish: the kernel refuses none, grants as much as the machine permits, and says how
/// much that is to who asks (`socket(7)`). So programs expect no error, and some end by one; what is granted here is nothing.
fn sizes_of_buffers() -> io::Result<Vec<SeccompRule>> {
    let sizes = [
        libc::SO_SNDBUF,
        libc::SO_RCVBUF,
        // They take a capability, and programs have none; but each wall is one by itself.
        libc::SO_SNDBUFFORCE,
        libc::SO_RCVBUFFORCE,
    ];
    let rules = sizes
        .into_iter()
        .map(|size| rule(&[Check::is(1, libc::SOL_SOCKET), Check::is(2, size)]));
    rules.collect()
}

fn allowed(confinement: &Confinement, guards: Guards) -> io::Result<BpfProgram> {
    let mut rules: Rules = ALLOWED
        .iter()
        .chain(ALLOWED_OF_OLD)
        .map(|call| (*call, Vec::new()))
        .collect();
    if confinement.memory_is_counted {
        rules.extend(ALLOWED_WHERE_MEMORY_IS_COUNTED.iter().map(|call| (*call, Vec::new())));
    }
    // In a user namespace of its own a program would have all capabilities, and most ways out of a sandbox began there.
    // `clone3` hides its flags behind a pointer and so does not exist; the C library falls back to this one.
    let no_new_namespace = Check::wide(0, SeccompCmpOp::MaskedEq(FORBIDDEN_FLAGS), 0);
    rules.insert(libc::SYS_clone, vec![rule(&[no_new_namespace])?]);
    rules.insert(libc::SYS_socket, sockets()?);
    if confinement.isolation < Isolation::Full {
        for call in ABSENT_BELOW_FULL {
            rules.remove(call);
        }
        if !guards.truncation {
            // It hides its flags behind a pointer, too.
            rules.remove(&libc::SYS_openat2);
        }
    }
    compile(rules, SeccompAction::Allow, SeccompAction::Errno(errno(libc::ENOSYS)))
}

/// The kinds of sockets of the network, with their protocols: another, such as SCTP, would load its module into the kernel.
const INTERNET: [(i32, &[i32]); 2] = [
    (libc::SOCK_STREAM, &[0, libc::IPPROTO_TCP]),
    (
        libc::SOCK_DGRAM,
        &[0, libc::IPPROTO_UDP, libc::IPPROTO_ICMP, libc::IPPROTO_ICMPV6],
    ),
];

/// Those of any family that a program may have; [`families`] says which ones it has.
fn sockets() -> io::Result<Vec<SeccompRule>> {
    let mut rules = vec![
        rule(&[Check::is(0, libc::AF_UNIX)])?,
        // Which addresses and ways there are.
        rule(&[Check::is(0, libc::AF_NETLINK), Check::is(2, libc::NETLINK_ROUTE)])?,
    ];
    for family in [libc::AF_INET, libc::AF_INET6] {
        for (kind, protocols) in INTERNET {
            for protocol in protocols {
                let kind = u64::from(kind.cast_unsigned());
                let kind = Check::wide(1, SeccompCmpOp::MaskedEq(KIND), kind);
                rules.push(rule(&[Check::is(0, family), kind, Check::is(2, *protocol)])?);
            }
        }
    }
    Ok(rules)
}

/// The part of an argument that says the kind of a socket; flags are beside it.
const KIND: u64 = 0xf;

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

fn refused(confinement: &Confinement, guards: Guards, asks: bool) -> io::Result<BpfProgram> {
    let mut rules: Rules = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let other_families: Vec<Check> = families(confinement, guards)
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
    rules.insert(libc::SYS_socketpair, vec![rule(&[family])?]);
    // Of all processes of its user at once, at the lower levels the worker's among them.
    let of_a_user = Check::narrow(0, SeccompCmpOp::Eq, PRIORITY_OF_A_USER);
    rules.insert(libc::SYS_setpriority, vec![rule(&[of_a_user])?]);
    if !confinement.memory_is_counted {
        // Pages as they are once more: those of `MSG_ZEROCOPY`, which no socket takes without this. Programs expect the error,
        // and send copies.
        let zero_copy = rule(&[Check::is(1, libc::SOL_SOCKET), Check::is(2, libc::SO_ZEROCOPY)])?;
        rules.insert(libc::SYS_setsockopt, vec![zero_copy]);
    }
    if confinement.isolation < Isolation::Full {
        refuse_what_the_user_has(&mut rules, guards, asks)?;
    } else {
        // Process 1 has the same user: with limits of a program's choice it would fail the next one.
        let keeper = Check::narrow(0, SeccompCmpOp::Eq, 1);
        rules.insert(libc::SYS_prlimit64, vec![rule(&[keeper])?]);
    }
    // Typing into the terminal of whoever started the worker.
    let typing = [libc::TIOCSTI, libc::TIOCLINUX]
        .into_iter()
        .map(|request| rule(&[Check::narrow(1, SeccompCmpOp::Eq, request)]))
        .collect::<io::Result<_>>()?;
    rules.insert(libc::SYS_ioctl, typing);
    compile(rules, SeccompAction::Errno(errno(libc::EPERM)), SeccompAction::Allow)
}

/// `PRIO_USER`, whose type is not the same with all C libraries.
const PRIORITY_OF_A_USER: u64 = 2;

/// Where the program has the user of the worker, and the machine's files and processes are in reach.
fn refuse_what_the_user_has(rules: &mut Rules, guards: Guards, asks: bool) -> io::Result<()> {
    rules.extend(REFUSED_BELOW_FULL.iter().map(|call| (*call, Vec::new())));
    if asks {
        // Who listens last is asked: a program could answer itself.
        let listens = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        let listens = Check::wide(1, SeccompCmpOp::MaskedEq(listens), listens);
        rules.insert(libc::SYS_seccomp, vec![rule(&[listens])?]);
    } else {
        rules.extend(ASKED_FOR.iter().map(|call| (*call, Vec::new())));
    }
    if !guards.truncation {
        refuse_truncation(rules)?;
    }
    // One end of such a pair can send to a path of the machine.
    for kind in [libc::SOCK_DGRAM, libc::SOCK_RAW] {
        let kind = u64::from(kind.cast_unsigned());
        let kind = rule(&[Check::wide(1, SeccompCmpOp::MaskedEq(KIND), kind)])?;
        rules.entry(libc::SYS_socketpair).or_default().push(kind);
    }
    // The worker's processes could be crippled. It may set its own, which are number 0.
    for (call, argument) in [
        (libc::SYS_prlimit64, 0),
        (libc::SYS_sched_setaffinity, 0),
        (libc::SYS_setpriority, 1),
    ] {
        let other = rule(&[Check::narrow(argument, SeccompCmpOp::Ne, 0)])?;
        rules.entry(call).or_default().push(other);
    }
    Ok(())
}

/// Emptying files that may only be read: by their paths, or by opening them so that nothing is written. Who opens a file to
/// write to it is asked by every version of Landlock.
fn refuse_truncation(rules: &mut Rules) -> io::Result<()> {
    rules.insert(libc::SYS_truncate, Vec::new());
    let opens = [
        #[cfg(target_arch = "x86_64")]
        (libc::SYS_open, 1),
        (libc::SYS_openat, 2),
    ];
    let truncates = flag(libc::O_TRUNC);
    for (call, argument) in opens {
        // To read it, and for neither (`open(2)`).
        let without_writing = [libc::O_RDONLY, libc::O_ACCMODE].map(|way| {
            let mask = SeccompCmpOp::MaskedEq(truncates | flag(libc::O_ACCMODE));
            rule(&[Check::wide(argument, mask, truncates | flag(way))])
        });
        rules.insert(call, without_writing.into_iter().collect::<io::Result<_>>()?);
    }
    Ok(())
}

fn flag(flag: i32) -> u64 {
    u64::from(flag.cast_unsigned())
}

/// The sockets a program may make. Pairs within one program (`socketpair(2)`) are always possible.
fn families(confinement: &Confinement, guards: Guards) -> &'static [i32] {
    match (confinement.isolation, confinement.network) {
        // They lead nowhere but to itself.
        (Isolation::Full, false) => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
        (Isolation::Full, true) if guards.scopes => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK],
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

    /// An `int` of the kernel's that is this one.
    fn is(argument: u8, value: i32) -> Self {
        Self::narrow(argument, SeccompCmpOp::Eq, u64::from(value.cast_unsigned()))
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
    use landlock::ABI;

    use super::*;

    const ALL: [ABI; 6] = [ABI::V1, ABI::V2, ABI::V3, ABI::V4, ABI::V5, ABI::V6];

    #[test]
    fn with_the_network_there_are_no_unix_sockets_where_the_kernel_does_not_keep_them_inside() {
        let confinement = Confinement {
            isolation: Isolation::Full,
            network: true,
            ..Confinement::default()
        };
        let without = Confinement {
            network: false,
            ..confinement.clone()
        };
        for version in ALL {
            let guards = Guards::of(version);
            let kept = families(&confinement, guards).contains(&libc::AF_UNIX);
            assert_eq!(kept, version >= ABI::V6, "{version:?}");
            assert!(families(&without, guards).contains(&libc::AF_UNIX), "they are its own");
        }
    }

    #[test]
    fn what_an_old_kernel_lets_be_emptied_is_refused_as_a_call() {
        for version in ALL {
            let mut rules = Rules::new();
            refuse_what_the_user_has(&mut rules, Guards::of(version), true).expect("they can be written");
            for call in [libc::SYS_truncate, libc::SYS_openat] {
                assert_eq!(rules.contains_key(&call), version < ABI::V3, "{version:?}");
            }
        }
    }

    #[test]
    fn what_nobody_answers_is_refused() {
        for asks in [true, false] {
            let mut rules = Rules::new();
            refuse_what_the_user_has(&mut rules, Guards::of(ABI::V6), asks).expect("they can be written");
            for call in ASKED_FOR {
                assert_eq!(rules.contains_key(call), !asks);
            }
            assert_eq!(rules.contains_key(&libc::SYS_seccomp), asks);
        }
    }

    /// As many instructions as the kernel takes.
    #[test]
    fn the_filters_of_every_kernel_can_be_had() {
        for version in ALL {
            for isolation in [Isolation::Landlock, Isolation::Full] {
                let confinement = Confinement {
                    isolation,
                    ..Confinement::default()
                };
                let guards = Guards::of(version);
                answered(&confinement).expect("it fits");
                allowed(&confinement, guards).expect("it fits");
                refused(&confinement, guards, false).expect("it fits");
            }
        }
    }
}
