//! The deliberate bugs, each found by the simulation within a bounded number of seeds, and by an invariant that says
//! what it broke. One that survives is a hole in the checker.
#![cfg(feature = "mutants")]

use orchestratum_simulation::{Invariant, Mutant, Settings, Subject, explore, swarm};

/// Most die within a hundred seeds; the rare ones need a crash, a stall and a race in one schedule.
const SEEDS: u64 = 300_000;

fn killer(mutant: Mutant) -> Invariant {
    let settings = Settings {
        subject: if mutant.is_of_sagas() {
            Subject::Sagas
        } else {
            Subject::Tasks
        },
        mutant: Some(mutant),
        // What is legal at every step shows only beside a world without faults.
        twice: mutant == Mutant::HandBackUsesRetry,
        ..Settings::SMALL
    };
    // One thread: the first failing seed, and not the first one to be found.
    let summary = swarm(settings, &(0..SEEDS), 1);
    let Some(failure) = summary.failure else {
        panic!("{mutant:?} survives {SEEDS} seeds");
    };
    let violation = failure.violation.expect("a failure has a violation");
    println!("{mutant:?} dies at seed {}: {violation}", failure.seed);
    violation.invariant
}

macro_rules! killed {
    ($($test:ident: $mutant:ident by $($invariant:ident)|+;)+) => {
        $(
            #[test]
            fn $test() {
                let killer = killer(Mutant::$mutant);
                assert!([$(Invariant::$invariant),+].contains(&killer), "killed by {killer}");
            }
        )+

        #[test]
        fn every_mutant_has_its_test() {
            let tested = [$(Mutant::$mutant),+];
            let untested: Vec<_> = Mutant::ALL.iter().filter(|mutant| !tested.contains(mutant)).collect();
            assert!(untested.is_empty(), "{untested:?}");
        }
    };
}

killed! {
    a_report_without_a_fence_leaves_a_trace: ReportWithoutFence by OldFenceLeavesNoTrace;
    a_rescue_without_a_fence_takes_from_the_living: RescueWithoutFence by AttemptsDoNotOverlap;
    a_terminal_state_that_can_be_overwritten_is_not_final: TerminalOverwritable by TerminalIsFinal;
    a_cancelled_attempt_is_never_retried: CancelledAttemptRetried by RowIsFoldOfAttempts;
    a_retry_uses_its_budget: RetryBudgetForgotten by RowIsFoldOfAttempts;
    a_claim_moves_the_fence: ClaimKeepsFence by AttemptsAreGaplessAndBounded;
    nothing_is_claimed_before_it_is_due: ClaimBeforeDue by NothingStartsEarly;
    a_worker_that_renewed_meanwhile_is_not_marked_dead: DeathMarkByIdOnly by AttemptsDoNotOverlap;
    a_wall_clock_gives_leases_that_never_end: WorkerClockForLeases by DeadWorkerIsNoticed | EverythingEnds;
    a_dead_worker_stays_dead: RenewalResurrects by AttemptsDoNotOverlap | RowKeepsItsMessage;
    a_worker_that_cannot_renew_stops_itself: NoSelfFencing by AttemptsDoNotOverlap;
    a_retry_waits_for_the_kill: RetryReleasedBeforeKill by AttemptsDoNotOverlap;
    a_key_is_checked_and_written_in_one_statement: KeyCheckedThenInserted by OneResourcePerKey;
    an_unknown_create_is_repeated_under_its_own_id: BlindRepeatOfCreate by UnknownCreateAtMostOnce;
    the_feeder_reads_by_rows_and_not_by_a_cursor: OutboxByCursor by DueRowIsPublished;
    a_message_follows_the_commit: PublishBeforeCommit by MessageNamesCommittedRow;
    an_idle_worker_needs_no_message: NoTopUp by DueWorkIsClaimed;
    what_an_unknown_claim_took_is_handed_back: NoHandBack by EverythingEnds;
    the_guard_of_a_claim_stands_before_its_delete: GuardAfterDelete by OneDispatchPerPendingTask;
    a_patch_moves_the_hand_off_row: PatchForgetsDispatch by OneDispatchPerPendingTask;
    nothing_is_handed_back_while_its_answer_is_on_its_way: HandBackWithoutSecondLook by AttemptsDoNotOverlap;
    a_late_renewal_takes_nothing_back: LateRenewalShortensLease by AttemptsDoNotOverlap;
    a_message_is_acknowledged_after_its_claim: AckBeforeClaim by RowKeepsItsMessage;
    an_unknown_claim_uses_no_retry: HandBackUsesRetry by FaultsChangeNoOutcome;
    what_was_done_is_undone_newest_first: OldestUndoneFirst by UndoneNewestFirst;
    what_is_live_ends_before_anything_is_undone: UndoneBesideLiveTasks by UndoneNewestFirst;
    a_forward_task_that_ends_after_its_compensation_is_refused: LateEndTaken by UndoneNewestFirst;
    a_step_of_unknown_outcome_is_undone: DoubtNotUndone by UndoneNewestFirst;
    a_timer_of_a_state_that_was_left_is_refused: TimerOfOtherEntryTaken by EventIsTakenOnceOrRefused;
    a_join_fires_once: JoinedTwice by JoinFiresOnce;
    an_end_waits_for_what_is_live: EndsWithLiveTasks by NothingOutlivesItsSaga;
    a_task_that_is_issued_once_more_keeps_what_undoes_it: UndoForgottenWithParked by UndoneNewestFirst;
    what_was_taken_is_written_with_its_saga: TakenIsWrittenAfterwards by SagaIsFoldOfEvents | EventIsTakenOnceOrRefused;
    the_end_of_a_task_is_written_with_it: EndIsWrittenAfterwards by EverythingEnds | UndoneNewestFirst;
    a_parent_is_told_with_the_end_of_its_child: ParentIsToldAfterwards by EverythingEnds;
    tasks_are_made_with_the_step_that_issues_them: TasksAreMadeAfterwards by WhatIsIssuedExistsOnce;
    an_event_is_taken_once: EventIdsAreForgotten by EventIsTakenOnceOrRefused;
    a_timer_fires_once: TimersFireAgain by EventIsTakenOnceOrRefused | NothingOutlivesItsSaga;
    the_timers_of_a_saga_end_with_it: TimersOutliveTheirSaga by NothingOutlivesItsSaga;
    two_looks_at_a_saga_wait_for_each_other: LooksLockNothing
        by SagaIsFoldOfEvents | EventIsTakenOnceOrRefused | UndoneNewestFirst;
    a_worker_goes_on_with_what_its_lane_serves: LanesAreNotAsked by GoesOnAsByAClaim;
    nobody_goes_on_where_a_target_is_paused_or_has_a_rate: ClosedTargetsAreNotAsked by GoesOnAsByAClaim;
    nobody_goes_on_without_a_lease: LeasesAreNotAsked by GoesOnAsByAClaim;
    of_many_that_offer_one_goes_on: AllThatOfferAreGivenTheSame by AttemptsDoNotOverlap | GoesOnAsByAClaim;
    what_a_worker_goes_on_with_has_no_dispatch_row: WhatIsGivenWaits by AttemptsDoNotOverlap;
    what_a_worker_went_on_with_and_lost_is_in_doubt: WhatIsGivenLeavesNoDoubt by UndoneNewestFirst;
    what_a_worker_was_given_and_does_not_know_of_is_handed_back: WhatWasGivenIsNeverHandedBack by DeadWorkerIsNoticed;
    what_a_process_left_is_looked_at: NobodyLooksAtWhatWasLeft by EverythingEnds | EventIsTakenOnceOrRefused;
}

#[test]
fn the_exhaustive_corner_finds_what_is_wrong_with_a_fence() {
    for mutant in [
        Mutant::ReportWithoutFence,
        Mutant::TerminalOverwritable,
        Mutant::CancelledAttemptRetried,
        Mutant::ClaimBeforeDue,
    ] {
        let (violation, path) = explore(9, Some(mutant)).violation.expect("it is found");
        println!("{mutant:?} dies after {path:?}: {violation}");
    }
}
