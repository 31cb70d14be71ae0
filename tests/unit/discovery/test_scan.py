"""One look at the file system."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from qmp_exporter.discovery import scan as scan_module
from qmp_exporter.discovery.pattern import Pattern, expression
from qmp_exporter.discovery.scan import MAX_PATH, enclosed, folders, look, scan


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


MANY = 1000


@pytest.fixture
def listen() -> Iterator[Callable[[Path], str]]:
    """Return a function that makes a listening socket at a path."""
    with ExitStack() as stack:

        def make(path: Path) -> str:
            path.parent.mkdir(parents=True, exist_ok=True)
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.bind(str(path))
            sock.listen()
            return str(path)

        yield make


def test_a_glob_finds_sockets_and_says_why_not_others(
    tmp_path: Path, listen: Callable[[Path], str]
) -> None:
    """Sockets and links to them are targets; nothing else is, nor what is excluded."""
    web, spare = listen(tmp_path / "web.qmp"), listen(tmp_path / "spare.qmp")
    (tmp_path / "file.qmp").touch()
    (tmp_path / "folder.qmp").mkdir()
    (tmp_path / "nowhere.qmp").symlink_to(tmp_path / "nothing")
    (tmp_path / "link.qmp").symlink_to(web)
    pattern = Pattern(f"{tmp_path}/*.qmp", excludes=(f"{tmp_path}/spare*",))
    found = scan([pattern], 100)
    assert list(found.targets) == [str(tmp_path / "link.qmp"), web]
    assert found.skipped == {
        str(tmp_path / "file.qmp"): "not-a-socket",
        str(tmp_path / "folder.qmp"): "not-a-socket",
        str(tmp_path / "nowhere.qmp"): "not-a-socket",
        spare: "excluded",
    }


def test_a_glob_never_takes_a_managers_monitor(
    tmp_path: Path, listen: Callable[[Path], str]
) -> None:
    """Neither by its own path nor by a link to it; an exact path does."""
    theirs = listen(tmp_path / "run/qemu-server/100.qmp")
    (tmp_path / "link.qmp").symlink_to(theirs)
    found = scan([Pattern(f"{tmp_path}/**/*.qmp")], 100)
    assert found.targets == {}
    assert set(found.skipped.values()) == {"managed"}
    assert list(scan([Pattern(theirs)], 100).targets) == [theirs]


def test_an_exact_path_is_a_target_with_nothing_there(tmp_path: Path) -> None:
    """A target that is named stays one, whatever is at its path."""
    path = str(tmp_path / "later.qmp")
    assert scan([Pattern(path)], 100).targets[path].named


def test_the_first_pattern_says_what_a_path_is(
    tmp_path: Path, listen: Callable[[Path], str]
) -> None:
    """Where two patterns match, the first one names the VM."""
    path = listen(tmp_path / "web.qmp")
    named = Pattern(f"{tmp_path}/*.qmp", expression(r"(?P<vm>w)"))
    assert scan([named, Pattern(f"{tmp_path}/*")], 100).targets[path].name == "w"


def test_a_path_without_the_expression_is_left_out(
    tmp_path: Path, listen: Callable[[Path], str]
) -> None:
    """Its reason is no-name."""
    path = listen(tmp_path / "web.qmp")
    found = scan([Pattern(f"{tmp_path}/*.qmp", expression("(?P<vm>db)"))], 100)
    assert (found.targets, found.skipped) == ({}, {path: "no-name"})


def test_two_stars_go_through_folders(tmp_path: Path, listen: Callable[[Path], str]) -> None:
    """``**`` stands for any number of folders."""
    paths = [listen(tmp_path / "a/web.qmp"), listen(tmp_path / "a/b/c/db.qmp")]
    assert sorted(scan([Pattern(f"{tmp_path}/**/*.qmp")], 100).targets) == sorted(paths)


def test_the_number_of_targets_has_a_bound(tmp_path: Path, listen: Callable[[Path], str]) -> None:
    """Beyond the limit, the same ones are left out at every scan."""
    paths = [listen(tmp_path / f"{n}.qmp") for n in range(5)]
    for _ in range(2):
        found = scan([Pattern(f"{tmp_path}/*.qmp")], 3)
        assert list(found.targets) == paths[:3]
        assert found.skipped == dict.fromkeys(paths[3:], "too-many")


def test_a_path_too_long_for_a_socket_is_left_out(tmp_path: Path) -> None:
    """No attempt is made to open it."""
    path = tmp_path / f"{'x' * MAX_PATH}.qmp"
    path.touch()
    assert scan([Pattern(f"{tmp_path}/*.qmp")], 9).skipped == {str(path): "path-too-long"}


def test_thousands_of_files_are_no_trouble(tmp_path: Path, listen: Callable[[Path], str]) -> None:
    """The one socket among them is found."""
    for number in range(MANY):
        (tmp_path / f"{number}.qmp").touch()
    path = listen(tmp_path / "web.qmp")
    found = scan([Pattern(f"{tmp_path}/*.qmp")], 9)
    assert (list(found.targets), len(found.skipped)) == ([path], MANY)


def test_the_folders_to_watch_are_those_where_a_socket_can_appear(tmp_path: Path) -> None:
    """The folder of a glob, those that its folder's glob matches, else the nearest that exists."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert folders([Pattern(f"{tmp_path}/*.qmp")]) == {str(tmp_path)}
    assert folders([Pattern(f"{tmp_path}/*/web.qmp")]) == {
        str(tmp_path),
        str(tmp_path / "a"),
        str(tmp_path / "b"),
    }
    assert folders([Pattern(f"{tmp_path}/no/such/*.qmp")]) == {str(tmp_path)}
    assert folders([Pattern("/no-such-folder/x.qmp")]) == {"/"}


def test_folders_are_enough_where_all_is_in_them(tmp_path: Path) -> None:
    """Not where a folder may come or go, or a link on the way lead elsewhere."""
    (tmp_path / "a/run").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a")

    def enough(*paths: str) -> bool:
        patterns = [Pattern(f"{tmp_path}/{path}") for path in paths]
        return enclosed(patterns, folders(patterns))

    assert enough("*.qmp")
    assert enough("a/*.qmp", "a/run/web.qmp", "*")
    for other in ("*/*.qmp", "*/run/*.qmp", "a/**", "b/*.qmp", "b/web.qmp", "link/*.qmp"):
        assert not enough(other)
        assert not enough("*.qmp", other)


def test_a_link_is_told(tmp_path: Path, listen: Callable[[Path], str]) -> None:
    """Wherever it leads; what it leads to may change unseen."""
    path = listen(tmp_path / "web.qmp")
    patterns = [Pattern(f"{tmp_path}/*")]
    assert not scan(patterns, 9).links
    (tmp_path / "a").symlink_to(path)
    assert scan(patterns, 9).links
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to(tmp_path / "nowhere")
    assert scan(patterns, 9).links


def test_links_that_lead_in_circles_are_no_way(
    tmp_path: Path, listen: Callable[[Path], str]
) -> None:
    """Two of them make more paths than can be counted; what is there is found once."""
    for name in ("a", "b"):
        (tmp_path / name).symlink_to(tmp_path)
    found = [listen(tmp_path / "deep" / "vm.qmp"), listen(tmp_path / "vm.qmp")]
    patterns = [Pattern(f"{tmp_path}/**/*.qmp")]
    assert list(scan(patterns, 10).targets) == found
    assert folders(patterns) >= {str(tmp_path), str(tmp_path / "deep")}


def test_a_tree_without_end_is_not_searched_beyond_the_longest_path(tmp_path: Path) -> None:
    """No socket can be bound below it."""
    folder = tmp_path
    for _ in range(60):
        folder = folder / "deeper"
        folder.mkdir()
    found = folders([Pattern(f"{tmp_path}/**/*.qmp")])
    assert MAX_PATH < max(map(len, found)) < MAX_PATH + 3 * len("/deeper")


def test_a_folder_that_looks_like_a_glob_is_one_folder(
    tmp_path: Path, listen: Callable[[Path], str]
) -> None:
    """Names are the host's; below ** they are taken as they are."""
    found = [listen(tmp_path / "[ab]" / "x.qmp"), listen(tmp_path / "a" / "y.qmp")]
    assert list(scan([Pattern(f"{tmp_path}/**/*.qmp")], 10).targets) == found


def test_everything_below_is_meant_by_two_stars_at_the_end(
    tmp_path: Path, listen: Callable[[Path], str]
) -> None:
    """Also what is in the folder itself; hidden folders are left out."""
    listen(tmp_path / ".hidden" / "z")
    found = [listen(tmp_path / "sub" / "y"), listen(tmp_path / "x")]
    assert list(scan([Pattern(f"{tmp_path}/**")], 10).targets) == found


def test_what_goes_while_it_is_looked_at_is_nothing(
    tmp_path: Path, listen: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a target nor something to warn of."""
    there = listen(tmp_path / "a.qmp")
    matches = scan_module._matches

    def and_more(glob: str) -> Iterator[str]:
        yield from matches(glob)
        yield str(tmp_path / "gone.qmp")

    monkeypatch.setattr(scan_module, "_matches", and_more)
    found = scan([Pattern(f"{tmp_path}/*.qmp")], 10)
    assert (list(found.targets), found.skipped) == ([there], {})


def test_a_look_at_paths_finds_what_a_scan_does(
    tmp_path: Path, listen: Callable[[Path], str]
) -> None:
    """With the same names and labels: the first pattern that takes a path says what it is."""
    patterns = [
        Pattern(
            f"{tmp_path}/a/web*", expression(r"(?P<vm>web)-(?P<zone>\w+)"), labels=(("k", "v"),)
        ),
        Pattern(f"{tmp_path}/*/*.qmp", excludes=("*/spare.qmp",)),
        Pattern(f"{tmp_path}/.[h]id/.*"),
        Pattern(f"{tmp_path}/b/spare.qmp"),
    ]
    names = (
        "a/web-x.qmp",
        "a/web.qmp",
        "b/one.qmp",
        "b/spare.qmp",
        "b/.dot.qmp",
        ".hid/.x",
        "c.qmp",
    )
    paths = [listen(tmp_path / name) for name in names]
    paths += [listen(tmp_path / "qemu-server/100.qmp"), listen(tmp_path / "a/b/deep.qmp")]
    (tmp_path / "b/link.qmp").symlink_to(paths[0])
    (tmp_path / "b/file.qmp").touch()
    every = [str(path) for path in tmp_path.rglob("*")]
    found = scan(patterns, 100).targets
    assert look(patterns, every) == found
    assert {str(tmp_path / name) for name in names} - found.keys() == {
        str(tmp_path / name) for name in ("b/.dot.qmp", "c.qmp")
    }
    assert look(patterns, [f"{tmp_path}/a/gone.qmp"]) == {}


def test_a_look_leaves_to_a_scan_what_only_a_scan_can_tell(
    tmp_path: Path, listen: Callable[[Path], str]
) -> None:
    """What two stars match, and what stands behind them, which may be theirs."""
    path = listen(tmp_path / "a/web.qmp")
    deep, plain = Pattern(f"{tmp_path}/**", labels=(("k", "v"),)), Pattern(f"{tmp_path}/a/*.qmp")
    assert look([deep, plain], [path]) == {}
    assert look([plain, deep], [path]) == scan([plain, deep], 100).targets
