// The command line of the C# compiler, as far as a worker uses it: every SDK has it, its library alone has not.

using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Text;

static class Csc
{
    static int Main(string[] arguments)
    {
        var parsed = CSharpCommandLineParser.Default.Parse(arguments, Environment.CurrentDirectory, null);
        var trees = new List<SyntaxTree>();
        foreach (var file in parsed.SourceFiles)
        {
            var text = SourceText.From(File.ReadAllText(file.Path), Encoding.UTF8);
            trees.Add(CSharpSyntaxTree.ParseText(text, parsed.ParseOptions, file.Path));
        }
        var references = parsed.MetadataReferences.Select(given => MetadataReference.CreateFromFile(given.Reference));
        var name = Path.GetFileNameWithoutExtension(parsed.OutputFileName);
        var compilation = CSharpCompilation.Create(name, trees, references, parsed.CompilationOptions);
        var path = Path.Combine(parsed.OutputDirectory, parsed.OutputFileName);
        var emitted = compilation.Emit(path);
        var faults = parsed.Errors.Concat(emitted.Diagnostics).Where(fault => fault.Severity == DiagnosticSeverity.Error);
        foreach (var fault in faults)
            Console.WriteLine(fault);
        if (!emitted.Success)
            File.Delete(path);
        return emitted.Success ? 0 : 1;
    }
}
