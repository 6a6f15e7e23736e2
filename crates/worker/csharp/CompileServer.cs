// Compiles the code of `csharp` tasks: a line of JSON in, a line of JSON out, one after the other, on standard input, which
// is a socket. It never runs what it compiles.
//
//   CompileServer.dll ROSLYN RUNNER     the folder of Microsoft.CodeAnalysis, and the library that has `Input`
//
//   {"code": "…"}  ──►  {"compiled": {"assembly": base64, "symbols": base64, "type": "Program", "method": "Main"}}
//                       {"refused": {"errors": [{"line": 1, "column": 5, "code": "CS1002", "message": "…"}], "count": 1}}
//                       {"exhausted": "why"}    and the process ends: whoever started it starts another
//
// The first line it says is {"ready": "<version of the language>"}.

using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Runtime.Loader;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Microsoft.CodeAnalysis.Emit;
using Microsoft.CodeAnalysis.Text;
using Microsoft.Win32.SafeHandles;

static class CompileServer
{
    static int Main(string[] arguments)
    {
        var (roslyn, runner) = (arguments[0], arguments[1]);
        // Before anything that names a type of Roslyn is compiled.
        AssemblyLoadContext.Default.Resolving += (context, name) =>
        {
            var path = Path.Combine(roslyn, name.Name + ".dll");
            return File.Exists(path) ? context.LoadFromAssemblyPath(path) : null;
        };
        Serve(runner);
        return 0;
    }

    static void Serve(string runner)
    {
        using var input = new StreamReader(Console.OpenStandardInput(), new UTF8Encoding(false));
        using var output = new FileStream(new SafeFileHandle(0, ownsHandle: false), FileAccess.Write, bufferSize: 1);
        var compiler = new Compiler(runner);
        compiler.WarmUp();
        var version = LanguageVersion.Latest.MapSpecifiedToEffectiveVersion().ToDisplayString();
        Say(output, answer => answer.WriteString("ready", version));
        while (input.ReadLine() is { } line)
        {
            try
            {
                using var request = JsonDocument.Parse(line);
                var outcome = compiler.Compile(request.RootElement.GetProperty("code").GetString()!);
                Say(output, outcome.Write);
            }
            catch (Exception error) when (error is OutOfMemoryException or InsufficientExecutionStackException)
            {
                Say(output, answer => answer.WriteString("exhausted", error.Message));
                return;
            }
        }
    }

    static void Say(Stream output, Action<Utf8JsonWriter> write)
    {
        using var buffer = new MemoryStream();
        // Only ever read by the worker, so nothing in it has to be safe for a web page.
        using (var answer = new Utf8JsonWriter(buffer, new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            answer.WriteStartObject();
            write(answer);
            answer.WriteEndObject();
        }
        buffer.WriteByte((byte)'\n');
        output.Write(buffer.GetBuffer(), 0, (int)buffer.Length);
    }
}

/// What became of a piece of code.
abstract record Outcome
{
    public abstract void Write(Utf8JsonWriter answer);
}

sealed record Compiled(byte[] Assembly, byte[] Symbols, string Type, string Method) : Outcome
{
    public override void Write(Utf8JsonWriter answer)
    {
        answer.WriteStartObject("compiled");
        answer.WriteBase64String("assembly", Assembly);
        answer.WriteBase64String("symbols", Symbols);
        answer.WriteString("type", Type);
        answer.WriteString("method", Method);
        answer.WriteEndObject();
    }
}

sealed record Refused(IReadOnlyList<Fault> Faults) : Outcome
{
    // Whoever made more mistakes has enough to mend.
    const int Told = 20;

    /// `null` where nothing is wrong.
    public static Refused? By(IEnumerable<Diagnostic> diagnostics)
    {
        var errors = diagnostics.Where(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error);
        var faults = errors.Select(Fault.Of).OrderBy(fault => (fault.Line, fault.Column)).ToList();
        return faults is [] ? null : new(faults);
    }

    public override void Write(Utf8JsonWriter answer)
    {
        answer.WriteStartObject("refused");
        answer.WriteStartArray("errors");
        foreach (var fault in Faults.Take(Told))
        {
            answer.WriteStartObject();
            answer.WriteNumber("line", fault.Line);
            answer.WriteNumber("column", fault.Column);
            answer.WriteString("code", fault.Code);
            answer.WriteString("message", fault.Message);
            answer.WriteEndObject();
        }
        answer.WriteEndArray();
        answer.WriteNumber("count", Faults.Count);
        answer.WriteEndObject();
    }
}

readonly record struct Fault(int Line, int Column, string Code, string Message)
{
    public static Fault Of(Diagnostic diagnostic)
    {
        var start = diagnostic.Location.GetMappedLineSpan().StartLinePosition;
        var message = diagnostic.GetMessage(CultureInfo.InvariantCulture);
        return new(start.Line + 1, start.Character + 1, diagnostic.Id, message);
    }
}

sealed class Compiler
{
    const string Usings = """
        global using global::System;
        global using global::System.Collections.Generic;
        global using global::System.IO;
        global using global::System.Linq;
        global using global::System.Net.Http;
        global using global::System.Text.Json;
        global using global::System.Threading;
        global using global::System.Threading.Tasks;
        global using static global::Orchestratum.Globals;
        """;

    static readonly CSharpParseOptions Parsing = new(LanguageVersion.Latest, DocumentationMode.None);

    static readonly CSharpCompilationOptions Compiling = new(
        OutputKind.DynamicallyLinkedLibrary,
        optimizationLevel: OptimizationLevel.Release,
        allowUnsafe: true,
        nullableContextOptions: NullableContextOptions.Enable,
        // A task's compilation must not slow those that run.
        concurrentBuild: false,
        deterministic: true);

    readonly CSharpCompilation empty;

    public Compiler(string runner)
    {
        var framework = Path.GetDirectoryName(typeof(object).Assembly.Location);
        var platform = ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!).Split(Path.PathSeparator);
        var references = platform
            .Where(path => Path.GetDirectoryName(path) == framework)
            .Append(runner)
            .Select(path => MetadataReference.CreateFromFile(path));
        empty = CSharpCompilation.Create("main", [Parse(Usings, "usings.cs")], references, Compiling);
    }

    /// The first compilation loads most of the compiler.
    public void WarmUp()
    {
        Compile("var sum = Input.ValueKind; await Task.Yield(); record A(int B);");
        Compile("class A { static int Main() => 1; }");
        Compile("new[] { 1, 2 }.Sum(x => $\"{x}\".Length)");
        Compile("x");
    }

    public Outcome Compile(string code)
    {
        var tree = Parse(code);
        var program = TopLevel.Read(code, tree, Parse);
        if (program is null)
            // What is no C# at all would only be followed by what that means.
            return Refused.By(tree.GetDiagnostics()) ?? Emit(Add(tree), MainOf);
        if (program.Expression is not null && IsWorthReturning(program))
            program = program.Returning();
        return Emit(Add(Parse(program.Text())), _ => [(TopLevel.Type, TopLevel.Method)]);
    }

    static SyntaxTree Parse(string text) => Parse(text, "main.cs");

    // Without an encoding there can be no symbols.
    static SyntaxTree Parse(string text, string path) =>
        CSharpSyntaxTree.ParseText(SourceText.From(text, Encoding.UTF8), Parsing, path);

    CSharpCompilation Add(SyntaxTree tree) => empty.AddSyntaxTrees(tree);

    /// An expression at the end is the result, unless it has no value, such as `Console.WriteLine(1)`.
    bool IsWorthReturning(TopLevel program)
    {
        var tree = Parse(program.Text());
        var last = tree.GetRoot().DescendantNodes().OfType<MethodDeclarationSyntax>()
            .First(method => method.Identifier.Text == TopLevel.Method)
            .Body!.Statements.OfType<ExpressionStatementSyntax>().Last();
        var type = Add(tree).GetSemanticModel(tree).GetTypeInfo(last.Expression).Type;
        return type?.SpecialType != SpecialType.System_Void;
    }

    static Outcome Emit(CSharpCompilation compilation, Func<CSharpCompilation, IReadOnlyList<(string, string)>> mainOf)
    {
        using var assembly = new MemoryStream();
        using var symbols = new MemoryStream();
        var options = new EmitOptions(debugInformationFormat: DebugInformationFormat.PortablePdb);
        var emitted = compilation.Emit(assembly, symbols, options: options);
        if (!emitted.Success)
            return Refused.By(emitted.Diagnostics)!;
        return mainOf(compilation) switch
        {
            [(var type, var method)] => new Compiled(assembly.ToArray(), symbols.ToArray(), type, method),
            [] => new Refused([new(1, 1, "CS5001", "there are no statements and no static method `Main` to begin with")]),
            var several => new Refused([new(1, 1, "CS0017", "more than one method `Main` to begin with: "
                + string.Join(", ", several.Select(main => main.Item1)))]),
        };
    }

    /// Methods that a program without statements could begin with.
    static List<(string, string)> MainOf(CSharpCompilation compilation)
    {
        var found = new List<(string, string)>();
        Look(compilation.Assembly.GlobalNamespace);
        return found;

        void Look(INamespaceOrTypeSymbol within)
        {
            foreach (var member in within.GetMembers())
            {
                if (member is INamespaceOrTypeSymbol inner)
                    Look(inner);
                else if (member is IMethodSymbol { Name: "Main", IsStatic: true, IsGenericMethod: false } method && Takes(method))
                    found.Add((NameOf(method.ContainingType), method.Name));
            }
        }

        static bool Takes(IMethodSymbol method) =>
            !method.ContainingType.IsGenericType
            && (method.Parameters.IsEmpty
                || method.Parameters is [{ Type: IArrayTypeSymbol { ElementType.SpecialType: SpecialType.System_String } }]);
    }

    /// As the runtime writes it.
    static string NameOf(INamedTypeSymbol type)
    {
        if (type.ContainingType is { } outer)
            return NameOf(outer) + "+" + type.MetadataName;
        return type.ContainingNamespace.IsGlobalNamespace
            ? type.MetadataName
            : type.ContainingNamespace.ToDisplayString() + "." + type.MetadataName;
    }
}

/// Statements at the top of the code, made the body of a method that returns a value: the language itself lets them return
/// no more than an exit code. Lines and columns stay those of the code.
sealed record TopLevel(string Code, CompilationUnitSyntax Unit, ExpressionSyntax? Expression, bool Returns)
{
    public const string Type = "Program";
    public const string Method = "TopLevelStatements";

    /// `null` for code that has none, or has them where the language does not allow them.
    public static TopLevel? Read(string code, SyntaxTree tree, Func<string, SyntaxTree> parse)
    {
        var unit = tree.GetCompilationUnitRoot();
        if (!HasErrors(tree))
            return IsWellPlaced(unit) ? new(code, unit, null, Returns: false) : null;
        if (unit.EndOfFileToken.GetPreviousToken() is not { RawKind: not 0 } last)
            return null;
        // It may be an expression at the end that has no semicolon. That is no C#, with a semicolon it is.
        var closed = code.Insert(last.Span.End, ";");
        var closedTree = parse(closed);
        var closedUnit = closedTree.GetCompilationUnitRoot();
        return !HasErrors(closedTree)
            && closedUnit.Members.LastOrDefault() is GlobalStatementSyntax { Statement: ExpressionStatementSyntax end }
            && IsWellPlaced(closedUnit)
                ? new(closed, closedUnit, end.Expression, Returns: false)
                : null;
    }

    public TopLevel Returning() => this with { Returns = true };

    static bool HasErrors(SyntaxTree tree) =>
        tree.GetDiagnostics().Any(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error);

    static bool IsWellPlaced(CompilationUnitSyntax unit)
    {
        var leading = unit.Members.TakeWhile(member => member is GlobalStatementSyntax).Count();
        return leading > 0 && leading == unit.Members.Count(member => member is GlobalStatementSyntax);
    }

    IEnumerable<GlobalStatementSyntax> Statements => Unit.Members.OfType<GlobalStatementSyntax>();

    public string Text()
    {
        var (start, end) = (Statements.First().SpanStart, Statements.Last().Span.End);
        var text = new StringBuilder(Code.Length + 512);
        text.Append(Code, 0, start);
        var result = IsAsync() ? "async static System.Threading.Tasks.Task<object?>" : "static object?";
        text.Append($"\npartial class {Type} {{ {result} {Method}(string[] args) {{");
        Place(text, start);
        var position = start;
        foreach (var (at, inserted) in Insertions())
        {
            text.Append(Code, position, at - position);
            text.Append(inserted);
            if (inserted.EndsWith('\n'))
                Place(text, at);
            position = at;
        }
        text.Append(Code, position, end - position);
        text.Append("\nreturn null; } }");
        Place(text, end);
        text.Append(Code, end, Code.Length - end);
        return text.ToString();
    }

    /// Lets what follows have the line and the column that it has in the code.
    void Place(StringBuilder text, int position)
    {
        var place = Unit.SyntaxTree.GetLineSpan(new TextSpan(position, 0)).StartLinePosition;
        text.Append($"\n#line {place.Line + 1} \"main.cs\"\n").Append(' ', place.Character);
    }

    IEnumerable<(int At, string Text)> Insertions()
    {
        var bare = Nodes().OfType<ReturnStatementSyntax>().Where(node => node.Expression is null);
        var insertions = bare.Select(node => (node.ReturnKeyword.Span.End, " null"));
        return Returns ? insertions.Append((Expression!.SpanStart, "return\n")) : insertions;
    }

    bool IsAsync() => Nodes().SelectMany(node => node.ChildTokens()).Any(token => token.IsKind(SyntaxKind.AwaitKeyword));

    /// In the order of the text, and not those within functions of their own.
    IEnumerable<SyntaxNode> Nodes() => Statements.SelectMany(statement => statement.DescendantNodes(
        node => node is not (LocalFunctionStatementSyntax or AnonymousFunctionExpressionSyntax)));
}
