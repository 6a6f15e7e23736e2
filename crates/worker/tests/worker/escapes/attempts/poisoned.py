# S24: whether anything of a task before this one is loaded or found.
import builtins, pathlib
import colorsys, json

if hasattr(builtins, "poisoned"):
    hole("code of the task before ran")
library = os.path.dirname(os.__file__)
for module in (colorsys, json):
    if not module.__file__.startswith(library):
        hole(f"{module.__name__} is of {module.__file__}")
if TEMPORARY in sys.path or "/tmp" in sys.path:
    hole(f"modules come from {sys.path}")
for name in ("PYTHONPATH", "LD_PRELOAD", "DOTNET_STARTUP_HOOKS"):
    if name in os.environ:
        hole(f"variable {name}")
for folder in (OWN, "/tmp", "/dev/shm") if FULL else (OWN,):
    for path in pathlib.Path(folder).rglob("*"):
        # That is what runs this code, where no interpreter waits for it.
        if path.is_file() and path != pathlib.Path(OWN, "runner.py"):
            hole(f"file {path}")
# An interpreter that is not told to leave them alone reads the folders of its user.
code = "import builtins, colorsys, json; print(hasattr(builtins, 'poisoned'), json.__file__, colorsys.__file__)"
said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
if said[0] != "False" or not all(path.startswith(library) for path in said[1:]):
    hole(f"a new interpreter has {said}")
