"""A clone of a project at one commit, and one commit on top of it, made once.

The token goes to git by its environment: a command line can be read by everybody on the machine.
"""
import base64, os, pathlib, subprocess, time

GITLAB_URL = os.environ["GITLAB_URL"].rstrip("/") + "/"
TOKEN = os.environ["GITLAB_TOKEN"]
TRAILER = "Orchestratum-Step"
GIT_SECONDS = 120
# A GitLab that is away for minutes costs nobody what was entered.
AWAY_SECONDS = 300
PUSHES = 3
# What git says where it would be no better in a moment.
FINAL = ("Authentication failed", "could not read Username", "not found", "returned error: 403")


class Moved(Exception):
    """The branch is not where the message says. Holds the commit where it is."""


class Away(RuntimeError):
    """GitLab does not answer."""


class Repository:
    def __init__(self, url, branch, commit, folder):
        if not url.startswith(GITLAB_URL):
            raise ValueError("repoUrl leads to another GitLab than the one that the token is for")
        if branch.startswith("-") or not all(letter in "0123456789abcdef" for letter in commit):
            raise ValueError("branch or commitHash is none")
        self.branch, self.commit = branch, commit
        # Nothing of whoever runs this comes into it: no settings, hooks or lists of files that are to be ignored.
        self.home, self.folder = pathlib.Path(folder) / "home", pathlib.Path(folder) / "clone"
        self.home.mkdir()
        self.folder.mkdir()
        self.git_online("clone", "--quiet", "--no-tags", "--single-branch", "--branch", branch, "--", url, ".")
        if not self.has(commit):
            raise Moved(self.head())
        self.git("checkout", "--quiet", "--detach", commit)

    def has(self, commit):
        """Not where the branch was rewritten since."""
        try:
            self.git("cat-file", "-e", f"{commit}^{{commit}}")
        except RuntimeError:
            return False
        return True

    def head(self):
        return self.git("rev-parse", f"origin/{self.branch}")

    def git(self, *arguments):
        login = base64.b64encode(f"oauth2:{TOKEN}".encode()).decode()
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(self.home), "GIT_TERMINAL_PROMPT": "0",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{GITLAB_URL}.extraHeader", "GIT_CONFIG_VALUE_0": f"Authorization: Basic {login}",
            "GIT_AUTHOR_NAME": "Balance+", "GIT_AUTHOR_EMAIL": "balance@localhost",
            "GIT_COMMITTER_NAME": "Balance+", "GIT_COMMITTER_EMAIL": "balance@localhost",
        }
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=self.folder, env=environment, timeout=GIT_SECONDS,
                stdin=subprocess.DEVNULL, capture_output=True, text=True,
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"git {arguments[0]} took longer than {GIT_SECONDS} s") from None
        if done.returncode:
            raise RuntimeError(f"git {arguments[0]} failed: {done.stderr.strip()[-2000:]}")
        return done.stdout.strip()

    def git_online(self, *arguments):
        """The same until GitLab answers."""
        end, pause = time.monotonic() + AWAY_SECONDS, 1
        while True:
            try:
                return self.git(*arguments)
            except RuntimeError as error:
                if any(word in str(error) for word in FINAL):
                    raise
                if time.monotonic() + pause > end:
                    raise Away(str(error)) from None
            time.sleep(pause)
            pause = min(2 * pause, 10)

    def path(self, name):
        """Nothing outside of the clone, and nothing of git's own."""
        path = (self.folder / name).resolve()
        inside = path.is_relative_to(self.folder.resolve())
        if not inside or ".git" in path.relative_to(self.folder.resolve()).parts:
            raise ValueError(f"{name} is no file of the project")
        return path

    def made_before(self, step):
        """The commit of this step, which a worker that died may have pushed; `Moved` where others were there."""
        head = self.head()
        if head == self.commit:
            return None
        asked = "--format=%H %(trailers:key=" + TRAILER + ",valueonly,separator=%x2C)"
        for line in self.git("log", asked, f"{self.commit}..{head}").splitlines():
            commit, _, value = line.partition(" ")
            if value.strip() == step:
                return commit
        raise Moved(head)

    def push(self, name, content, step):
        """One file in one commit; `Moved` where the branch went on meanwhile."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        # Also where the project ignores what is calculated.
        self.git("add", "--force", "--", name)
        # Also where the same came out as before: the commit says that it was calculated.
        self.git("commit", "--quiet", "--allow-empty", "--message", f"Calculate {name}\n\n{TRAILER}: {step}")
        for _ in range(PUSHES):
            try:
                self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{self.branch}")
                return self.git("rev-parse", "HEAD")
            except RuntimeError as error:
                failed = error
            # It was refused, or done and its answer lost, or GitLab is away.
            self.git_online("fetch", "--quiet", "origin", self.branch)
            made = self.made_before(step)
            if made is not None:
                return made
        raise failed
