"""The message of a calculation, and what is answered: the same over Celery and over a plain queue.

    {"correlationId", "repoUrl", "branch", "commitHash", "input_files", "output_file"}
        -> {"commitHash", "output_file"}      the commit of the output on the branch
        -> {"movedTo"}                        others were faster: where the branch is
        -> {"error"}                          it cannot be calculated, and would not be the next time either

What else goes wrong is raised: a task of Celery is tried again, and a message of a queue is given back where GitLab is away.
"""
import json, tempfile

from calculations import CALCULATIONS
from repository import Moved, Repository

# Of a connection that answers: an answer is given when the broker has confirmed it. Of a queue that a broker does not give back after
# it was killed nothing is ever confirmed, and whoever waited without an end would calculate nothing any more.
CONFIRMED = {"confirm_publish": True, "read_timeout": 2}

# How often an answer is sent again after that: nobody takes it then.
ANSWER_TRIES = 4


class Uncalculable(Exception):
    pass


def calculate(name, correlationId, repoUrl, branch, commitHash, input_files, output_file):
    # The same message again is the same step: its commit is made once.
    step = f"{correlationId}:{commitHash[:12]}:{output_file}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            repository = Repository(repoUrl, branch, commitHash, folder)
            commit = repository.made_before(step)
            if commit is None:
                commit = repository.push(output_file, output(name, repository, input_files), step)
        except Moved as moved:
            return {"movedTo": str(moved)}
        except Uncalculable as why:
            return {"error": str(why)}
    return {"commitHash": commit, "output_file": output_file}


def output(name, repository, input_files):
    try:
        files = {file: json.loads(repository.path(file).read_text(encoding="utf-8-sig")) for file in input_files}
        # Infinity and NaN are no JSON: whoever takes the file in could not read them.
        return json.dumps(CALCULATIONS[name](files), indent=2, sort_keys=True, allow_nan=False) + "\n"
    except Exception as error:
        raise Uncalculable(f"{type(error).__name__}: {error}") from error
