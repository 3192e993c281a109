"""Kill -9 of the API server while it is written to: nothing acknowledged is lost, watchers resume where they were."""

from __future__ import annotations

from typing import Any

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"


def test_kill_under_load(apiserver: Any, api_for: Any, load_on: Any, watcher_of: Any, until: Any) -> None:
    api = api_for(apiserver)
    load, watcher = load_on(api), watcher_of(api, CONFIGMAPS)
    with watcher.running():
        with load.running():
            for round_ in range(6):
                before = load.acknowledged
                until(lambda before=before, round_=round_: load.acknowledged > before + 150 + 40 * round_, 30)
                apiserver.kill_server()
                apiserver.start_server()
            before = load.acknowledged
            until(lambda: load.acknowledged > before + 100, 30)
        load.check(api)
        until(lambda: watcher.agrees(api), 10)
    assert watcher.problems == []
    assert watcher.interruptions >= 6
    seen = [int(event["object"]["metadata"]["resourceVersion"]) for event in watcher.events]
    assert seen == sorted(set(seen))
    written = {revision for revision, name in load.revisions.items() if not name.startswith("lease/")}
    assert written <= set(seen)


def test_a_server_killed_while_idle_comes_back_with_everything(apiserver: Any, api_for: Any) -> None:
    api = api_for(apiserver)
    made = api("POST", CONFIGMAPS, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    assert made.status == 201
    apiserver.kill_server()
    apiserver.start_server()
    again = api_for(apiserver)
    assert again("GET", f"{CONFIGMAPS}/a").body == made.body
    later = again("POST", CONFIGMAPS, {"metadata": {"name": "b"}})
    assert int(later.body["metadata"]["resourceVersion"]) > int(made.body["metadata"]["resourceVersion"])
