# Runs the code of a `python` task: `runner.py CODE INPUT RESULT [ARGUMENT...]`.
#
# What `main(input)` returns goes to the RESULT file, which is opened before the code of the task runs; standard output
# belongs to the task alone.
import os
import sys


def execute(code_path, input_path, arguments):
    with open(code_path, encoding="utf-8") as file:
        source = file.read()
    with open(input_path, encoding="utf-8") as file:
        import json

        task_input = json.load(file)
    sys.argv = ["main.py", *arguments]
    import linecache
    import types

    # So that a traceback shows the lines of the code without naming a file that is gone when it is read.
    linecache.cache["main.py"] = (len(source), None, source.splitlines(True), "main.py")
    code = compile(source, "main.py", "exec", dont_inherit=True)
    # `main` is called with the input. A script that has none runs as scripts do, its `if __name__ == "__main__"` too.
    name = "task" if defines_main(code) else "__main__"
    module = types.ModuleType(name)
    module.__file__ = "main.py"
    sys.modules[name] = module
    exec(code, module.__dict__)
    main = module.__dict__.get("main")
    if not callable(main):
        return None
    takes = getattr(main, "__code__", None)
    # A `main` without parameters does not want the input.
    wants_input = takes is None or takes.co_argcount or takes.co_posonlyargcount or takes.co_flags & 0x04
    result = main(task_input) if wants_input else main()
    if hasattr(result, "__await__"):
        import asyncio

        async def awaited():
            return await result

        result = asyncio.run(awaited())
    return result


def defines_main(code):
    return any(getattr(constant, "co_name", None) == "main" for constant in code.co_consts)


# How much of a traceback the worker is told: its end says what went wrong.
TRACEBACK_MAX_BYTES = 64 * 1024


def last_part(text):
    data = text.encode("utf-8", "backslashreplace")
    return data[-TRACEBACK_MAX_BYTES:].decode("utf-8", "ignore")


def describe(error):
    import traceback

    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    return "".join(traceback.format_exception(type(error), error, frames))


def write(descriptor, answer):
    data = answer.encode("utf-8", "backslashreplace")
    while data:
        data = data[os.write(descriptor, data) :]


def run():
    code_path, input_path, result_path, *arguments = sys.argv[1:]
    descriptor = os.open(result_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    import json

    try:
        result = execute(code_path, input_path, arguments)
    except SystemExit:
        raise
    except BaseException as error:
        text = describe(error)
        sys.stderr.write(text)
        write(descriptor, json.dumps({"traceback": last_part(text)}, ensure_ascii=False))
        sys.exit(1)
    try:
        answer = json.dumps(result, ensure_ascii=False, allow_nan=False)
        answer.encode("utf-8")
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        write(descriptor, json.dumps({"not_json": message}))
    else:
        write(descriptor, '{"result":' + answer + "}")


run()
