"""The message of a calculation, and what is answered: the same over Celery and over a plain queue.

    {"correlationId", "repoUrl", "branch", "commitHash", "input_files", "output_file"}
        -> {"commitHash", "output_file"}      the commit of the output on the branch
        -> {"movedTo"}                        others were faster: where the branch is
"""
import json, tempfile

from calculations import CALCULATIONS
from repository import Moved, Repository


def calculate(name, correlationId, repoUrl, branch, commitHash, input_files, output_file):
    # The same message again is the same step: its commit is made once.
    step = f"{correlationId}:{commitHash[:12]}:{output_file}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            repository = Repository(repoUrl, branch, commitHash, folder)
            commit = repository.made_before(step)
            if commit is None:
                files = {file: json.loads(repository.path(file).read_text()) for file in input_files}
                output = CALCULATIONS[name](files)
                # Infinity and NaN are no JSON: whoever takes the file in could not read them.
                text = json.dumps(output, indent=2, sort_keys=True, allow_nan=False)
                commit = repository.push(output_file, text + "\n", step)
        except Moved as moved:
            return {"movedTo": str(moved)}
    return {"commitHash": commit, "output_file": output_file}
