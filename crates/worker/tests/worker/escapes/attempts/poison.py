# S24: what others load or read by themselves later. In its own folders a task may leave what it likes.
import importlib.util, pathlib, site, sysconfig
import colorsys, json

PAYLOAD = "import builtins\nbuiltins.poisoned = True\n"


def leave(path, content=PAYLOAD):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


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
    possible(f"leave {path}", lambda: leave(path))
home = os.environ["HOME"]
for path in (
    site.getusersitepackages() + "/usercustomize.py",
    site.getusersitepackages() + "/poison.pth",
    f"{home}/.cache/pip/http/poison",
    f"{home}/.config/pip/pip.conf",
    f"{home}/.nuget/packages/poison",
    f"{home}/.profile",
    f"{home}/json.py",
    f"{home}/colorsys.py",
    "/tmp/json.py",
    "/tmp/dotnet-diagnostic-1-1-socket",
    "/tmp/.dotnet/shm/poison",
    "/tmp/NuGetScratch/poison",
    "/dev/shm/poison",
    "/run/task/json.py",
):
    leave(path)
os.environ.update(PYTHONPATH="/tmp", LD_PRELOAD="/tmp/poison.so", DOTNET_STARTUP_HOOKS="/tmp/poison.dll")
sys.path.insert(0, "/tmp")
sys.modules["colorsys"] = None
