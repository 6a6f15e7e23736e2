# S24: what others load or read by themselves later. In its own folders a task may leave what it likes.
import importlib.util, pathlib, site, sysconfig
import colorsys, json

PAYLOAD = "import builtins\nbuiltins.poisoned = True\n"


def leave(path, content=PAYLOAD):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


# For writing, as that would be the machine's at `landlock`.
def reach(path):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    return write(path)


library = os.path.dirname(os.__file__)
packages = sysconfig.get_paths()["purelib"]
for path in (
    importlib.util.cache_from_source(colorsys.__file__),
    importlib.util.cache_from_source(json.__file__),
    f"{library}/sitecustomize.py",
    f"{library}/colorsys.py",
    f"{packages}/sitecustomize.py",
    f"{packages}/poison.pth",
    f"{sys.prefix}/pyvenv.cfg",
    "/etc/pip.conf",
    "/etc/ld.so.preload",
    "/etc/profile.d/poison.sh",
    "/etc/bash.bashrc",
    "/usr/share/dotnet/host/fxr/poison",
    "/usr/lib/dotnet/poison",
    os.path.join("/root", ".nuget/NuGet/NuGet.Config"),
    "/var/cache/poison",
):
    possible(f"leave {path}", lambda: reach(path))
home = HOME
for path in (
    site.getusersitepackages() + "/usercustomize.py",
    site.getusersitepackages() + "/poison.pth",
    f"{home}/.cache/pip/http/poison",
    f"{home}/.config/pip/pip.conf",
    f"{home}/.nuget/packages/poison",
    f"{home}/.profile",
    f"{home}/json.py",
    f"{home}/colorsys.py",
    f"{TEMPORARY}/json.py",
    f"{TEMPORARY}/dotnet-diagnostic-1-1-socket",
    f"{TEMPORARY}/.dotnet/shm/poison",
    f"{TEMPORARY}/NuGetScratch/poison",
    f"{OWN}/shm/poison",
    f"{OWN}/json.py",
):
    leave(path)
# What these are at `full` is its own; at `landlock` everybody's.
for folder in ("/tmp", "/var/tmp", "/dev/shm"):
    if FULL:
        leave(f"{folder}/poison")
    else:
        possible(f"leave something in {folder}", lambda: reach(f"{folder}/poison"))
os.environ.update(PYTHONPATH=TEMPORARY, LD_PRELOAD=f"{TEMPORARY}/poison.so", DOTNET_STARTUP_HOOKS=f"{TEMPORARY}/poison.dll")
sys.path.insert(0, TEMPORARY)
sys.modules["colorsys"] = None
