//! The program of `docs/commands.md`: `cargo run -p orchestratum-sdk --example reports`, until it is told to stop.

use std::sync::Arc;

use orchestratum_sdk::prelude::*;

#[derive(Command, Serialize, Deserialize)]
#[command(timeout_seconds = 120, retries = 5)]
struct SendEmailCommand {
    to: String,
    subject: String,
}

#[derive(Serialize, Deserialize)]
struct Report {
    report_id: u64,
}

#[derive(Command, Serialize, Deserialize)]
#[command(name = "generate_report", output = Report, timeout_seconds = 600, chain)]
struct GenerateReportCommand {
    month: String,
}

impl Chain for GenerateReportCommand {
    fn on_success(&self, report: &Report, next: &mut Next) {
        next.push(SendEmailCommand {
            to: "admin@example.com".to_owned(),
            subject: format!("report {} of {} was generated", report.report_id, self.month),
        });
    }
}

trait Mailer: Send + Sync {
    fn send(&self, to: &str, subject: &str, idempotency_key: &str) -> Result<(), std::io::Error>;
}

#[derive(Handler)]
#[handler(SendEmailCommand)]
struct SendEmailHandler {
    mailer: Arc<dyn Mailer>, // found by its type
}

impl Handler<SendEmailCommand> for SendEmailHandler {
    async fn handle(&self, command: &SendEmailCommand, context: &Context) -> Result<(), Failure> {
        let key = context.idempotency_key();
        self.mailer.send(&command.to, &command.subject, &key)?;
        Ok(())
    }
}

#[derive(Handler)]
#[handler(GenerateReportCommand)]
struct GenerateReportHandler;

impl Handler<GenerateReportCommand> for GenerateReportHandler {
    async fn handle(&self, command: &GenerateReportCommand, context: &Context) -> Result<Report, Failure> {
        context.log(&format!("adding up {}", command.month));
        Ok(Report { report_id: 7 })
    }
}

struct Console;

impl Mailer for Console {
    fn send(&self, to: &str, subject: &str, _idempotency_key: &str) -> Result<(), std::io::Error> {
        println!("to {to}: {subject}");
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), orchestratum_sdk::Error> {
    let mailer: Arc<dyn Mailer> = Arc::new(Console);
    let orchestratum = Orchestratum::embedded("sqlite::memory:") // or postgres://user:password@host/shop
        .provide(mailer)
        .discover()
        .start()
        .await?;
    let month = "May".to_owned();
    let id = orchestratum.push(GenerateReportCommand { month }).await?;
    println!("it is {:?}", orchestratum.status(id).await?.state);
    orchestratum.run().await // until SIGTERM or Ctrl-C
}
