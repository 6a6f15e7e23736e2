//! Nothing but the shim, for programs whose `main` is not their own.

fn main() {
    orchestratum_sandbox::shim::run_if_asked();
    eprintln!("orchestratum-sandbox-shim is started by other programs");
    std::process::exit(2);
}
