//! Logs and metrics of a process: installed once, at its start.

mod daily;
mod figures;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing::{Level, Metadata};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt as format};

use crate::{LogFormat, LogSettings};
use daily::{DailyFile, Marked};

/// From a statement of a millisecond to a wait of a minute.
const SECONDS_BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0,
];

/// The broker's library warns of every returned message and every queue that is not there, which are answers to us.
const QUIETENED: &str = "lapin=off";

/// What kind of process this is: it names the log file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Api,
    Worker,
    Dev,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Worker => "worker",
            Self::Dev => "dev",
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("logs.level is not a filter")]
    Level(#[source] tracing_subscriber::filter::ParseError),
    #[error("logging was set up twice in this process")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// Writes what is buffered when it is dropped: keep it until the end of `main`.
#[must_use = "dropping it ends the logging"]
pub struct Guard {
    _console: WorkerGuard,
    _file: Option<WorkerGuard>,
    quiet: Arc<AtomicBool>,
}

impl Guard {
    /// The console shows only warnings and errors until what is returned is dropped. The file has all.
    pub fn quieten_console(&self) -> QuietConsole {
        self.quiet.store(true, Ordering::Relaxed);
        QuietConsole(Arc::clone(&self.quiet))
    }
}

/// See [`Guard::quieten_console`].
#[derive(Debug)]
#[must_use = "dropping it ends the quiet"]
pub struct QuietConsole(Arc<AtomicBool>);

impl Drop for QuietConsole {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Guard")
    }
}

/// Logs go to standard error and to `<dir>/<role>.<date>.log`, or to `<dir>/2.<role>.<date>.log` where another process has that.
/// Writing happens on threads of its own: a slow disk or console costs log lines, never requests.
///
/// # Errors
/// [`Error`] if the level is no filter, or logging was set up before. A folder that cannot be written is only a warning.
pub fn init(role: Role, settings: &LogSettings) -> Result<Guard, Error> {
    let filter = EnvFilter::builder()
        .parse(format!("{QUIETENED},{}", settings.level))
        .map_err(Error::Level)?;
    let (console, console_guard) = tracing_appender::non_blocking(std::io::stderr());
    let opened = settings.dir.as_deref().map(|dir| DailyFile::open(dir, role, settings));
    let (file, refused) = match opened {
        None => (None, None),
        Some(Ok(file)) => (Some(tracing_appender::non_blocking(file)), None),
        Some(Err(error)) => (None, Some(error)),
    };
    let (file, file_guard) = file.unzip();
    let quiet = Arc::new(AtomicBool::new(false));
    let console = console.with_filter(shown_unless(Arc::clone(&quiet)));
    // One layer that writes to both: a line is formatted once, and two layers would share the fields of spans.
    let layer = match file {
        Some(file) => layer(console.and(Marked(file)), settings.format),
        None => layer(console, settings.format),
    };
    tracing_subscriber::registry()
        .with(layer)
        .with(filter)
        .try_init()
        .map_err(Error::Twice)?;
    if let Some(error) = refused {
        tracing::warn!(
            error = %crate::error::chain(&error), "logs.dir cannot be written; the logs go to the console only"
        );
    }
    Ok(Guard {
        _console: console_guard,
        _file: file_guard,
        quiet,
    })
}

/// Whether a line is one for the console: each is while that is not quiet.
fn shown_unless(quiet: Arc<AtomicBool>) -> impl Fn(&Metadata<'_>) -> bool + Send + Sync + 'static {
    move |metadata| *metadata.level() <= Level::WARN || !quiet.load(Ordering::Relaxed)
}

/// One record a line: newlines and control characters in values are escaped by both formats.
fn layer<W>(writer: W, form: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    match form {
        LogFormat::Text => format::layer().with_ansi(false).with_writer(writer).boxed(),
        LogFormat::Json => format::layer()
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .with_writer(writer)
            .boxed(),
    }
}

/// A duration as it is logged: with three decimals at most.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}

/// The metrics of this process in Prometheus' text form; the recorder is installed with the first call.
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)
            .expect("the buckets are not empty")
            .build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics stays empty");
        }
        figures::describe();
        begin_at_zero();
        handle
    })
}

/// What alerts look at is there before it happens first: Prometheus sees no increase in a series that begins with one.
fn begin_at_zero() {
    for status in ["Completed", "Failed", "TimedOut", "Cancelled"] {
        metrics::counter!("orchestratum_sagas_ended_total", "status" => status).increment(0);
    }
    for status in ["NeedsAttention", "CompensationStuck"] {
        metrics::counter!("orchestratum_sagas_stopped_total", "status" => status).increment(0);
    }
    metrics::counter!("orchestratum_gitlab_drifts_total").increment(0);
    for result in ["taken", "refused"] {
        metrics::counter!("orchestratum_inbound_messages_total", "result" => result).increment(0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn has(&self, words: &str) -> bool {
            String::from_utf8_lossy(&self.0.lock()).contains(words)
        }
    }

    #[test]
    fn a_quiet_console_shows_warnings_alone_and_the_file_has_all() {
        let (console, file) = (Lines::default(), Lines::default());
        let quiet = Arc::new(AtomicBool::new(false));
        let writers = {
            let (console, file) = (console.clone(), file.clone());
            let console = (move || console.clone()).with_filter(shown_unless(Arc::clone(&quiet)));
            console.and(move || file.clone())
        };
        let subscriber = tracing_subscriber::registry().with(layer(writers, LogFormat::Text));
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("before");
            quiet.store(true, Ordering::Relaxed);
            let quieted = QuietConsole(quiet);
            tracing::info!("meanwhile");
            tracing::warn!("amiss");
            drop(quieted);
            tracing::info!("afterwards");
        });
        for words in ["before", "meanwhile", "amiss", "afterwards"] {
            assert!(file.has(words), "{words}");
            assert_eq!(console.has(words), words != "meanwhile", "{words}");
        }
    }

    #[test]
    fn milliseconds_have_three_decimals_at_most() {
        for (nanoseconds, text) in [
            (829_400, "0.829"),
            (1_500_000_000, "1500"),
            (4_200_000, "4.2"),
            (999, "0"),
        ] {
            assert_eq!(milliseconds(Duration::from_nanos(nanoseconds)).to_string(), text);
        }
    }
}
