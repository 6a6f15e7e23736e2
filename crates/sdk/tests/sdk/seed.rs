//! The examples of the library that this SDK re-tells, as its readme has them.

use std::sync::Arc;
use std::time::Duration;

use orchestratum_sdk::prelude::*;
use parking_lot::Mutex;

use crate::support::{BOUND, until};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct EmailData {
    to: String,
    subject: String,
    body: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct ReportRequest {
    month: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct ReportResult {
    report_id: u32,
}

// A command with an input alone.
#[derive(Debug, Command, Serialize, Deserialize)]
#[command(timeout_seconds = 120, retries = 5)]
struct SendEmailCommand {
    input: EmailData,
}

// A command with an input and an output.
#[derive(Debug, Command, Serialize, Deserialize)]
#[command(name = "generate_report", output = ReportResult, timeout_seconds = 600, chain)]
struct GenerateReportCommand {
    input: ReportRequest,
}

impl Chain for GenerateReportCommand {
    fn on_success(&self, output: &ReportResult, next: &mut Next) {
        next.push(SendEmailCommand {
            input: EmailData {
                to: "admin@example.com".to_owned(),
                subject: "Report Generated".to_owned(),
                body: format!("Report {} was generated", output.report_id),
            },
        });
    }
}

trait EmailService: Send + Sync {
    fn send(&self, email: &EmailData) -> Result<(), std::io::Error>;
}

trait ReportService: Send + Sync {
    fn generate(&self, request: &ReportRequest) -> ReportResult;
}

#[derive(Handler)]
#[handler(SendEmailCommand)]
struct SendEmailCommandHandler {
    email_service: Arc<dyn EmailService>,
}

impl Handler<SendEmailCommand> for SendEmailCommandHandler {
    async fn handle(&self, command: &SendEmailCommand, _context: &Context) -> Result<(), Failure> {
        Ok(self.email_service.send(&command.input)?)
    }
}

#[derive(Handler)]
#[handler(GenerateReportCommand)]
struct GenerateReportCommandHandler {
    report_service: Arc<dyn ReportService>,
}

impl Handler<GenerateReportCommand> for GenerateReportCommandHandler {
    async fn handle(&self, command: &GenerateReportCommand, _context: &Context) -> Result<ReportResult, Failure> {
        Ok(self.report_service.generate(&command.input))
    }
}

/// The services of the application.
#[derive(Default)]
struct Outbox(Mutex<Vec<EmailData>>);

impl EmailService for Outbox {
    fn send(&self, email: &EmailData) -> Result<(), std::io::Error> {
        self.0.lock().push(email.clone());
        Ok(())
    }
}

struct Reports;

impl ReportService for Reports {
    fn generate(&self, request: &ReportRequest) -> ReportResult {
        ReportResult {
            report_id: u32::try_from(request.month.len()).unwrap_or(0),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_the_readme_runs_embedded() -> Result<(), orchestratum_sdk::Error> {
    let outbox = Arc::new(Outbox::default());
    let orchestratum = Orchestratum::embedded("sqlite::memory:")
        .provide(Arc::clone(&outbox) as Arc<dyn EmailService>)
        .provide(Arc::new(Reports) as Arc<dyn ReportService>)
        .discover_in(module_path!())
        .poll_interval(Duration::from_secs(5))
        .lease(Duration::from_secs(10))
        .max_claim(100)
        .targets(["default"])
        .start()
        .await?;

    let command = GenerateReportCommand {
        input: ReportRequest {
            month: "January".to_owned(),
        },
    };
    let id = orchestratum.push(command).await?;

    until("the email", || async { !outbox.0.lock().is_empty() }).await;
    let report = orchestratum.wait::<GenerateReportCommand>(id, BOUND).await?;
    assert_eq!(report.success().map(|report| report.report_id), Some(7));
    let emails = outbox.0.lock().clone();
    assert_eq!(emails.len(), 1);
    assert_eq!(
        (emails[0].to.as_str(), emails[0].body.as_str()),
        ("admin@example.com", "Report 7 was generated")
    );
    orchestratum.stop().await
}

#[test]
fn the_names_are_those_of_the_readme() {
    assert_eq!(SendEmailCommand::NAME, "send_email");
    assert_eq!(GenerateReportCommand::NAME, "generate_report");
}
