"""A worker for Orchestratum in Python's standard library alone: python3 worker.py, with ORCHESTRATUM_KEY set."""
import http.client, json, os, socket, sys, threading, time, traceback, uuid
import urllib.error, urllib.request

URL = os.environ.get("ORCHESTRATUM_URL", "http://127.0.0.1:5000") + "/api/worker/"
HEADERS = {"Content-Type": "application/json", "X-API-Key": os.environ["ORCHESTRATUM_KEY"]}
LEASE_SECONDS = float(os.environ.get("LEASE_SECONDS", "30"))
CONCURRENCY = int(os.environ.get("CONCURRENCY", "4"))

def nap(input, stop):
    """A handler. One that takes long looks at `stop` now and then."""
    return {"interrupted": stop.wait(input["seconds"])}

class Refused(Exception):
    """A failure that no further try would mend."""

HANDLERS = {"sum": lambda input, stop: sum(input), "nap": nap}

def call(path, body):
    """Every call may be repeated, so one without an answer is; of a refusal it is only told."""
    while True:
        try:
            request = urllib.request.Request(URL + path, json.dumps(body).encode(), HEADERS)
            return json.load(urllib.request.urlopen(request, timeout=90))
        except urllib.error.HTTPError as error:
            print(path, error.read().decode(), file=sys.stderr)
            time.sleep(0.5)
            if error.code < 500:
                return {}
        except (OSError, http.client.HTTPException, ValueError):
            time.sleep(0.5)

def keep(path, stop, ended):
    """Heartbeats, until the handler is done. A refused one says that the attempt is over."""
    while not ended.wait(min(LEASE_SECONDS / 3, 10)):
        if call(path + "heartbeat", {}).get("cancel_requested", True):
            stop.set()

def run(task, handlers):
    path = f"tasks/{task['id']}/attempts/{task['attempt']}/"
    stop, ended = threading.Event(), threading.Event()
    threading.Thread(target=keep, args=(path, stop, ended), daemon=True).start()
    try:
        report = {"output": handlers[task["name"]](task["input"], stop)}
        json.dumps(report)  # What cannot be written as JSON is a failure, too.
        how = "complete"
    except Refused as error:
        how, report = "fail", {"error": {"message": str(error)}, "retryable": False}
    except Exception:
        how, report = "fail", {"error": {"message": traceback.format_exc()[-60000:]}}
    if stop.is_set():
        how, report = "fail", {"error": {"kind": "Cancelled", "message": "stopped on request"}}
    ended.set()
    call(path + how, report)

def work(handlers, targets, name=f"{socket.gethostname()}-{os.getpid()}"):
    offer = {"worker": name, "names": list(handlers), "targets": targets}
    while True:
        claim = {**offer, "wait_seconds": 20, "lease_seconds": LEASE_SECONDS}
        for task in call("claim", {**claim, "request_id": str(uuid.uuid4())}).get("tasks", []):
            run(task, handlers)

def serve(handlers, targets):
    for _ in range(CONCURRENCY):
        threading.Thread(target=work, args=(handlers, targets)).start()

if __name__ == "__main__":
    serve(HANDLERS, ["default"])
