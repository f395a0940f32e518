"""The console in a real browser, beside three real nodes of which the leader is killed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ironkv.tools.cluster import ThrowawayCluster
from ironkv.tools.nodes import Node
from tests.cluster.conftest import CALM
from tests.http import chromium
from tests.http.conftest import TOKEN, get

PAGE = Path(__file__).resolve().parents[2] / "ironkv" / "http" / "page"
OWN = [path for path in PAGE.iterdir() if not path.name.startswith("uplot")]
browser = pytest.mark.skipif(
    chromium.PROGRAM is None and not os.environ.get("CI"), reason="needs chromium (apt install chromium)"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThrowawayCluster]:
    settings = {**CALM, "http": {"enabled": True, "token": TOKEN}}
    with ThrowawayCluster(parent=tmp_path_factory.mktemp("console"), settings=settings) as running:
        yield running


def test_nothing_comes_from_elsewhere(watched: ThrowawayCluster) -> None:
    """The page works where there is no way out, and tells nobody that it is looked at."""
    for path in OWN:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//cdn|@import|url\(", text), path.name
        assert "innerHTML" not in text, "what clients wrote is never HTML"
    node = watched.nodes[0]
    page = get(node, "/")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
    for name in re.findall(r'"(/console/[^"]+)"', page.text):
        assert get(node, name).status == 200, name
    assert "MIT" in get(node, "/console/uplot.LICENSE.txt").text
    for name in ("/console/nothing.js", "/console/..%2f..%2fserver.py", "/console/%00"):
        assert get(node, name).status == 404


def test_keys_are_shown_in_pages_and_never_changed(watched: ThrowawayCluster) -> None:
    leader = watched.wait_for_leader()
    with leader.connect() as client:
        client.call("FLUSHALL")
        client.pipeline([["SET", f"many:{n}", "x"] for n in range(300)])
        client.call("SET", b"\xff\0binary", b"\xfe" * 10_000, "EX", 1000)
        client.call("RPUSH", "list", *map(str, range(500)))
        client.call("HSET", "hash", "field", "<img src=x onerror=alert(1)>")
        client.call("ZADD", "zset", 1.5, "a", 2, "b")
        client.call("SADD", "set", "m")
        client.call("XADD", "stream", "1-1", "f", "v")
        before = client.call("DBSIZE")
    seen: dict[str, dict[str, object]] = {}
    cursor = "0"
    while True:
        page = get(leader, f"/api/keys?cursor={cursor}&match=*").json
        seen |= {each["key"]["b64"]: each for each in page["keys"]}
        cursor = page["cursor"]
        if cursor == "0":
            break
    assert len(seen) == 306
    binary = next(each for each in seen.values() if each["key"]["text"].startswith("\\xff"))  # type: ignore[index]
    told = get(leader, f"/api/key?key={binary['key']['b64']}").json  # type: ignore[index]
    assert told["size"] == 10_000
    assert told["value"][0][0]["text"] == "\\xfe" * 4096
    assert 990_000 < told["ttl_ms"] <= 1_000_000
    by_name = {each["key"]["text"]: each["key"]["b64"] for each in seen.values()}  # type: ignore[index]
    values = {
        name: [
            [cell["text"] for cell in row]
            for row in get(leader, f"/api/key?key={by_name[name]}").json["value"]
        ]
        for name in ("list", "hash", "zset", "set", "stream")
    }
    assert values["list"] == [[str(n)] for n in range(100)]
    assert values["hash"] == [["field", "<img src=x onerror=alert(1)>"]]
    assert values["zset"] == [["a", "1.5"], ["b", "2"]]
    assert values["set"] == [["m"]]
    assert values["stream"] == [["1-1", "f", "v"]]
    with leader.connect() as client:
        assert client.call("DBSIZE") == before
    for wrong in ("/api/keys?db=16", "/api/keys?cursor=-1", "/api/keys?cursor=x", "/api/key?key=%21"):
        assert get(leader, wrong).status == 400, wrong
    assert get(leader, "/api/key?key=bm90aGluZw==").status == 404


def test_only_who_has_a_token_may_change_anything(
    watched: ThrowawayCluster, cluster: ThrowawayCluster
) -> None:
    follower = cluster.followers()[0]
    leader = cluster.wait_for_leader()
    transfer, remove = f"/api/members/transfer?id={follower.id}", f"/api/members/remove?id={follower.id}"
    for path in (transfer, remove, "/api/members/add?id=x&host=h&port=1&cluster_port=2"):
        assert post(watched.wait_for_leader(), path) == 403
        assert post(leader, path) == 401
        assert get(leader, path, TOKEN).status == 405, "a link must not do it"
    for path in ("/api/node", "/api/cluster", "/api/keys", "/api/key?key=YQ=="):
        assert get(leader, path).status == 401, path


@pytest.mark.parametrize(
    ("change", "status", "why"),
    [
        ("transfer?id=nobody", 409, "no such follower"),
        ("promote?id=nobody", 409, "no learner"),
        ("remove", 400, "this needs id"),
        ("add?id=x&host=h&port=1", 400, "cluster_port"),
        ("add?id=-x&host=h&port=1&cluster_port=2", 409, "a letter or digit first"),
        ("add?id=x&host=h&port=0&cluster_port=2", 409, "Invalid port"),
        ("add?id=x&host=h&port=one&cluster_port=2", 409, "not an integer"),
        ("dissolve?id=x", 404, "there is: add"),
    ],
)
def test_a_change_that_cannot_be_is_refused_with_the_reason(
    cluster: ThrowawayCluster, change: str, status: int, why: str
) -> None:
    for node in (cluster.wait_for_leader(), cluster.followers()[0]):
        answer = get(node, f"/api/members/{change}", TOKEN, method="POST")
        assert answer.status == status
        assert why in answer.text


@browser
def test_the_page_shows_how_a_leader_is_lost_and_another_found(cluster: ThrowawayCluster) -> None:
    leader = cluster.wait_for_leader()
    follower, other = cluster.followers(leader)
    with leader.connect() as client:
        for number in range(30):
            client.call("SET", f"seen:{number}", "<b>bold</b>")
    cluster.wait_until_level()
    with chromium.Page() as page:
        page.open(f"http://127.0.0.1:{follower.settings.http_port}/")
        page.wait("document.getElementById('login') && !document.getElementById('login').hidden")
        page.look(f"document.getElementById('token').value = {TOKEN!r}")
        page.look("document.querySelector('#login button').click()")
        page.wait("document.querySelectorAll('.node').length === 3")
        page.wait(f"document.getElementById('verdict').textContent === 'healthy, {leader.id} leads'")
        assert page.look(role_of(leader.id)) == "leader"
        assert page.look(role_of(other.id)) == "follower"
        page.wait("document.querySelectorAll('#keys tbody tr').length === 30")
        page.look("document.querySelector('#keys button').click()")
        page.wait("document.getElementById('value').innerText.includes('<b>bold</b>')")
        page.wait("document.querySelectorAll('.chart canvas').length === 2")

        leader.kill()
        page.wait(f"{role_of(leader.id)} === 'out of reach'")
        page.wait(f"[{role_of(follower.id)}, {role_of(other.id)}].includes('leader')")
        now = cluster.wait_for_leader(other_than=leader)
        page.wait(f"document.getElementById('verdict').textContent === '{now.id} leads, 1 of 3 out of reach'")
        page.wait(f"document.getElementById('timeline').innerText.includes('{now.id} leads in term')")

        leader.start()
        page.wait(f"document.getElementById('verdict').textContent === 'healthy, {now.id} leads'")
        refused = [each for each in page.problems if "401" not in each]
        assert not refused, "nothing else was complained of: no error, nothing that the policy refused"


@browser
def test_leadership_is_handed_over_after_a_question(cluster: ThrowawayCluster) -> None:
    leader = cluster.wait_for_leader()
    cluster.wait_until_level()
    to = cluster.followers(leader)[0]
    with chromium.Page(390, 844, phone=True) as page:
        page.open(f"http://127.0.0.1:{leader.settings.http_port}/")
        page.wait("document.getElementById('login') && !document.getElementById('login').hidden")
        page.look(f"document.getElementById('token').value = {TOKEN!r}")
        page.look("document.querySelector('#login button').click()")
        button = f"document.querySelector('[data-node={to.id}] button')"
        page.wait(f"{button} !== null")
        wide = page.look("document.documentElement.scrollWidth")
        assert wide <= 390, "nothing sticks out of a phone"
        page.look(f"{button}.click()")
        page.wait("document.getElementById('sure').open")
        assert to.id in page.look("document.getElementById('question').textContent")
        page.look("document.querySelector('#sure button[value=no]').click()")
        page.look(f"{button}.click()")
        page.wait("document.getElementById('sure').open")
        page.look("document.querySelector('#sure button[value=yes]').click()")
        page.wait(f"{role_of(to.id)} === 'leader'")


@browser
def test_a_member_is_removed_and_added_again(cluster: ThrowawayCluster) -> None:
    """On the page of a node that does not lead."""
    cluster.wait_until_level()
    asked, gone = cluster.followers()
    members = "[...document.querySelectorAll('#members tbody tr')].map((row) => row.innerText)"
    row = f"{members}.find((text) => text.startsWith('{gone.id}'))"
    with chromium.Page() as page:
        page.open(f"http://127.0.0.1:{asked.settings.http_port}/")
        page.wait("document.getElementById('login') && !document.getElementById('login').hidden")
        page.look(f"document.getElementById('token').value = {TOKEN!r}")
        page.look("document.querySelector('#login button').click()")
        page.wait(f"{members}.length === 3 && {row}.includes('voter')")
        button = (
            f"document.querySelectorAll('#members tbody tr')[{int(gone.id[-1]) - 1}].querySelector('button')"
        )
        for answer in ("no", "yes"):
            page.look(f"{button}.click()")
            page.wait("document.getElementById('sure').open")
            assert f"Remove {gone.id}" in page.look("document.getElementById('question').textContent")
            assert page.look(f"{members}.length") == 3
            page.look(f"document.querySelector('#sure button[value={answer}]').click()")
        page.wait(f"{members}.length === 2")
        given = {
            "id": gone.id, "host": "127.0.0.1", "port": gone.port, "cluster_port": gone.settings.cluster_port
        }  # fmt: skip
        for name, value in given.items():
            page.look(f"document.querySelector('#add [name={name}]').value = {str(value)!r}")
        page.look("document.querySelector('#add button').click()")
        page.wait("document.getElementById('sure').open")
        page.look("document.querySelector('#sure button[value=yes]').click()")
        page.wait(f"{members}.length === 3 && {row}.includes('voter') && {row}.includes('online')")
        assert page.look("document.getElementById('banner').hidden")


def role_of(node_id: str) -> str:
    return f"document.querySelector('[data-node={node_id}]').dataset.role"


def post(node: Node, path: str, token: str | None = None) -> int:
    return get(node, path, token, method="POST").status
