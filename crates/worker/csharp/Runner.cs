// Runs the code of one `csharp` task, which it waits for. Started ahead of need: the start of the runtime is then not part of
// the task's time, and every task still has a process of its own.
//
//   Runner.dll RESULT     the number of the open file that takes the answer
//
// The request comes on standard input, which is a socket until then: a length in four bytes and an object. The answer begins
// with the `mark` of the request, so standard output and lucky writes are no answers. The code runs in this process, so it
// decides what its result is; what it starts has neither the file nor the mark.

using System;
using System.Buffers.Binary;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Runtime.Loader;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Threading;
using System.Threading.Tasks;
using Microsoft.Win32.SafeHandles;

namespace Orchestratum
{
    /// What the code of a task sees without a word of its own.
    public static class Globals
    {
        static readonly JsonSerializerOptions AsOnTheWeb = new(JsonSerializerDefaults.Web) { IncludeFields = true };

        /// The input of the task.
        public static JsonElement Input { get; internal set; }

        /// The input, or a part of it, as a value of a type. Names match in any case.
        public static T? As<T>(this JsonElement element) => element.Deserialize<T>(AsOnTheWeb);
    }

    static class Runner
    {
        static int Main(string[] arguments)
        {
            var descriptor = int.Parse(arguments[0]);
            Kernel.CloseOnExecute(descriptor);
            WarmUp();
            if (Request.Receive() is not { } request)
                return 0;
            var answer = new Answer(descriptor, request.Mark);
            // Of other threads. The runtime ends the process after it.
            AppDomain.CurrentDomain.UnhandledException += (_, unhandled) =>
                answer.Failed(unhandled.ExceptionObject as Exception);
            request.Prepare(answer);
            return Run(request, answer);
        }

        /// What the first request would have to wait for.
        static void WarmUp()
        {
            var text = JsonSerializer.SerializeToUtf8Bytes<object>(new Dictionary<string, object?> { ["a"] = 1 }, Answer.Options);
            using var document = JsonDocument.Parse(text);
            document.RootElement.Clone().GetProperty("a").GetInt32();
            Convert.TryFromBase64String("YQ==", new byte[1], out _);
            Console.Out.Flush();
            Console.Error.Flush();
            Entry.Of(typeof(Runner).Assembly, typeof(Runner).FullName!, nameof(Nothing)).Call([]);
        }

        static object? Nothing(string[] arguments) => null;

        static int Run(Request request, Answer answer)
        {
            object? result;
            try
            {
                result = Entry.Of(request.Load(), request.Type, request.Method).Call(request.Arguments);
            }
            catch (Exception error)
            {
                answer.Failed(error);
                Complain(error);
                // As the runtime ends a process for it: `SIGABRT`.
                return 134;
            }
            if (result is ExitCode code)
                return code.Value;
            answer.Result(result);
            return Environment.ExitCode;
        }

        static void Complain(Exception error)
        {
            try
            {
                Console.Error.WriteLine("Unhandled exception. " + Answer.Describe(error));
            }
            catch (Exception)
            {
                // The answer says it, too.
            }
        }
    }

    /// What a program of its own would have ended with.
    readonly record struct ExitCode(int Value);

    /// The method that the code begins with.
    sealed class Entry
    {
        public const BindingFlags Any = BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic;

        readonly MethodInfo method;
        readonly bool isTopLevel;

        Entry(MethodInfo method, bool isTopLevel) => (this.method, this.isTopLevel) = (method, isTopLevel);

        public static Entry Of(Assembly assembly, string type, string name)
        {
            var candidates = assembly.GetType(type, throwOnError: true)!.GetMethods(Any).Where(method => method.Name == name);
            var method = candidates.First(method => method.GetParameters() is [] or [{ ParameterType.IsArray: true }]);
            return new(method, method.Name != "Main");
        }

        public object? Call(string[] arguments)
        {
            var takesArguments = method.GetParameters().Length == 1;
            var returned = method.Invoke(
                null, BindingFlags.DoNotWrapExceptions, null, takesArguments ? [arguments] : null, null);
            while (returned is Task task)
                returned = ValueOf(task);
            // What `Main` returns as a number is the exit code, as in every program.
            return returned is int code && !isTopLevel ? new ExitCode(code) : returned;
        }

        /// `null` of a task without a value, which to the runtime is a value of a type of its own.
        static object? ValueOf(Task task)
        {
            task.GetAwaiter().GetResult();
            var type = task.GetType();
            while (type is not null && !(type.IsGenericType && type.GetGenericTypeDefinition() == typeof(Task<>)))
                type = type.BaseType;
            return type is null || type.GetGenericArguments()[0].FullName == "System.Threading.Tasks.VoidTaskResult"
                ? null
                : type.GetProperty(nameof(Task<int>.Result))!.GetValue(task);
        }
    }

    sealed class Request
    {
        readonly JsonElement content;

        Request(JsonElement content) => this.content = content;

        public string Mark => Text("mark");
        public string Type => Text("type");
        public string Method => Text("method");
        public string[] Arguments => content.GetProperty("args").EnumerateArray().Select(argument => argument.GetString()!).ToArray();

        /// `null` when nobody wants anything any more.
        public static Request? Receive()
        {
            var length = new byte[4];
            if (!Kernel.Read(0, length))
                return null;
            var body = new byte[BinaryPrimitives.ReadUInt32BigEndian(length)];
            if (!Kernel.Read(0, body))
                return null;
            // The input may be nested as deep as the platform allows, and one level is ours.
            return new(JsonDocument.Parse(body, new() { MaxDepth = 256 }).RootElement);
        }

        /// Makes this process the task's.
        public void Prepare(Answer answer)
        {
            Globals.Input = content.GetProperty("input");
            foreach (var variable in content.GetProperty("environment").EnumerateObject())
                Environment.SetEnvironmentVariable(variable.Name, variable.Value.GetString());
            Kernel.ReplaceInput(content.GetProperty("stdin").GetString());
            if (Number("resident_bytes") is { } most)
                Memory.Watch(most, answer);
            if (Number("cpu_seconds") is { } seconds)
                Kernel.LimitProcessorTime(seconds);
        }

        public Assembly Load()
        {
            using var assembly = new MemoryStream(content.GetProperty("assembly").GetBytesFromBase64());
            using var symbols = new MemoryStream(content.GetProperty("symbols").GetBytesFromBase64());
            return AssemblyLoadContext.Default.LoadFromStream(assembly, symbols);
        }

        string Text(string name) => content.GetProperty(name).GetString()!;

        long? Number(string name)
        {
            var value = content.GetProperty(name);
            return value.ValueKind == JsonValueKind.Null ? null : value.GetInt64();
        }
    }

    /// What the worker is told. The last word counts.
    sealed class Answer
    {
        public static readonly JsonSerializerOptions Options = new()
        {
            // Tuples are fields.
            IncludeFields = true,
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        };

        // How much of a description the worker is told: its beginning says what went wrong.
        const int DescriptionMaxCharacters = 4 * 1024;

        readonly SafeFileHandle file;
        readonly byte[] mark;
        // Made while there is memory.
        readonly byte[] outOfMemory;
        readonly object writing = new();

        public Answer(int descriptor, string mark)
        {
            file = new(descriptor, ownsHandle: false);
            this.mark = Encoding.UTF8.GetBytes(mark);
            outOfMemory = Encoding.UTF8.GetBytes(
                mark + """{"failed": {"traceback": "the program had more memory than it may", "out_of_memory": true}}""");
        }

        public void Result(object? value)
        {
            byte[] result;
            try
            {
                result = JsonSerializer.SerializeToUtf8Bytes(value, value?.GetType() ?? typeof(object), Options);
            }
            catch (OutOfMemoryException)
            {
                OutOfMemory();
                return;
            }
            catch (Exception error)
            {
                Write(JsonSerializer.SerializeToUtf8Bytes(
                    new Dictionary<string, string> { ["not_json"] = $"{error.GetType().Name}: {error.Message}" }, Options));
                return;
            }
            Write([.. "{\"result\":"u8, .. result, .. "}"u8]);
        }

        public void Failed(Exception? error)
        {
            var isOutOfMemory = false;
            for (var cause = error; cause is not null; cause = cause.InnerException)
                isOutOfMemory |= cause is OutOfMemoryException;
            // Before anything needs memory.
            if (isOutOfMemory)
                OutOfMemory();
            try
            {
                var description = error is null ? "an object that is no exception was thrown" : Describe(error);
                var failed = new Dictionary<string, object>
                {
                    ["traceback"] = description,
                    ["out_of_memory"] = isOutOfMemory,
                };
                Write(JsonSerializer.SerializeToUtf8Bytes(new Dictionary<string, object> { ["failed"] = failed }, Options));
            }
            catch (OutOfMemoryException)
            {
                OutOfMemory();
            }
        }

        public void OutOfMemory() => Write(outOfMemory, 0);

        void Write(byte[] answer) => Write([.. mark, .. answer], 0);

        void Write(byte[] bytes, long offset)
        {
            lock (writing)
            {
                RandomAccess.SetLength(file, 0);
                RandomAccess.Write(file, bytes, offset);
            }
        }

        /// Type, message and stack as far as it is the code's.
        public static string Describe(Exception error)
        {
            var lines = error.ToString().Split('\n').Where(line => !IsOurs(line));
            var text = string.Join('\n', lines);
            return text.Length <= DescriptionMaxCharacters ? text : text[..DescriptionMaxCharacters];
        }

        static bool IsOurs(string line)
        {
            var frame = line.TrimStart();
            return frame.StartsWith("at Orchestratum.Entry.", StringComparison.Ordinal)
                || frame.StartsWith("at Orchestratum.Runner.", StringComparison.Ordinal)
                || frame.StartsWith("at System.Reflection.MethodBaseInvoker.", StringComparison.Ordinal)
                || frame.StartsWith("at System.Reflection.RuntimeMethodInfo.", StringComparison.Ordinal)
                || frame.StartsWith("at System.RuntimeMethodHandle.InvokeMethod", StringComparison.Ordinal)
                || frame.StartsWith("at InvokeStub_", StringComparison.Ordinal);
        }
    }

    /// The memory that this process really has, where nobody else looks after it.
    static class Memory
    {
        static readonly TimeSpan LookEvery = TimeSpan.FromMilliseconds(20);

        public static void Watch(long most, Answer answer)
        {
            var file = File.OpenHandle("/proc/self/statm");
            var look = new Thread(() =>
            {
                while (true)
                {
                    if (Resident(file) > most)
                    {
                        answer.OutOfMemory();
                        Kernel.Die();
                    }
                    Thread.Sleep(LookEvery);
                }
            });
            look.IsBackground = true;
            look.Start();
        }

        /// The second number, in pages. Without an allocation: there may be no memory for one.
        static long Resident(SafeFileHandle file)
        {
            Span<byte> text = stackalloc byte[128];
            var length = RandomAccess.Read(file, text, 0);
            long pages = 0;
            var field = 0;
            foreach (var character in text[..length])
            {
                if (character == ' ')
                    field++;
                else if (field == 1)
                    pages = pages * 10 + (character - '0');
                if (field > 1)
                    break;
            }
            return pages * Environment.SystemPageSize;
        }
    }

    /// The few calls of the kernel that the class library does not have.
    static class Kernel
    {
        const int ProcessorTimeLimit = 0;
        const int ProcessorTimeClock = 2;
        const int SetFlags = 2;
        const int CloseOnExec = 1;
        const int Interrupted = 4;
        const int Kill = 9;

        /// `false` at the end.
        public static bool Read(int descriptor, byte[] buffer)
        {
            for (var filled = 0; filled < buffer.Length;)
            {
                var read = Native.read(descriptor, ref buffer[filled], buffer.Length - filled);
                if (read > 0)
                    filled += (int)read;
                else if (read == 0 || Marshal.GetLastPInvokeError() != Interrupted)
                    return false;
            }
            return true;
        }

        public static void CloseOnExecute(int descriptor) => Check(Native.fcntl(descriptor, SetFlags, CloseOnExec));

        /// Puts what the task was given in the place of the socket.
        public static void ReplaceInput(string? text)
        {
            if (text is null)
            {
                using var nothing = File.OpenHandle("/dev/null");
                Check(Native.dup2((int)nothing.DangerousGetHandle(), 0));
                return;
            }
            using var file = WithoutName();
            // At a place, so that reading begins at the first byte.
            RandomAccess.Write(file, Encoding.UTF8.GetBytes(text), 0);
            Check(Native.dup2((int)file.DangerousGetHandle(), 0));
        }

        /// In memory; on the disk of the task where nobody may make files in memory because nobody counts them.
        static SafeFileHandle WithoutName()
        {
            var memory = Native.memfd_create("stdin", CloseOnExec);
            if (memory >= 0)
                return new(memory, ownsHandle: true);
            var path = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
            return File.OpenHandle(
                path, FileMode.CreateNew, FileAccess.ReadWrite, FileShare.ReadWrite, FileOptions.DeleteOnClose);
        }

        /// For what comes from here on; the kernel counts from the start of the process. The code cannot raise it again.
        public static void LimitProcessorTime(long seconds)
        {
            Check(Native.clock_gettime(ProcessorTimeClock, out var used));
            Check(Native.getrlimit(ProcessorTimeLimit, out var limit));
            // Limits are whole seconds, and nobody gets less than was asked for.
            var soft = (ulong)seconds + (ulong)used.Seconds + (used.Nanoseconds > 0 ? 1ul : 0ul);
            // The soft limit first, so that the program ends by a signal that says why. The worker may have one of its own.
            limit.Hard = Math.Min(limit.Hard, soft + 1);
            limit.Soft = Math.Min(limit.Hard, soft);
            Check(Native.setrlimit(ProcessorTimeLimit, ref limit));
        }

        public static void Die() => Native.kill(Environment.ProcessId, Kill);

        static int Check(int returned) =>
            returned >= 0 ? returned : throw new IOException($"the kernel refuses: {Marshal.GetLastPInvokeErrorMessage()}");
    }

    static class Native
    {
        [StructLayout(LayoutKind.Sequential)]
        public struct Limit
        {
            public ulong Soft;
            public ulong Hard;
        }

        [StructLayout(LayoutKind.Sequential)]
        public struct Time
        {
            public nint Seconds;
            public nint Nanoseconds;
        }

        [DllImport("libc", SetLastError = true)]
        public static extern nint read(int descriptor, ref byte buffer, nint count);

        [DllImport("libc", SetLastError = true)]
        public static extern int fcntl(int descriptor, int command, int argument);

        [DllImport("libc", SetLastError = true)]
        public static extern int dup2(int from, int to);

        [DllImport("libc", SetLastError = true)]
        public static extern int memfd_create(string name, uint flags);

        [DllImport("libc", SetLastError = true)]
        public static extern int clock_gettime(int clock, out Time time);

        [DllImport("libc", SetLastError = true)]
        public static extern int getrlimit(int resource, out Limit limit);

        [DllImport("libc", SetLastError = true)]
        public static extern int setrlimit(int resource, ref Limit limit);

        [DllImport("libc")]
        public static extern int kill(int process, int signal);
    }
}
