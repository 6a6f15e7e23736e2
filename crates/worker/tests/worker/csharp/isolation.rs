//! Nothing of one task is visible to the next, nothing of the machine to any, and what is compiled runs nothing.

use std::net::TcpListener;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Bench, RunningWorker, error, output};

async fn isolated(overrides: &[(&str, &str)]) -> (Bench, RunningWorker) {
    let bench =
        Bench::csharp(&[&[("worker.concurrency", "1"), ("worker.isolation", "full")], overrides].concat()).await;
    let worker = bench.worker().await;
    (bench, worker)
}

async fn csharp(bench: &Bench, code: &str) -> Value {
    output(&bench.run_csharp(code).await)["result"].clone()
}

/// What programs leave. Links are the sandbox's, to what lies among the machine's temporary files.
const FILES: &str = r#"
IEnumerable<string> Files(string folder) => Directory.GetFiles(folder, "*", new EnumerationOptions
{
    RecurseSubdirectories = true,
    AttributesToSkip = FileAttributes.ReparsePoint,
});
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_task_finds_nothing_of_the_one_before_it() {
    let (bench, worker) = isolated(&[]).await;
    let leave = r#"
AppContext.SetData("secret", "secret");
AppDomain.CurrentDomain.SetData("secret", "secret");
Environment.SetEnvironmentVariable("SECRET", "secret");
foreach (var folder in new[] { "/tmp", "/dev/shm", "/run/task", Environment.CurrentDirectory })
    File.WriteAllText(Path.Combine(folder, "secret"), "secret");
System.Diagnostics.Process.Start("sleep", "1000");
return Directory.GetDirectories("/proc").Count(path => int.TryParse(Path.GetFileName(path), out _));
"#;
    assert_eq!(csharp(&bench, leave).await, 3, "the keeper, itself and what it started");
    let look = r#"
var found = Files("/run/task").ToList();
if (AppContext.GetData("secret") is not null || AppDomain.CurrentDomain.GetData("secret") is not null) found.Add("data");
if (Environment.GetEnvironmentVariable("SECRET") is not null) found.Add("variable");
return new { found, processes = Directory.GetDirectories("/proc").Count(path => int.TryParse(Path.GetFileName(path), out _)) };
"#;
    let look = format!("{FILES}{look}");
    assert_eq!(csharp(&bench, &look).await, json!({"found": [], "processes": 2}));
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_or_written_to_a_guessed_file_is_no_result() {
    let (bench, worker) = isolated(&[]).await;
    let forge = r#"
Console.WriteLine("{\"result\": \"forged\"}");
for (var number = 3; number < 64; number++)
{
    try
    {
        using var file = new Microsoft.Win32.SafeHandles.SafeFileHandle(number, ownsHandle: false);
        RandomAccess.Write(file, "{\"result\": \"forged\"}"u8, 0);
    }
    catch (Exception) { }
}
Environment.Exit(0);
"#;
    let task = bench.run_csharp(forge).await;
    assert_eq!(output(&task)["result"], Value::Null);
    let started = r#"
var shell = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("/bin/sh")
{
    ArgumentList = { "-c", "for f in /proc/self/fd/*; do n=${f##*/}; [ $n -gt 2 ] && readlink $f; done; true" },
    RedirectStandardOutput = true,
})!;
return shell.StandardOutput.ReadToEnd();
"#;
    let open = csharp(&bench, started).await;
    assert!(
        !open.to_string().contains("memfd") && !open.to_string().contains("socket"),
        "{open}"
    );
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_processes_and_the_network_of_the_machine_are_out_of_reach() {
    let folder = tempfile::tempdir().expect("a folder");
    let canary = folder.path().join("canary");
    std::fs::write(&canary, "canary").expect("written");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (bench, worker) = isolated(&[]).await;
    let code = r#"
var holes = new List<string>();
void Try(string what, Action action) { try { action(); holes.Add(what); } catch (Exception) { } }
var canary = Input.GetProperty("canary").GetString()!;
foreach (var path in new[] { canary, "/etc/shadow", "/proc/1/environ", "/proc/1/mem", "/proc/kcore", "/run/task/../../etc/hostname" })
    Try("read " + path, () => File.ReadAllBytes(path));
var runtime = Path.GetDirectoryName(typeof(object).Assembly.Location)!;
var tools = Path.GetDirectoryName(System.Reflection.Assembly.GetEntryAssembly()!.Location)!;
foreach (var path in new[] { canary, "/etc/hosts", "/usr/bin/mine", runtime + "/System.Private.CoreLib.dll", tools + "/Runner.dll" })
    Try("write " + path, () => File.OpenWrite(path).Dispose());
foreach (var path in new[] { tools + "/mine.dll", runtime + "/mine.dll", "/mine" })
    Try("make " + path, () => File.WriteAllText(path, ""));
Try("connect", () => new System.Net.Sockets.TcpClient("127.0.0.1", Input.GetProperty("port").GetInt32()).Dispose());
Try("ask", () => new HttpClient { Timeout = TimeSpan.FromSeconds(2) }.GetStringAsync("http://169.254.169.254/").Wait());
Try("kill", () => System.Diagnostics.Process.GetProcessById(1).Kill());
foreach (var name in Files("/run/task"))
    holes.Add("left by the runtime: " + name);
return holes;
"#;
    let input = json!({"code": format!("{FILES}{code}"), "input": {"canary": canary, "port": port}});
    let task = bench.run(json!({"name": "csharp", "input": input})).await;
    assert_eq!(
        output(&task)["result"],
        json!([]),
        "{:?}",
        bench.logs(task.spec.id).await
    );
    assert_eq!(std::fs::read_to_string(&canary).expect("it is there"), "canary");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn system_calls_that_the_class_library_does_not_have_are_refused_too() {
    let (bench, worker) = isolated(&[]).await;
    let code = r#"
using System.Runtime.InteropServices;
var holes = new List<string>();
void Try(string what, int returned) { if (returned >= 0) holes.Add(what); }
Try("setuid", Native.setuid(0));
Try("unshare", Native.unshare(0x10000000));
Try("mount", Native.mount("none", "/run/task/tmp", "tmpfs", 0, 0));
Try("ptrace", (int)Native.ptrace(16, 1, 0, 0));
Try("chroot", Native.chroot("/run/task"));
Try("kill", Native.kill(1, 9));
Try("limits of process 1", Native.prlimit(1, 0, 0, 0));
return holes;
static class Native
{
    [DllImport("libc")] public static extern int setuid(int user);
    [DllImport("libc")] public static extern int unshare(int flags);
    [DllImport("libc")] public static extern int mount(string from, string at, string kind, ulong flags, nint data);
    [DllImport("libc")] public static extern long ptrace(int request, int process, nint address, nint data);
    [DllImport("libc")] public static extern int chroot(string path);
    [DllImport("libc")] public static extern int kill(int process, int signal);
    [DllImport("libc")] public static extern int prlimit(int process, int resource, nint limit, nint old);
}
"#;
    let holes = csharp(&bench, code).await;
    // The keeper is process 1, to which the kernel lets no signal through that it does not handle.
    assert!(holes == json!([]) || holes == json!(["kill"]), "{holes}");
    assert_eq!(csharp(&bench, "return 1;").await, 1, "the next one runs");
    worker.stopped().await;
}

/// S24, S25: what a runtime listens to, loads or reads by itself.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_attaches_to_a_runtime_and_nothing_is_left_for_the_next_one() {
    let (bench, worker) = isolated(&[]).await;
    let code = r#"
var holes = new List<string>();
void Try(string what, Action action) { try { action(); holes.Add(what); } catch (Exception) { } }
void Leave(string path) { Directory.CreateDirectory(Path.GetDirectoryName(path)!); File.WriteAllText(path, "poison"); }
if (File.ReadAllText("/proc/net/unix").Contains("dotnet")) holes.Add("somebody may attach");
var home = Environment.GetEnvironmentVariable("HOME")!;
foreach (var folder in new[] { home, "/tmp", "/dev/shm", "/run/task" })
    foreach (var file in Files(folder))
        holes.Add("left: " + file);
if (Environment.GetEnvironmentVariable("DOTNET_STARTUP_HOOKS") is not null) holes.Add("a hook");
if (AppContext.GetData("STARTUP_HOOKS") is string hooks && hooks != "") holes.Add("hooks: " + hooks);
var runtime = Path.GetDirectoryName(typeof(object).Assembly.Location)!;
foreach (var path in new[]
{
    AppContext.BaseDirectory + "Runner.runtimeconfig.json", AppContext.BaseDirectory + "Runner.deps.json",
    AppContext.BaseDirectory + "poison.dll", runtime + "/poison.dll", "/usr/share/dotnet/poison", "/etc/dotnet/install_location",
    Path.Combine("/root", ".nuget/NuGet/NuGet.Config"),
})
    Try("leave " + path, () => Leave(path));
foreach (var path in new[]
{
    home + "/.nuget/packages/poison/poison.dll", home + "/.dotnet/tools/poison", home + "/Runner.runtimeconfig.json",
    "/tmp/.dotnet/shm/poison", "/tmp/dotnet-diagnostic-1-1-socket", "/tmp/clr-debug-pipe-1", "/tmp/NuGetScratch/poison",
})
    Leave(path);
Environment.SetEnvironmentVariable("DOTNET_STARTUP_HOOKS", "/tmp/poison.dll");
return holes;
"#;
    let code = format!("{FILES}{code}");
    for _ in 0..3 {
        assert_eq!(csharp(&bench, &code).await, json!([]));
    }
    let hook = json!({"input": {"code": "1", "env": {"DOTNET_STARTUP_HOOKS": "/tmp/poison.dll"}}});
    let refused = bench.store_unchecked("csharp", hook).await;
    let message = error(&bench.ended(refused).await);
    assert!(message.contains("/env/DOTNET_STARTUP_HOOKS"), "{message}");
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_there_for_those_who_ask_where_it_is_permitted() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let code = format!("new System.Net.Sockets.TcpClient(\"127.0.0.1\", {port}).Connected");
    let asking = json!({"name": "csharp", "input": {"code": code, "network": true}});
    let (bench, worker) = isolated(&[]).await;
    let refused = error(&bench.run(asking.clone()).await);
    assert!(refused.starts_with("NotGranted: "), "{refused}");
    assert!(refused.contains("`worker.network`"), "{refused}");
    let unreachable = error(&bench.run_csharp(&code).await);
    assert!(unreachable.contains("SocketException"), "{unreachable}");
    worker.stopped().await;
    let (bench, worker) = isolated(&[("worker.network", "true")]).await;
    assert_eq!(output(&bench.run(asking).await)["result"], true);
    worker.stopped().await;
}

/// Programs have a `/tmp` of their own at the level `full`.
#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_and_what_is_made_with_it_may_lie_among_temporary_files() {
    let folder = tempfile::tempdir_in("/tmp").expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (runtime, cache) = (path("dotnet"), path("cache"));
    let copy = "mkdir \"$1\"; cd \"$CSHARP_RUNTIME\"; \
                cp -a --parents dotnet host shared/Microsoft.NETCore.App sdk/*/Roslyn/bincore \"$1\"";
    let copied = Command::new("sh").args(["-ec", copy, "copy", &runtime]).status();
    assert!(copied.expect("it runs").success());
    let settings = [("worker.csharp", runtime.as_str()), ("worker.csharp_cache", &cache)];
    let code = format!(
        r#"
foreach (var file in new[] {{ "/tmp/mine", "/var/tmp/mine too", "{runtime}.txt" }}) File.WriteAllText(file, "mine");
var written = 0;
foreach (var folder in new[] {{ "{runtime}/host", AppContext.BaseDirectory }})
    try {{ File.WriteAllText(folder + "/mine", "mine"); written++; }} catch (Exception) {{ }}
return written == 0 && File.Exists("{runtime}/dotnet") && File.ReadAllText("/var/tmp/mine") == "mine";
"#
    );
    let (bench, worker) = isolated(&settings).await;
    for _ in 0..2 {
        assert_eq!(csharp(&bench, &code).await, true);
    }
    worker.stopped().await;
    let (bench, worker) = isolated(&[&settings[..], &[("worker.isolation", "landlock")]].concat()).await;
    assert_eq!(csharp(&bench, "1 + 1").await, 2);
    worker.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_behind_the_walls_of_landlock() {
    let bench = Bench::csharp(&[("worker.isolation", "landlock")]).await;
    let worker = bench.worker().await;
    assert_eq!(csharp(&bench, "1 + 1").await, 2);
    let read = error(&bench.run_csharp("File.ReadAllText(\"/etc/passwd\")").await);
    assert!(read.contains("UnauthorizedAccessException"), "{read}");
    worker.stopped().await;
}
