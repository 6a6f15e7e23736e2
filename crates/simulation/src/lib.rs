//! A seeded simulation of the protocol of tasks and of sagas in virtual time; never shipped.
//!
//! ```text
//!   seed ──► swarm: which faults, how often; which calls, when; how many workers
//!                │
//!                ▼            statements, each lost, late or unanswered by chance
//!   clients ────────────┐   ┌──────────────────────────────────────────────┐
//!   workers  own clocks │   │ database: tasks, dispatches, attempts,       │
//!            leases     ├──►│           workers, idempotency keys          │──► check: after each write,
//!            processes  │   │   each statement asks core's `transition`    │    the touched task only
//!   sweepers read, and ─┤   └──────────────────────────────────────────────┘
//!      write much later │                    │ rows that are due
//!   feeder ─────────────┘                    ▼
//!      ▲                              broker: drops, doubles, delays, reorders, purges
//!      └──── depth ─────────────────────────┴──── messages are hints ────► workers
//!   nemesis: SIGKILL, SIGSTOP, partitions, drains, outages ──► until it heals, and then everything must end
//! ```
//!
//! **What is real and what is a model.** The rules are real: each statement goes through
//! [`orchestratum_core::task::transition`], like the stores do. Everything around it is a model of the protocol that the
//! other crates implement: guards, hand-off rows, leases, self-fencing, hand-back, the claim's top-up, the feeder. What
//! holds here holds for the product as far as its statements are these; the conformance suite of the stores and the
//! tests with real processes close that gap from the other side.
//!
//! **Time is virtual and single-threaded.** A heap holds what happens next; what happens at one instant happens in an
//! order drawn by the seed. Nothing reads a clock, nothing iterates a hash map, all chance comes from one generator: a
//! seed *is* a schedule. Threads only divide the seeds. Pulses of the loops that could find nothing are not simulated,
//! which changes no outcome and makes a schedule ten times shorter.
//!
//! **A statement is atomic; its fate is not.** It can get lost before it arrives, apply with its answer lost, or apply
//! after its caller gave up. A sweeper reads at one time and writes at another, up to 40 s later, each write under a
//! guard of its own. A stopped worker (SIGSTOP) keeps its children and finds, when it goes on, every timer and answer
//! of the pause at once.
//!
//! **What is checked when.** Safety after every write, by a second reading of the rules that knows nothing of
//! `transition` ([`Invariant`] lists them). What only the world sees (two processes of one task, a worker declared dead
//! while it works) at the moment it would happen. Bounds on time in the seeds that leave the database alone. And after
//! the last fault: everything ends. Processes of a worker that was stopped, or whose deadline a client moved, are exempt
//! from the promises that no worker could keep for them; their *reports* never are.
//!
//! **Who checks the checker.** [`Mutant`] lists deliberate bugs, in `transition` (feature `mutants` of core) and in the
//! protocol; a test for each shows that it is found, and by which invariant. [`Coverage`] shows that every legal pair of
//! status and event happened, and nearly every illegal one was tried. "Mark a message sent before it is confirmed" is not
//! among the mutants: the product does just that. `publish_at` is a lease of half a minute and no mark, so a message that
//! never arrived is sent again, by the feeder when the lease is over or its queue is empty, and a top-up needs none.
//!
//! **What a fault may change.** When something happens, and how many attempts it takes; never how a task ends. Seeds run
//! twice (`Settings::twice`), with every fault and without one, show it where it can be said at all: where no deadline,
//! no timeout, no call of a client and no limit of losses makes the outcome a matter of time, and the end of an attempt
//! is a function of the seed, the task and the retries that are left (I20).
//!
//! What the simulation has taught, and the model therefore does:
//! - A registration of unknown outcome is repeated under a *new* worker id: the lease of the first try began then.
//! - A renewal sets the *greater* of the old and the new lease: one that was long on its way must not shorten it.
//! - A worker fences itself a fifth of a lease before the end of what it *had left when it was given* (the lease it wrote
//!   minus the database's time in the answer), not of a whole one: with a slow sample and a slow clock it was shorter.
//! - An answer that comes after its deadline is no answer, even if it is there when the worker wakes from a pause: as a
//!   sample it would set the clock back, and the next lease with it; as a claim it would start what is somebody else's.
//! - A worker compares with its fence time when it starts an attempt, not with whether the alarm has rung; and an
//!   attempt whose deadline has passed is reported, not started.
//! - Nothing is handed back while a claim is in flight, and a renewal that was sent before a claim was answered says
//!   nothing about what that claim took.
//! - The grace between TERM and KILL of a timeout, a cancel or a drain is cut short by the time-to-live.
//! - Alarms for deadlines are set anew with every sample of the database's time.
//!
//! **Sagas** have a world of their own (`sagas`), over the decisions of the store and rows in memory: their processes die between
//! reading and writing, and between a commit and what follows it.
//!
//! Start at `world` for the actors, at `database::statements` for the protocol, at `database::check` for the rules;
//! `corner` searches a small world exhaustively. The command is `simulate`.

mod chance;
mod corner;
mod coverage;
mod database;
mod invariant;
mod limits;
mod mutant;
mod runner;
mod sagas;
mod swarm;
mod trace;
mod world;

pub use corner::{Explored, explore};
pub use coverage::{Coverage, EventKind, Marker, SagaMarker, is_legal};
pub use invariant::{Invariant, Violation};
pub use mutant::Mutant;
pub use runner::{Settings, Subject, Summary, explain, swarm};
pub use sagas::{GENERATED, SHIPPED, generated};
pub use swarm::Size;
pub use world::Outcome;
