# S24: whether anything of a task before this one is loaded or found.
import builtins, pathlib
import colorsys, json

if hasattr(builtins, "poisoned"):
    hole("code of the task before ran")
library = os.path.dirname(os.__file__)
for module in (colorsys, json):
    if not module.__file__.startswith(library):
        hole(f"{module.__name__} is of {module.__file__}")
if "/tmp" in sys.path:
    hole(f"modules come from {sys.path}")
for name in ("PYTHONPATH", "LD_PRELOAD", "DOTNET_STARTUP_HOOKS"):
    if name in os.environ:
        hole(f"variable {name}")
for folder in ("/run/task", "/tmp", "/dev/shm"):
    for path in pathlib.Path(folder).rglob("*"):
        if path.is_file():
            hole(f"file {path}")
# An interpreter that is not told to leave them alone reads the folders of its user.
code = "import builtins, colorsys, json; print(hasattr(builtins, 'poisoned'), json.__file__, colorsys.__file__)"
said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
if said[0] != "False" or not all(path.startswith(library) for path in said[1:]):
    hole(f"a new interpreter has {said}")
