//! One suite of behaviour that every store must pass.
//!
//! Each function is a sentence about what a store does, and takes a fresh, migrated store. A backend's file names
//! how it makes one, and [`suite!`] turns each sentence into a test of its own.

pub(crate) mod applying;
pub(crate) mod claiming;
pub(crate) mod creating;
pub(crate) mod data;
pub(crate) mod external;
pub(crate) mod firing;
pub(crate) mod following;
pub(crate) mod group_records;
pub(crate) mod grouping;
pub(crate) mod keys;
pub(crate) mod lab;
pub(crate) mod large_groups;
pub(crate) mod limiting;
pub(crate) mod listing;
pub(crate) mod logs;
pub(crate) mod loops;
pub(crate) mod maintenance;
pub(crate) mod overviews;
pub(crate) mod patching;
pub(crate) mod progress;
pub(crate) mod queues;
pub(crate) mod racing;
pub(crate) mod rating;
pub(crate) mod reporting;
pub(crate) mod saga_budgets;
pub(crate) mod saga_children;
pub(crate) mod saga_definitions;
pub(crate) mod saga_inputs;
pub(crate) mod saga_lab;
pub(crate) mod saga_migrations;
pub(crate) mod saga_records;
pub(crate) mod saga_series;
pub(crate) mod saga_tasks;
pub(crate) mod saga_timers;
pub(crate) mod sagas;
pub(crate) mod scheduling;
pub(crate) mod unifying;
pub(crate) mod workers;

use std::sync::Arc;

use futures::future::BoxFuture;
use orchestratum_store::Store;

/// A store of a test's own, and what must be cleared away after it.
#[async_trait::async_trait]
pub(crate) trait Fixture: Send {
    fn store(&self) -> Arc<dyn Store>;

    /// After the test, with the store closed.
    async fn remove(self: Box<Self>);
}

/// Runs one behaviour and then checks the rules of the data: whatever it did must leave them whole.
///
/// Nothing in it is generic: several hundred tests share what is compiled.
pub(crate) async fn hold(
    fixture: BoxFuture<'static, Box<dyn Fixture>>,
    behaviour: fn(Arc<dyn Store>) -> BoxFuture<'static, ()>,
) {
    let fixture = fixture.await;
    let store = fixture.store();
    behaviour(Arc::clone(&store)).await;
    lab::Lab::new(Arc::clone(&store)).assert_sound().await;
    store.close().await;
    drop(store);
    fixture.remove().await;
}

/// The tests of one backend. `$fixture` is an async function that makes a fresh [`Fixture`].
macro_rules! suite {
    ($fixture:path) => {
        crate::conformance::tests! { $fixture;
            applying: [
                a_change_of_an_unknown_task_is_answered_not_found,
                a_change_against_another_version_is_refused_and_tells_the_current_one,
                a_claim_event_is_the_same_as_a_claim,
                a_pending_task_is_cancelled_at_once,
                cancelling_a_running_task_leaves_it_to_its_worker,
                a_second_cancel_changes_nothing,
                a_pending_task_past_its_deadline_expires,
                a_running_task_past_its_deadline_expires_and_its_attempt_is_recorded,
                a_deadline_that_lies_ahead_is_refused,
                a_lost_worker_uses_a_loss_and_not_a_retry,
                the_last_loss_fails_the_task,
                a_loss_of_another_workers_attempt_is_refused,
                a_name_that_nobody_offers_uses_a_retry_and_waits,
                a_manual_retry_starts_a_new_run_with_everything_renewed,
                a_completed_task_cannot_be_retried,
                every_refusal_names_the_status,
                several_changes_of_one_task_in_a_batch_see_each_other,
                each_change_of_a_batch_stands_alone,
                an_audited_change_is_counted_by_retention
            ],
            claiming: [
                a_claimed_task_is_in_progress_and_has_no_dispatch_row,
                a_claim_gives_the_worker_everything_it_needs,
                every_attempt_is_told_where_its_task_comes_from,
                an_unknown_worker_gets_nothing,
                a_worker_whose_lease_ran_out_gets_nothing,
                a_worker_that_left_gets_nothing,
                a_worker_marked_dead_gets_nothing,
                nothing_is_claimed_from_a_paused_target,
                nothing_is_claimed_before_it_is_due,
                nothing_is_claimed_past_its_deadline,
                nothing_is_claimed_from_another_target,
                nothing_is_claimed_of_another_name,
                higher_priority_goes_first_and_then_the_older_one,
                priority_holds_across_targets,
                priority_holds_across_names_and_behind_a_backlog_of_others,
                fix_19_a_claim_takes_no_more_than_its_limit,
                a_claim_of_named_tasks_alone_leaves_the_others,
                named_tasks_come_first,
                the_guards_hold_for_named_tasks_too,
                a_name_that_comes_twice_is_claimed_once,
                a_claim_with_nothing_to_ask_for_gets_nothing,
                two_workers_at_once_never_get_the_same_task,
                an_attempt_is_a_new_fence_each_time
            ],
            creating: [
                a_task_is_read_as_it_was_created,
                a_task_that_is_due_now_is_ready_and_may_be_announced_by_its_creator,
                a_task_for_later_is_delayed,
                a_repeated_key_with_the_same_body_answers_the_first_tasks,
                a_repeated_key_with_another_body_is_refused,
                the_same_key_in_another_scope_is_another_key,
                a_key_twice_in_one_call_counts_once,
                a_key_whose_answer_was_lost_says_created_again,
                a_repeated_key_and_a_repeated_id_answer_the_first_task,
                a_repeated_call_of_ours_changes_nothing,
                an_id_chosen_by_the_caller_with_the_same_body_exists,
                an_id_chosen_by_the_caller_with_another_body_is_taken,
                an_id_of_ours_is_taken_for_a_caller_that_chooses_it,
                an_id_twice_in_one_request_is_taken,
                the_tasks_of_a_request_stand_or_fall_together,
                requests_of_one_call_stand_or_fall_alone,
                the_key_of_a_refused_request_can_be_used_again,
                concurrent_calls_with_one_key_make_one_task,
                an_empty_call_is_fine
            ],
            data: [
                a_hundred_year_timeout_and_time_to_live_are_kept,
                a_payload_of_ten_thousand_characters_comes_back,
                a_payload_of_a_mebibyte_comes_back,
                quotes_newlines_and_backslashes_come_back,
                unicode_comes_back_everywhere,
                the_bytes_of_a_payload_are_not_reordered,
                a_thousand_tasks_are_stored_in_one_call,
                what_is_absent_stays_absent,
                times_keep_their_microseconds
            ],
            external: [
                an_external_claim_registers_its_worker_once_and_gives_tasks_in_their_order,
                an_external_claim_takes_no_more_than_its_inputs_may_have_together,
                the_same_claim_again_has_the_same_tasks_as_far_as_they_are_held,
                of_two_claims_that_are_the_same_at_once_both_have_the_same_tasks,
                a_paused_target_and_other_names_give_an_external_claim_nothing,
                a_key_has_a_bounded_number_of_external_workers,
                a_heartbeat_extends_the_lease_and_the_life_of_the_worker,
                a_heartbeat_tells_of_a_cancel_and_keeps_what_it_brings,
                a_heartbeat_of_an_attempt_that_is_over_is_refused,
                a_checkpoint_is_for_the_next_attempt_of_the_same_run,
                a_lease_that_ends_is_found_until_its_attempt_is_over_and_is_then_purged,
                a_lease_ends_with_the_timeout_of_its_attempt_however_often_it_beats,
                a_clock_that_is_moved_ends_no_lease_but_by_the_timeout_of_its_attempt,
                who_made_an_attempt_is_known_also_after_its_end,
                a_claim_of_a_deleted_task_holds_no_other_one_with_its_id,
                an_external_worker_that_is_gone_is_forgotten_when_nothing_of_it_runs,
                what_can_be_claimed_is_counted_for_each_offer,
                tasks_of_a_silent_external_worker_are_orphans,
                external_workers_get_no_messages,
                a_target_with_a_rate_gives_an_external_claim_only_its_starts
            ],
            firing: [
                large_tasks_are_made_in_several_passes_and_none_is_lost,
                a_schedule_that_fails_is_put_off_alone_and_says_so,
                slots_that_wait_are_woken_and_nothing_else_is
            ],
            following: [
                a_completed_task_is_followed_in_the_same_commit,
                each_way_a_run_ends_has_follow_ups_of_its_own,
                nothing_follows_an_attempt_that_is_not_the_last,
                another_run_is_followed_once_more,
                a_report_that_comes_twice_is_followed_once,
                a_follow_up_that_cannot_be_made_is_recorded_and_the_others_are_there,
                what_comes_with_a_report_follows_a_success_behind_the_list,
                a_follow_up_is_run_and_followed_like_any_task,
                trace_request_and_labels_are_carried_over,
                edits_before_the_end_are_seen_by_what_follows,
                a_follow_up_that_is_deleted_leaves_a_gap_and_one_without_parent_none,
                children_are_read_within_bounds,
                follow_ups_too_dear_for_one_transaction_are_written_in_several,
                purging_takes_what_is_missing_with_its_parent,
                a_report_with_logs_is_followed_too,
                what_follows_has_seen_every_edit_that_was_accepted
            ],
            grouping: [
                a_group_is_stored_with_its_members_in_their_order,
                what_comes_after_a_group_sees_each_way_a_member_can_end,
                a_group_is_joined_once_however_many_settle_it,
                a_member_without_success_stops_the_others_where_the_policy_says_so,
                a_member_that_runs_again_before_the_end_is_waited_for,
                a_member_that_runs_again_after_the_end_changes_nothing,
                what_cannot_be_made_after_a_group_is_recorded,
                outputs_that_are_too_much_are_left_out,
                a_cancelled_group_ends_with_its_members_and_nothing_follows,
                the_id_of_a_deleted_group_can_be_used_again
            ],
            group_records: [
                a_repeated_group_is_the_same_group,
                concurrent_creates_with_one_key_make_one_group,
                groups_and_their_members_are_listed_in_pages,
                purging_waits_for_the_group_of_a_member,
                members_wait_for_their_key_and_what_comes_after_may_meet_a_task_like_it
            ],
            keys: [
                a_key_is_read_as_it_was_stored,
                an_unknown_key_is_absent,
                a_key_cannot_be_stored_twice,
                only_one_first_key_is_stored,
                of_two_that_store_the_first_key_at_once_one_wins,
                keys_are_listed_newest_first,
                a_key_is_revoked_once_and_for_all,
                the_last_use_of_a_key_is_kept
            ],
            limiting: [
                as_many_as_the_limit_are_ready_and_the_others_are_blocked,
                whatever_ends_a_task_gives_its_place_to_the_next_in_line,
                a_retry_that_waits_gives_its_place_back,
                what_is_handed_back_keeps_its_place,
                what_waits_may_be_cancelled_edited_and_put_off,
                a_task_for_later_asks_when_it_is_due,
                the_newest_task_says_how_many,
                many_that_get_a_place_at_once_get_it_in_bounded_passes,
                another_run_asks_anew,
                a_follow_up_waits_for_a_place_like_any_task,
                a_task_and_its_conditions_are_read_as_they_were_created,
                ends_at_the_same_moment_lose_no_place,
                a_place_that_was_left_free_is_found
            ],
            rating: [
                tasks_of_a_rate_key_start_in_even_steps,
                whoever_waits_for_a_place_takes_no_start,
                whoever_stops_waiting_for_a_start_leaves_it_to_others,
                every_attempt_takes_a_start,
                tasks_of_a_target_with_a_rate_are_claimed_as_often_as_it_says,
                a_target_with_a_rate_leaves_the_others_alone,
                workers_at_once_take_no_more_starts_than_there_are
            ],
            unifying: [
                a_task_like_one_that_is_there_is_not_made,
                only_certain_statuses_and_ages_count,
                a_batch_meets_what_is_there_and_itself,
                of_many_at_once_one_is_made,
                a_repeated_key_answers_what_was_met,
                a_follow_up_that_meets_a_task_is_recorded_as_missing,
                what_is_deleted_is_met_by_nobody
            ],
            large_groups: [
                a_group_of_ten_thousand_is_joined_at_once_with_all_outputs,
                a_group_of_ten_thousand_is_stopped_in_short_passes
            ],
            listing: [
                tasks_are_read_in_the_order_asked_for,
                tasks_that_are_too_much_for_one_answer_are_left_out,
                statuses_leave_out_what_does_not_exist,
                a_list_is_newest_first,
                pages_follow_each_other_without_gap_or_overlap,
                a_list_by_status_shows_each_status,
                a_list_by_name_and_by_target_shows_only_those,
                a_list_by_parent_shows_its_children,
                a_list_by_labels_asks_for_all_of_them,
                a_list_by_time_of_creation_includes_its_start_and_not_its_end,
                all_conditions_of_a_list_hold_together,
                counts_are_by_status,
                counting_stops_where_it_is_told,
                a_page_ends_before_its_texts_are_too_large,
                a_task_too_large_for_a_page_is_one_by_itself,
                a_list_without_an_index_says_where_it_stopped
            ],
            logs: [
                what_a_running_attempt_appends_is_there_before_it_ends,
                the_same_chunks_again_are_no_others,
                a_report_brings_what_was_not_appended_and_repeats_nothing,
                only_the_attempt_that_runs_appends,
                what_was_appended_before_a_worker_died_is_kept,
                nothing_is_appended_after_the_attempt_has_ended_at_the_same_moment,
                new_logs_begin_where_they_are_asked_for,
                new_logs_tell_how_the_task_and_the_attempt_stand,
                new_logs_come_in_parts
            ],
            loops: [
                an_idle_store_has_no_pulse,
                the_pulse_tells_when_the_next_task_is_due,
                the_pulse_tells_the_next_deadline_of_a_pending_task,
                the_pulse_tells_of_running_tasks_past_their_deadline_and_grace,
                the_pulse_tells_of_silent_workers_and_then_of_orphans,
                the_pulse_tells_which_targets_of_the_workers_have_ready_tasks,
                delayed_tasks_are_released_when_due_and_only_once,
                releasing_takes_the_oldest_first_up_to_its_limit,
                feeding_takes_what_may_be_announced_and_moves_it_on,
                feeding_looks_at_the_window_only,
                feeding_takes_no_more_than_is_missing_in_order,
                feeding_by_force_takes_what_was_announced_just_now,
                feeding_leaves_other_targets_and_delayed_tasks_alone,
                feeding_passes_over_names_that_no_worker_of_the_target_offers,
                expired_pending_tasks_are_found_oldest_deadline_first,
                overdue_running_tasks_are_found_by_their_deadline,
                tasks_of_dead_and_unknown_workers_are_orphans,
                a_name_that_no_worker_of_its_target_offers_is_found,
                a_name_that_a_worker_offered_until_just_now_is_not_found,
                a_name_that_is_offered_at_another_target_only_is_found,
                a_built_in_name_waits_for_workers_that_offer_such,
                a_worker_over_http_that_is_silent_serves_nothing,
                a_flood_of_names_keeps_no_other_from_being_looked_at
            ],
            maintenance: [
                migrating_again_changes_nothing,
                two_migrators_at_once_both_succeed,
                the_schema_is_the_one_this_program_needs,
                the_time_of_the_database_moves_on,
                purging_takes_tasks_that_finished_long_ago_with_all_they_left,
                purging_stops_at_its_limit,
                purging_leaves_a_chosen_id_that_lies_ahead_until_its_time_comes,
                purging_records_takes_old_keys_and_gone_workers,
                clocks_that_differ_a_little_break_no_rule,
                deleting_a_task_takes_all_it_left,
                a_task_that_is_not_over_is_not_deleted,
                an_unknown_task_is_not_deleted,
                a_signal_reaches_everyone_who_listens,
                a_signal_without_listeners_is_fine
            ],
            patching: [
                everything_that_may_change_of_a_pending_task_changes,
                a_field_that_is_not_named_stays,
                a_description_a_timeout_and_limits_can_be_removed,
                a_pending_task_that_is_moved_is_claimed_at_its_new_target,
                a_task_put_off_is_delayed_and_one_put_forward_is_ready,
                a_running_task_takes_a_new_time_to_live_only,
                a_finished_task_cannot_be_patched,
                more_retries_count_for_the_next_run_too,
                a_retry_with_edits_runs_what_was_edited
            ],
            progress: [
                what_a_running_attempt_tells_is_read_and_is_no_other_version,
                logs_without_progress_leave_it_as_it_is,
                a_report_leaves_what_was_told_unless_it_brings_more,
                an_attempt_that_is_over_tells_nothing_any_more,
                another_attempt_and_another_run_have_told_nothing,
                an_attempt_that_nobody_made_has_told_nothing
            ],
            queues: [
                a_queue_counts_what_waits_and_what_runs,
                ready_tasks_are_counted_up_to_a_bound,
                a_target_that_is_only_served_is_listed,
                a_target_may_be_paused_ahead_and_is_listed_as_long_as_it_is_paused,
                what_was_claimed_before_a_pause_goes_on
            ],
            racing: [
                a_success_counts_whether_a_cancel_at_the_same_moment_came_before_or_after,
                of_an_expiry_and_a_success_at_the_same_moment_one_counts,
                a_cancel_at_the_moment_of_a_retry_ends_the_new_run_or_is_refused,
                nothing_is_claimed_after_a_pause_and_what_was_claimed_before_it_runs
            ],
            reporting: [
                a_success_completes_the_task_with_its_output,
                everything_an_attempt_leaves_is_kept,
                logs_are_read_by_attempt_and_stream,
                logs_that_are_too_large_together_are_those_of_the_newest_attempts,
                a_page_of_attempts_ends_before_their_errors_are_too_large,
                a_page_of_attempts_has_a_bounded_number_of_them,
                a_failure_without_retries_fails_the_task,
                a_task_with_two_retries_is_tried_three_times,
                a_failed_attempt_waits_for_its_back_off,
                a_failure_for_good_is_not_retried,
                an_output_that_cannot_be_stored_fails_the_task,
                out_of_memory_uses_a_retry,
                an_attempt_that_timed_out_uses_a_retry,
                an_attempt_without_handler_waits_at_least_a_second,
                an_expired_attempt_expires_the_task,
                a_released_attempt_uses_no_retry,
                a_cancelled_attempt_cancels_the_task_for_the_reason_that_was_given,
                a_success_before_the_kill_counts_although_a_cancel_was_asked_for,
                a_failure_after_a_cancel_is_not_retried,
                a_report_of_an_old_attempt_is_refused_and_leaves_no_trace,
                the_very_same_report_again_is_already_reported,
                the_very_same_report_twice_in_one_batch_is_already_reported,
                another_ending_of_a_reported_attempt_is_refused,
                of_two_reports_at_once_one_counts,
                fix_13_a_worker_that_died_and_reports_late_is_refused
            ],
            overviews: [
                tasks_and_sagas_are_told_without_their_texts,
                the_tasks_of_a_saga_are_listed_and_the_live_ones_told
            ],
            saga_children: [
                the_children_of_a_saga_are_listed,
                the_live_children_of_a_saga_are_told,
                a_child_begins_and_its_end_moves_its_parent,
                a_child_that_fails_is_a_failure_for_its_parent,
                why_a_child_has_failed_is_told_to_its_parent,
                a_child_ends_with_its_parent_that_is_cancelled,
                a_child_that_is_cancelled_before_its_first_look_is_over_after_it,
                a_child_that_is_cancelled_by_the_look_that_starts_it_never_begins,
                children_that_are_cancelled_by_the_look_that_starts_them_keep_no_parent_from_its_way_back,
                children_that_are_cancelled_by_the_look_that_starts_them_keep_no_parent_from_its_end,
                a_child_that_ends_at_its_start_and_one_that_is_cancelled_twice_are_over,
                a_cancel_comes_up_with_children_that_begin_others,
                a_child_without_definition_is_a_failure_for_its_parent,
                a_child_that_is_there_already_is_a_failure_for_its_parent,
                a_child_that_cannot_begin_is_a_failure_for_its_parent,
                a_tower_of_children_ends_at_its_bound
            ],
            saga_budgets: [
                sagas_that_are_too_large_together_are_read_by_fewer,
                what_is_brought_and_too_much_for_a_look_is_for_the_next,
                what_has_arrived_and_is_too_much_for_a_look_waits_in_its_order,
                starts_that_are_too_much_for_a_call_are_for_the_next,
                starts_that_are_bound_and_cost_too_much_are_refused_together,
                starts_that_are_bound_and_too_large_are_refused_together,
                a_saga_starts_children_of_more_definitions_than_a_call_can_hold,
                a_definition_that_costs_much_keeps_no_other_out,
                a_saga_that_costs_much_keeps_no_other_of_its_definition_out
            ],
            saga_definitions: [
                the_same_content_is_the_same_version_and_a_return_to_an_older_one_is_a_new_one,
                definitions_that_are_put_at_once_have_a_version_each,
                definitions_are_listed_by_name_each_with_its_newest_version,
                names_that_have_a_definition_are_told_from_others,
                a_definition_is_found_by_the_events_that_its_newest_version_starts_on,
                a_definition_that_runs_is_read_once_for_all_who_ask
            ],
            saga_inputs: [
                the_end_of_a_task_moves_its_saga_whichever_way_it_came,
                the_end_of_a_task_that_goes_on_is_none,
                an_id_of_an_event_is_that_of_one_event,
                an_event_is_taken_once_by_its_id,
                each_caller_is_told_how_the_saga_stands_after_what_it_brought,
                what_is_refused_is_recorded_and_may_come_again,
                refusals_are_kept_up_to_a_limit,
                an_expected_version_is_held_against_the_saga_after_what_had_arrived,
                an_expected_entry_is_held_against_the_saga_however_much_happens_there,
                what_is_brought_comes_after_what_had_arrived,
                what_is_brought_comes_after_however_much_had_arrived,
                events_at_once_are_each_taken_once,
                ends_and_looks_at_once_lose_nothing,
                what_a_process_that_died_has_left_is_found
            ],
            saga_migrations: [
                a_saga_goes_on_by_another_version_of_its_definition,
                timers_of_the_new_version_take_the_place_of_the_old_ones,
                a_timeout_of_the_new_version_is_that_of_the_whole,
                a_saga_that_cannot_be_moved_stays_as_it_is
            ],
            saga_records: [
                a_saga_is_what_its_history_leads_to,
                sagas_that_are_not_over_are_counted_by_status,
                a_history_is_read_in_pages,
                pages_of_large_entries_end_early,
                purging_takes_sagas_that_ended_long_ago_with_their_histories,
                purging_takes_histories_in_bounded_passes,
                unusual_characters_come_back
            ],
            saga_series: [the_last_of_a_series_is_found_whatever_retention_has_left],
            saga_tasks: [
                a_report_that_is_repeated_tells_whose_task_is_over,
                what_was_done_is_undone_newest_first_one_at_a_time,
                what_cannot_be_undone_waits_for_a_person,
                tasks_that_run_and_tasks_that_wait_are_cancelled_before_anything_is_undone,
                a_saga_that_ends_waits_for_its_tasks,
                a_task_that_is_issued_and_cancelled_in_one_look_is_over,
                a_task_of_a_saga_is_not_retried_by_hand,
                a_task_that_is_like_another_one_is_not_made_and_the_saga_is_told,
                a_task_for_later_is_told_with_its_time
            ],
            saga_timers: [
                a_timer_fires_once_when_it_is_due,
                a_timer_of_a_state_that_was_left_is_gone,
                timers_are_told_in_the_order_in_which_they_are_due,
                a_timer_that_fires_behind_what_leaves_its_state_is_refused,
                timers_that_are_due_fire_in_their_order_in_bounded_passes,
                of_timers_of_a_state_that_are_due_together_the_first_of_their_list_goes_first,
                several_that_look_for_timers_at_once_fire_each_once
            ],
            sagas: [
                a_saga_is_there_with_its_first_tasks_and_timers,
                a_start_that_is_refused_leaves_nothing,
                a_start_that_is_repeated_finds_the_saga_of_the_first,
                a_start_is_repeated_by_its_idempotency_key,
                of_starts_at_once_with_one_key_one_starts_a_saga,
                starts_that_are_bound_begin_together_or_not_at_all,
                of_starts_at_once_one_starts_a_saga,
                a_saga_keeps_the_version_with_which_it_began,
                many_sagas_are_started_and_looked_at_in_one_call,
                sagas_are_listed_newest_first_by_what_is_asked_for,
                a_saga_that_was_cancelled_is_in_no_state,
                stale_sagas_of_several_statuses_are_one_list,
                one_that_waits_for_an_answer_is_not_stale,
                pages_of_large_sagas_end_early,
                whoever_is_addressed_by_a_correlation_id_is_told_with_its_status,
                where_sagas_stand_is_read_without_what_they_hold
            ],
            scheduling: [
                a_schedule_is_read_as_it_was_created,
                a_slot_becomes_one_task_when_it_comes,
                jitter_delays_the_task_of_a_slot,
                several_that_look_at_once_make_each_task_once,
                a_pass_makes_a_bounded_number_of_tasks,
                a_schedule_whose_task_is_not_over_does_what_it_was_told,
                a_running_or_triggered_task_counts_as_not_over,
                the_conditions_of_a_task_hold_for_slots,
                what_cannot_be_made_is_recorded_and_the_others_run,
                a_change_is_guarded_and_what_is_so_already_is_not_written,
                a_paused_schedule_does_nothing_until_it_is_resumed,
                a_deleted_schedule_leaves_its_tasks,
                a_repeated_key_makes_one_schedule,
                schedules_are_listed_newest_first_page_by_page,
                the_pulse_tells_when_the_next_schedule_is_due
            ],
            workers: [
                a_worker_is_listed_as_it_registered,
                registering_again_changes_nothing,
                live_workers_come_first_and_newest_first,
                a_renewal_extends_the_lease,
                a_renewal_tells_how_much_of_the_lease_is_left_by_the_clock_of_the_database,
                a_renewal_lists_what_the_worker_holds,
                a_renewal_tells_of_cancels_and_moved_deadlines,
                a_lease_that_ran_out_is_lost_for_good,
                an_unknown_worker_has_no_lease,
                silent_workers_are_marked_dead_once,
                a_worker_that_left_is_not_marked_dead,
                who_holds_a_lease_holds_it_as_much_longer_as_a_clock_is_moved,
                the_lease_keeper_tells_the_time_of_the_database
            ],
        }
    };
}
pub(crate) use suite;

macro_rules! tests {
    ($fixture:path; $($aggregate:ident: [$($behaviour:ident),+ $(,)?]),+ $(,)?) => {
        $(
            mod $aggregate {
                $(
                    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                    async fn $behaviour() {
                        crate::conformance::hold(Box::pin($fixture()), |store| {
                            Box::pin(crate::conformance::$aggregate::$behaviour(store))
                        })
                        .await;
                    }
                )+
            }
        )+
    };
}
pub(crate) use tests;
