"""Holds a GitLab to what its own client expects: python-gitlab asks, and each answer is compared with what the documentation says.

The tests run it against the double. It takes any GitLab: GITLAB_URL, GITLAB_TOKEN (scope `api`, may push), GITLAB_READ_TOKEN
(scope `read_api`), GITLAB_PROJECT. It writes to branches that it makes, and opens five issues.
"""

import base64
import os
import sys
import uuid

import gitlab
import requests

URL = os.environ["GITLAB_URL"]
TOKEN = os.environ["GITLAB_TOKEN"]
READ_TOKEN = os.environ["GITLAB_READ_TOKEN"]
PROJECT = os.environ["GITLAB_PROJECT"]

counts = {True: 0, False: 0}


def check(name, holds, seen=None):
    counts[bool(holds)] += 1
    print(f"{'ok' if holds else 'FAILED'}  {name}" + ("" if holds else f": {seen!r}"))


def refused(call, *arguments, **named):
    """Status and message of a call that must fail."""
    try:
        return "done", call(*arguments, **named)
    except gitlab.exceptions.GitlabError as error:
        return error.response_code, str(error.error_message)


def check_refused(name, status, words, call, *arguments, **named):
    seen = refused(call, *arguments, **named)
    check(name, seen[0] == status and words in str(seen[1]), seen)


def users_and_projects(client, project):
    check("a project is found by its path", project.path_with_namespace == PROJECT)
    answer = requests.get(f"{URL}/api/v4/user", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60)
    check("a token is taken as a bearer, too", answer.json()["id"] == client.user.id, answer.text)
    issues = f"{URL}/api/v4/projects/{project.id}/issues"
    answer = requests.get(issues, headers={"PRIVATE-TOKEN": "unknown"}, timeout=60)
    check("an unknown token is refused", answer.status_code == 401, answer.text)
    check_refused("a project that is not there", 404, "Project Not Found", client.projects.get, "no/such")


def branches(project, branch):
    made = project.branches.create({"branch": branch, "ref": project.default_branch})
    check("a branch is made", made.name == branch and made.commit["id"])
    create = project.branches.create
    check_refused("and not twice", 400, "already exists", create, {"branch": branch, "ref": project.default_branch})
    check_refused("nor from nothing", 400, "", create, {"branch": f"{branch}-x", "ref": "no-such"})
    check_refused("a branch that is not there", 404, "Branch Not Found", project.branches.get, "no-such")


def files(project, branch, folder):
    path = f"{folder}/a b.txt"
    new = {"file_path": path, "branch": branch, "content": "one", "commit_message": "first"}
    check("a file is made", project.files.create(new).file_path == path)
    seen = refused(project.files.create, new)
    check("and not twice", seen == (400, "A file with this name already exists"), seen)
    file = project.files.get(path, ref=branch)
    is_whole = file.decode() == b"one" and file.size == 3 and file.encoding == "base64"
    check("a file is read", is_whole and len(file.content_sha256) == 64, file)
    head = project.files.head(path, ref=branch)
    is_same = head["X-Gitlab-Blob-Id"] == file.blob_id and head["X-Gitlab-Last-Commit-Id"] == file.last_commit_id
    check("a file is looked at", is_same, dict(head))
    check("a file is read as it is", project.files.raw(path, ref=branch) == b"one")
    check_refused("a file that is not there", 404, "File Not Found", project.files.get, "no-such", ref=branch)
    check_refused("a commit that is not there", 404, "Commit Not Found", project.files.get, "README.md", ref="no-such")
    stale = file.last_commit_id
    file.content = "two"
    file.save(branch=branch, commit_message="second")
    check("a file is changed", project.files.raw(path, ref=branch) == b"two")
    change = {"branch": branch, "content": "three", "commit_message": "third"}
    late = {**change, "last_commit_id": stale}
    check_refused("not by who has not seen the last change", 400, "has changed since", project.files.update, path, late)
    check_refused("a change of no file", 400, "doesn't exist", project.files.update, f"{folder}/no-such", change)


def commits(project, branch, folder):
    def actions(*listed):
        return {"branch": branch, "commit_message": "several", "actions": list(listed)}

    def create(path, content="x", **named):
        return {"action": "create", "file_path": path, "content": content, **named}

    every_byte = bytes(range(256))
    made = project.commits.create(
        actions(
            create(f"{folder}/one"),
            create(f"{folder}/bytes", base64.b64encode(every_byte).decode(), encoding="base64"),
            {"action": "update", "file_path": f"{folder}/a b.txt", "content": "four"},
            {"action": "move", "previous_path": f"{folder}/a b.txt", "file_path": f"{folder}/moved"},
            {"action": "chmod", "file_path": f"{folder}/one", "execute_filemode": True},
        )
    )

    def read(name):
        return project.files.raw(f"{folder}/{name}", ref=branch)

    is_whole = read("moved") == b"four" and read("bytes") == every_byte
    check("five actions are one commit", is_whole and made.parent_ids and made.stats["total"] >= 2, made)
    tip = project.branches.get(branch).commit["id"]
    seen = refused(project.commits.create, actions(create(f"{folder}/two"), create(f"{folder}/one")))
    is_unchanged = project.branches.get(branch).commit["id"] == tip
    check("one bad action keeps all others back", seen[0] == 400 and "already exists" in seen[1] and is_unchanged, seen)
    elsewhere = {**actions(create(f"{folder}/two")), "start_branch": project.default_branch}
    check_refused("a start for a branch that is there", 400, "already exists", project.commits.create, elsewhere)
    nowhere = {**actions(create("two")), "branch": "no-such-branch"}
    check_refused("a branch that is not there", 400, "on a branch", project.commits.create, nowhere)
    check_refused("a path that leads out", 400, "", project.commits.create, actions(create("../two")))
    check_refused("a commit that is not there", 404, "Commit Not Found", project.commits.get, "f" * 40)


def merge_requests(project, branch):
    wanted = {"source_branch": branch, "target_branch": project.default_branch, "title": "Please merge"}
    made = project.mergerequests.create(wanted)
    check("a merge request is made", made.state == "opened" and made.iid)
    check_refused("and no second one while it is open", 409, f"!{made.iid}", project.mergerequests.create, wanted)
    found = project.mergerequests.list(source_branch=branch, state="opened", get_all=True)
    check("it is found by its source", [one.iid for one in found] == [made.iid], found)
    return made


def issues(client, project):
    label = uuid.uuid4().hex[:8]
    for number in range(5):
        assignees = [client.user.id] if number % 2 else []
        project.issues.create({"title": f"issue {number}", "labels": [label], "assignee_ids": assignees})
    pages = project.issues.list(labels=[label], per_page=2, iterator=True)
    totals = (pages.total, pages.total_pages, pages.per_page)
    check("a list comes in pages", totals == (5, 3, 2) and len(list(pages)) == 5, totals)

    def count(of, **named):
        return len(of.issues.list(labels=[label], get_all=True, **named))

    of_us, of_nobody = count(project, assignee_id=client.user.id), count(project, assignee_id="None")
    check("issues of a user, and of nobody", (of_us, of_nobody) == (2, 3), (of_us, of_nobody))
    check("issues of whose token it is", count(client, scope="assigned_to_me") == 2)
    check_refused("an issue that is not there", 404, "", project.issues.get, 999_999)
    check_refused("a filter that is none", 400, "valid value", project.issues.list, scope="bogus")


def main():
    client = gitlab.Gitlab(URL, private_token=TOKEN)
    client.auth()
    project = client.projects.get(PROJECT)
    branch = f"conformance-{uuid.uuid4().hex[:8]}"
    folder = f"conformance/{branch}"
    users_and_projects(client, project)
    branches(project, branch)
    files(project, branch, folder)
    commits(project, branch, folder)
    merge_request = merge_requests(project, branch)
    issues(client, project)
    reader = gitlab.Gitlab(URL, private_token=READ_TOKEN).projects.get(PROJECT)
    wanted = {"branch": f"{branch}-y", "ref": project.default_branch}
    check_refused("a token that may only read makes no branch", 403, "", reader.branches.create, wanted)
    project.mergerequests.update(merge_request.iid, {"state_event": "close"})
    project.branches.delete(branch)
    check_refused("a branch that was deleted", 404, "Branch Not Found", project.branches.get, branch)
    print(f"{counts[True]} passed, {counts[False]} failed")
    sys.exit(counts[False] > 0)


main()
