"""An export as a dataset repository of the Hugging Face Hub, by `huggingface_hub`.

The record that says whose the repository is goes first, and what makes it load last. So a push that
was stopped is known by its record, and the same command goes on: what has arrived is not sent
again. The token is the one that `huggingface_hub` finds (HF_TOKEN, or `hf auth login`), and appears
in no message.

What the Hub's documentation asks for ("Repository limitations and recommendations"): about a
hundred files a commit, since it checks each within one request; fewer than 10,000 entries in a
folder. It takes some 128 commits an hour, so that many files go in larger ones. The card is shown
to it before anything is sent: it refuses licences that it does not know.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from sofdata.corpora.lerobot.writer import VERSION
from sofdata.errors import ConfigError, StorageError
from sofdata.export.record import EXPORT, ExportRecord, read_export
from sofdata.storage.local_paths import local_folder
from sofdata.storage.secrets import without_secrets
from sofdata.storage.tree import Tree
from sofdata.storage.urls import public_text
from sofdata.system.extras import require

KIND = "dataset"
CARD = "README.md"
LAST = ("dataset.json", CARD, "meta/info.json", EXPORT)  # without these nothing loads
COMMIT_FILES, MOST_COMMITS = 100, 100  # more files than both allow go in larger commits
OWN = (".lock", ".scratch")  # of an export under way
FOLDER_ENTRIES = 10_000
_OWN = {".gitattributes", CARD}  # what the Hub itself puts into a new repository
_NAME = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a push will do. state: of the repository, "new", "resume" or "done".

    private: whether it is, or will be, private. size_bytes: of all files.
    """

    folder: str
    repo: str
    record: ExportRecord
    state: str
    private: bool
    files: tuple[str, ...]
    size_bytes: int
    token: str = field(repr=False)

    @property
    def url(self) -> str:
        """Where people look at it."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/datasets/{self.repo}"


def plan_push(out: Tree, repo: str, public: bool) -> PushPlan:
    """Look at a finished export and at the repository, and change neither.

    Raises `ConfigError` where the export is not local or not complete, or a folder of it has more
    files than the Hub takes, where there is no token or it is refused, where the Hub does not take
    the card, and where the repository holds something else, or is public and `public` is not asked
    for; `StorageError` where the Hub cannot be reached.
    """
    check_push(repo)
    if not out.is_local:
        raise ConfigError("--push needs an export on this machine: give a local folder")
    folder = local_folder(out.root, "the export")
    record = read_export(out)
    if record is None or not record.complete:
        raise ConfigError(f"{out.name} holds no finished export: run 'sofdata export' first")
    token = _token()
    files = tuple(item.rel for item in out.walk() if item.rel.split("/")[0] not in OWN)
    _check_folders(out, files)
    size = sum(os.path.getsize(os.path.join(folder, rel)) for rel in files)
    state, private = _look(repo, record, token, public)
    if state != "done" and CARD in files:
        _check_card(repo, _read(os.path.join(folder, CARD)), token)
    return PushPlan(folder, repo, record, state, private, files, size, token)


def push(plan: PushPlan, quiet: bool = True) -> str:
    """Do what was planned; returns the URL of the repository.

    quiet: without the bars of `huggingface_hub`.

    Raises `StorageError` where the Hub fails; the same call then goes on.
    """
    from huggingface_hub.utils import disable_progress_bars

    if quiet:
        disable_progress_bars()
    api = _api(plan.token)
    with _errors(plan.repo, plan.token):
        if plan.state == "new":
            api.create_repo(plan.repo, repo_type=KIND, private=plan.private, exist_ok=True)
            begun = plan.record.model_copy(update={"complete": False})
            _send(api, plan, {EXPORT: begun.to_json()}, "An export by sofdata begins")
        if plan.state != "done":
            parts = [*batches([rel for rel in plan.files if rel not in LAST])]
            for number, part in enumerate(parts, 1):
                paths = {rel: os.path.join(plan.folder, rel) for rel in part}
                _send(api, plan, paths, f"Data, part {number} of {len(parts)}")
            there = [rel for rel in LAST if rel in plan.files]
            last = {rel: _read(os.path.join(plan.folder, rel)) for rel in there}
            _send(api, plan, last, "The export is complete")
        if plan.record.format == "lerobot":  # lerobot asks the Hub for a tag of its version
            api.create_tag(plan.repo, tag=VERSION, repo_type=KIND, exist_ok=True)
    return plan.url


def batches(files: Sequence[str]) -> Iterator[Sequence[str]]:
    """The files of each commit, in the order given."""
    size = max(COMMIT_FILES, -(-len(files) // MOST_COMMITS))
    return (files[first : first + size] for first in range(0, len(files), size))


def check_push(repo: str) -> None:
    """Raises `ConfigError` for a name that is none, without the library, and without a token."""
    if not _NAME.fullmatch(repo):
        raise ConfigError(f"--push {repo!r:.100}: a repository is named OWNER/NAME")
    require("huggingface_hub", "hf", "--push")
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ConfigError(f"--push {repo!r:.100} is no name for the Hub: {error}") from None
    _token()


def _check_folders(out: Tree, files: Iterable[str]) -> None:
    """Raise `ConfigError` for a folder with more entries than the Hub takes."""
    entries = {rel[: at.start()] for rel in files for at in re.finditer("/", rel)} | {*files}
    number = Counter(entry.rpartition("/")[0] for entry in entries)
    for folder, count in sorted(number.items()):
        if count >= FOLDER_ENTRIES:
            raise ConfigError(
                f"{out.name} has {count:,} files in {folder or 'one folder'}, and the Hub takes "
                f"fewer than {FOLDER_ENTRIES:,}. Push a part of the dataset (sofdata select), or "
                "ingest it into fewer, larger shards (units.max_videos, units.max_source_mib)"
            )


def _check_card(repo: str, card: bytes, token: str) -> None:
    """Raise `ConfigError` where the Hub does not take the front of a card, before data is sent."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, get_session

    asked = {"content": card.decode(), "repoType": KIND}
    headers = build_hf_headers(token=token, library_name="sofdata")
    with _errors(repo, token):
        url = f"{constants.ENDPOINT}/api/validate-yaml"
        answer = get_session().post(url, json=asked, headers=headers)
        if answer.status_code != 400:
            return
        wrong = [str(each.get("message")) for each in answer.json().get("errors", ())]
    said = " ".join(" ".join(wrong).split())
    raise ConfigError(
        f"the Hub does not take {CARD} of this export: {said:.300}. If that is the licence: "
        "'--license other' is always taken; export anew, into another folder"
    )


def _token() -> str:
    from huggingface_hub import get_token

    token: str | None = get_token()
    if not token:
        raise ConfigError(
            "--push needs a token of the Hugging Face Hub that may write: set HF_TOKEN, or run "
            "'hf auth login'"
        )
    return token


def _api(token: str) -> Any:
    from huggingface_hub import HfApi

    return HfApi(token=token, library_name="sofdata")


def _look(repo: str, record: ExportRecord, token: str, public: bool) -> tuple[str, bool]:
    """The state of a repository, and whether it is or will be private."""
    from huggingface_hub.errors import RepositoryNotFoundError

    api = _api(token)
    with _errors(repo, token):
        try:
            info = api.repo_info(repo, repo_type=KIND)
        except RepositoryNotFoundError:
            return "new", not public
        private = bool(info.private)
        if not private and not public:
            raise ConfigError(
                f"the repository {repo} is public: say --public if everybody may see this export, "
                "or choose another"
            )
        if not api.file_exists(repo, EXPORT, repo_type=KIND):
            if others := sorted({each.rfilename for each in info.siblings or ()} - _OWN):
                raise ConfigError(
                    f"the repository {repo} holds {others[0]:.100} and no {EXPORT}: an export goes "
                    "into a new repository or its own. Choose another"
                )
            return "new", private
        found = _theirs(api, repo)
    if (found.format, found.identity) != (record.format, record.identity):
        raise ConfigError(
            f"the repository {repo} holds another export, of {found.dataset!r:.80} to "
            f"{found.format}: choose another repository, or delete that one at the Hub"
        )
    return "done" if found.complete else "resume", private


def _theirs(api: Any, repo: str) -> ExportRecord:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = api.hf_hub_download(repo, EXPORT, repo_type=KIND, local_dir=folder)
        try:
            return ExportRecord.model_validate_json(_read(path))
        except ValidationError:
            raise ConfigError(
                f"{EXPORT} of the repository {repo} was not written by 'sofdata export': choose "
                "another repository"
            ) from None


def _send(api: Any, plan: PushPlan, files: Mapping[str, bytes | str], message: str) -> None:
    """One commit. files: what lies in each, or the path at which it is found."""
    from huggingface_hub import CommitOperationAdd

    api.create_commit(
        plan.repo,
        [CommitOperationAdd(path_in_repo=rel, path_or_fileobj=data) for rel, data in files.items()],
        repo_type=KIND,
        commit_message=message,
    )


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _failures() -> tuple[type[Exception], ...]:
    """What `huggingface_hub` raises: its own, and those of the library that asks the network.

    That is requests, httpx or httpx2, by version; the class of its errors is a base of the Hub's.
    """
    from huggingface_hub.errors import HfHubHTTPError

    theirs = [each for each in HfHubHTTPError.__mro__ if each.__name__ == "HTTPError"]
    return (*theirs, OSError, ValueError)


@contextmanager
def _errors(repo: str, token: str) -> Iterator[None]:
    """Raise what the Hub answers as errors of ours, without the token."""
    try:
        yield
    except _failures() as error:
        said = public_text(without_secrets(str(error), {"token": token}))
        line = " ".join(said.split()) or type(error).__name__
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 402, 403):  # 402, 403: also where an account's storage is full
            raise ConfigError(
                f"the Hub refuses the repository {repo} to this token ({status}): it needs the "
                f"right to write there, and the account the space. {line:.300}"
            ) from None
        if status == 429:
            raise StorageError(
                f"the Hub takes no more of {repo} for now, as it takes so many commits or requests "
                f"an hour: {line:.300}. Run the same command later; what has arrived stays there"
            ) from None
        raise StorageError(
            f"the Hub failed over {repo}: {line:.400}. Run the same command again to go on"
        ) from None
