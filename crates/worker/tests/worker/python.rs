//! How code in Python ends and is told, and what it leaves to the next.

use serde_json::{Value, json};

use crate::support::{Bench, output};

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_has_its_main_from_elsewhere_calls_it_itself() {
    let bench = Bench::new().await;
    let worker = bench.worker().await;
    let tool = "
import sys, types
tool = types.ModuleType('tool')
exec('def main(*given): print(\"called with\", given); return 1', tool.__dict__)
sys.modules['tool'] = tool
";
    for (end, printed) in [
        (
            "from tool import main\nif __name__ == '__main__':\n    main()",
            "called with ()\n",
        ),
        ("from tool import main", ""),
        ("main = tool.main", ""),
    ] {
        let output = output(&bench.run_python(&format!("{tool}{end}")).await);
        assert_eq!(
            (&output["stdout"], &output["result"]),
            (&json!(printed), &Value::Null),
            "{end}"
        );
    }
    worker.stopped().await;
}
