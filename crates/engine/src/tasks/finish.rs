//! Finishing: a worker says how an attempt ended.

use orchestratum_core::TaskId;
use orchestratum_core::task::{Ending, FollowUps, Refusal, Report, TaskEvent, TaskStatus};
use orchestratum_store::{Change, ChangeOutcome, ClaimedTask, Evidence, SagaOffer, Takes};

use crate::{Engine, Error, identity, journal};

#[derive(Debug, Clone, PartialEq)]
pub enum FinishOutcome {
    /// The report decided the attempt; this is where the task stands now.
    Recorded { status: TaskStatus },
    /// The same report was recorded before.
    AlreadyRecorded,
    /// Another attempt, or the sweeper, has taken over: the report left no trace.
    Refused { refusal: Refusal },
    /// The task was deleted.
    NotFound,
}

/// A report's outcome, and what its worker goes on with.
#[derive(Debug)]
pub struct Finished {
    pub outcome: FinishOutcome,
    /// Of the tasks that come after it. It is claimed like any other: it has to be run and reported, or handed back.
    pub claimed: Option<ClaimedTask>,
    /// Whether there is one is unknown: the answer to the next renewal says.
    pub is_claim_unknown: bool,
}

/// What a worker would go on with after a success.
#[derive(Debug)]
pub enum GoesOn {
    /// One of the tasks that follow.
    FollowUps(Takes),
    /// One of the tasks that its saga issues when it looks at the end.
    Saga(SagaOffer),
}

impl Engine {
    /// Records the end of an attempt, with what it leaves behind.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every rule that the follow-ups of the evidence break: the attempt goes on then. Failures of the
    /// database.
    pub async fn finish(
        &self,
        task: TaskId,
        attempt: u32,
        ending: Ending,
        evidence: Evidence,
    ) -> Result<FinishOutcome, Error> {
        let finished = self.finish_and_go_on(task, attempt, ending, evidence, None).await?;
        Ok(finished.outcome)
    }

    /// The same by a worker that would go on with what comes after it. After an error it is unknown whether it has one,
    /// as after a [claim](Self::claim).
    ///
    /// # Errors
    /// Those of [`finish`](Self::finish).
    pub async fn finish_and_go_on(
        &self,
        task: TaskId,
        attempt: u32,
        ending: Ending,
        evidence: Evidence,
        goes_on: Option<GoesOn>,
    ) -> Result<Finished, Error> {
        if !evidence.follow_ups.is_empty() {
            let now = self.parts.clock.now();
            let follow_ups = FollowUps::on_success(evidence.follow_ups.clone());
            let checked = follow_ups.check("", &self.parts.settings.tasks.limits(), now);
            checked.map_err(Error::Invalid)?;
        }
        let (ending, evidence) = self.storable(ending, evidence);
        let outcome_word = ending.outcome().as_str();
        let report = Report {
            attempt,
            ending,
            chance: identity::chance(),
        };
        let (takes, offer) = match goes_on {
            Some(GoesOn::FollowUps(takes)) => (Some(takes), None),
            Some(GoesOn::Saga(offer)) if self.parts.store.takes_offers() => (None, Some(offer)),
            Some(GoesOn::Saga(_)) | None => (None, None),
        };
        let offered = takes.as_ref().or(offer.as_ref().map(|offer| &offer.takes));
        let worker = offered.map(|takes| takes.worker);
        let change = Change {
            evidence,
            takes,
            ..Change::new(task, TaskEvent::Reported(report))
        };
        let mut claimed = None;
        let mut is_claim_unknown = false;
        let (outcome, saga) = match self.change_without_a_look(change).await? {
            ChangeOutcome::Done(changed) => {
                metrics::counter!("orchestratum_attempts_total", "outcome" => outcome_word).increment(1);
                let status = changed.life.status();
                let saga = changed.saga.filter(|_| status.is_terminal());
                claimed = changed.followed.tasks.into_iter().find_map(|task| task.claimed);
                (FinishOutcome::Recorded { status }, saga)
            }
            // Whoever recorded it may have died before the saga looked at it.
            ChangeOutcome::AlreadyReported { saga } => (FinishOutcome::AlreadyRecorded, saga),
            ChangeOutcome::Refused { refusal, .. } => {
                metrics::counter!("orchestratum_reports_refused_total").increment(1);
                (FinishOutcome::Refused { refusal }, None)
            }
            ChangeOutcome::NotFound | ChangeOutcome::VersionMismatch { .. } => (FinishOutcome::NotFound, None),
        };
        match (saga, offer) {
            (Some(saga), Some(offer)) => match self.look_and_go_on(saga, offer).await {
                Ok(next) => claimed = next,
                Err(_) => is_claim_unknown = true,
            },
            (Some(saga), None) => self.look_at_sagas([saga]),
            (None, _) => {}
        }
        if let (Some(task), Some(worker)) = (&claimed, worker) {
            journal::claimed(task, worker);
            metrics::counter!("orchestratum_tasks_claimed_total").increment(1);
        }
        let claimed = claimed.map(|task| *task);
        Ok(Finished {
            outcome,
            claimed,
            is_claim_unknown,
        })
    }

    /// An output that is too large ends the attempt as failed, for good: it would be as large the next time.
    pub(crate) fn storable(&self, ending: Ending, mut evidence: Evidence) -> (Ending, Evidence) {
        let most = self.parts.settings.tasks.output_max_bytes;
        match (&ending, &evidence.output) {
            (Ending::Success, Some(output)) if output.len() > most => {
                let message = format!("the output has {} bytes; at most {most} can be stored", output.len());
                evidence.output = None;
                evidence.follow_ups = Vec::new();
                (Ending::OutputNotStorable { message }, evidence)
            }
            _ => (ending, evidence),
        }
    }
}
