"""A request that names something unknown to the controller is refused, on every
path, and nothing is done.  An order says for whom it is, once."""
import re
from concurrent.futures import ThreadPoolExecutor

import deftable
from controller_parts import Device, Publisher
from waits import until

HEALTH = ("/healthz", "/readyz")  # they keep places, so they take no body


def routes():
    """(method, path, flags, query, body) of each row of the table."""
    for method, path, _, flags, _, _, query, body in deftable.rows(
            "server-stub/rest/routes.def", "FLO_REST_ROUTE"):
        yield method, path.replace("{id}", "x-1").replace(
            "{name}", "tiny@1"), flags, query, body


def test_every_path_refuses_a_member_and_a_parameter_it_does_not_know(
        controller):
    rows = list(routes())
    assert len(rows) >= 28
    before = controller.ask("GET", "/v1/audit/verify").json["records"]
    for method, path, flags, query, body in rows:
        answer = controller.ask(method, path + "?colour=red",
                                {} if method == "POST" else None)
        assert (answer.status, answer.json["code"]) == (400, "rest.unknown"), \
            (method, path, answer.json)
        assert "`colour`" in answer.json["detail"], answer.json
        for name in query.split():
            assert name.split(":")[0] in answer.json["detail"], answer.json
        if "RAW" in flags and (not body or "@envelope" in body):
            continue  # a signed document has refusals of its own, or a file
        answer = controller.ask(method, path, {"colour": "red"})
        assert (answer.status, answer.json["code"]) == (
            (413, "rest.too_large") if path in HEALTH else
            (400, "rest.unknown")), (method, path, answer.json)
    for method, path in (("GET", "/v1/blobs/sha256:" + "0" * 64),
                         ("GET", "/metrics"), ("GET", "/v1/events"),
                         ("PUT", "/v1/blobs/sha256:" + "0" * 64)):
        answer = controller.ask(method, path + "?colour=red",
                                b"" if method == "PUT" else None)
        assert (answer.status, answer.json["code"]) == (400, "rest.unknown")
    # what was refused to somebody with a token is on record, reads are not
    added = controller.ask("GET", "/v1/audit?cursor=%d" % (before + 1)).json
    assert {r["result"] for r in added["items"]} == {"rest.unknown"}
    assert {r["what"] for r in added["items"]} >= {
        "order.emergency", "rollout.start", "token.create", "device.retire"}
    twice = controller.ask("GET", "/v1/devices?state=online&state=offline")
    assert (twice.status, twice.json["code"]) == (400, "rest.schema")


def test_a_member_inside_is_refused_by_its_place(controller):
    for more, place in (({"policy": {"soak": 1}}, "`policy.soak`"),
                        ({"phases": [{"devices": 1}, {"share": 9}]},
                         "`phases[1].share`"),
                        ({"gates": {"failed": {"max": 1}}},
                         "gates.failed: member `max`"),
                        ({"groups": "lab"}, "`groups`")):
        answer = controller.ask("POST", "/v1/rollouts",
                                dict(release="tiny@1.0.0", **more))
        assert (answer.status, answer.json["code"]) == (400, "rest.unknown")
        assert place in answer.json["detail"], answer.json


def test_an_order_names_exactly_one_scope(controller, folder):
    Publisher(controller, folder).publish("1.0.0")
    back = {"op": "rollback", "release": "tiny@1.0.0", "confirm": "tiny@1.0.0"}
    stop = {"op": "freeze", "confirm": "test"}
    for body in (back, dict(back, group="all", everywhere=True),
                 dict(back, everywhere=False),
                 dict(back, device="gw-1", group="all")):
        answer = controller.ask("POST", "/v1/orders", body)
        assert (answer.status, answer.json["code"]) == (422, "rest.meaning"), \
            (body, answer.json)
    for body in (stop, dict(back, device=None)):
        answer = controller.ask("POST", "/v1/orders", body)
        assert (answer.status, answer.json["code"]) == (400, "rest.schema"), \
            (body, answer.json)
    for body in (dict(stop, group="lab"), dict(stop, device="gw-1"),
                 dict(back, where="everywhere"), dict(back, heartbeat_ms=9)):
        answer = controller.ask("POST", "/v1/orders", body)
        assert (answer.status, answer.json["code"]) == (400, "rest.unknown"), \
            (body, answer.json)
    missing = controller.ask("POST", "/v1/orders", dict(back, device="nobody"))
    assert (missing.status, missing.json["code"]) == (404, "device.absent")
    assert controller.ask("GET", "/v1/orders").json["items"] == []
    state = controller.ask("GET", "/v1/releases/tiny@1.0.0").json["state"]
    assert state == "published"


def test_an_access_token_has_no_group(controller):
    body = {"kind": "access", "role": "operator", "name": "o"}
    for more in ({"group": "lab"}, {"uses": 3}):
        answer = controller.ask("POST", "/v1/tokens", dict(body, **more))
        assert (answer.status, answer.json["code"]) == (400, "rest.unknown")
    answer = controller.ask("POST", "/v1/tokens",
                            {"kind": "enroll", "role": "admin"})
    assert (answer.status, answer.json["code"]) == (400, "rest.unknown")


def test_devices_are_chosen_by_label_and_by_release(controller, folder):
    token = controller.enrol_token()
    for name, site in (("gw-1", "lyon"), ("gw-2", "kiel")):
        Device(controller, folder, name, token, {"site": site})

    def names(query):
        answer = controller.ask("GET", "/v1/devices?" + query)
        assert answer.status == 200, answer.json
        return [d["name"] for d in answer.json["items"]]
    assert names("label=site%3Dlyon") == ["gw-1"]
    assert names("label=site%3Dlyo") == [] and names("label=place%3Dlyon") == []
    assert names("release=tiny%401.0.0") == []  # nobody serves it
    for query in ("label=lyon", "label=%22%3Dx", "release=tiny", "state=on"):
        answer = controller.ask("GET", "/v1/devices?" + query)
        assert answer.status == 400, (query, answer.json)


def pages(controller, path):
    """Elements of a list, page by page, by its Link headers."""
    found = []
    while path:
        answer = controller.ask("GET", path)
        assert answer.status == 200, answer.json
        found += answer.json["items"]
        link = re.match(r'<([^>]+)>; rel="next"$',
                        answer.headers.get("Link", ""))
        assert (link is None) == (answer.json["next"] is None)
        path = link and link.group(1)
    return found


def test_every_list_comes_whole_in_pages(controller, folder):
    publisher = Publisher(controller, folder)
    for version in ("7.0.0", "7.0.1", "7.0.2"):
        publisher.publish(version, model="paged")
        publisher.publish(version, model="z")
        assert controller.ask("POST", "/v1/orders", {
            "op": "config", "everywhere": True, "confirm": "test",
            "heartbeat_ms": 1000}).status == 202
    for path, key in (("/v1/releases", "name"), ("/v1/tokens", "id"),
                      ("/v1/orders", "id"), ("/v1/audit", "number"),
                      ("/v1/rollouts", "id"), ("/v1/devices", "id"),
                      ("/v1/releases?model=paged", "name")):
        mark = "&" if "?" in path else "?"
        whole = [one[key] for one in controller.ask("GET", path).json["items"]]
        some = [one[key] for one in pages(controller, path + mark + "limit=2")]
        # the audit grows with no read, tokens with no list
        assert some == whole and len(set(some)) == len(some), path
    assert len(pages(controller, "/v1/releases?model=paged&limit=1")) == 3
    for path in ("/v1/tokens?cursor=x", "/v1/releases?cursor=z%40x"):
        wrong = controller.ask("GET", path)
        assert (wrong.status, wrong.json["code"]) == (422, "rest.meaning")
        assert wrong.json["errors"][0]["parameter"] == "cursor"


def test_a_change_may_say_which_state_it_means(controller, folder):
    Publisher(controller, folder).publish("1.0.0", model="tagged")
    path = "/v1/releases/tagged@1.0.0"
    seen = controller.ask("GET", path).headers["ETag"]
    yanked = controller.ask("POST", path + "/yank", {},
                            headers={"If-Match": seen})
    assert yanked.status == 200 and yanked.headers["ETag"] != seen
    late = controller.ask("POST", path + "/unyank", {},
                          headers={"If-Match": seen})
    assert (late.status, late.json["code"]) == (412, "rest.stale")
    assert yanked.headers["ETag"] in late.json["detail"]
    for tag in ("*", 'W/"x", ' + yanked.headers["ETag"],
                yanked.headers["ETag"].strip('"')):
        assert controller.ask("POST", path + "/unyank", {}, headers={
            "If-Match": tag}).status == 200, tag
        assert controller.ask("POST", path + "/yank", {}).status == 200


def test_who_asks_too_often_still_has_its_emergency_calls(controller):
    robot = controller.access("operator")
    read = controller.ask("GET", "/v1/version", token=robot)
    assert "RateLimit" not in read.headers  # a public path
    first = controller.ask("GET", "/v1/rollouts", token=robot)
    policy = re.match(r'"default";q=(\d+);w=(\d+)$',
                      first.headers["RateLimit-Policy"])
    assert policy and first.headers["RateLimit"].startswith(
        '"default";r=%d;t=' % (int(policy.group(1)) - 1))
    urgent = {"op": "logs", "device": "nobody"}

    def order(_):
        return controller.ask("POST", "/v1/orders", urgent, token=robot)

    def refused():
        """One of many calls at once: two more are let in each second."""
        answers = list(many.map(order, range(160)))
        assert {one.status for one in answers} <= {404, 429}
        return next((one for one in answers if one.status == 429), None)

    with ThreadPoolExecutor(16) as many:
        answer = until("the limit", refused)
    assert answer.json["code"] == "rest.limit"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["RateLimit"].startswith('"urgent";r=0;t=')
    # neither other calls of this token nor another token wait for that
    assert controller.ask("GET", "/v1/rollouts", token=robot).status == 200
    assert controller.ask("POST", "/v1/orders", urgent).status == 404


def test_a_rollout_is_planned_from_its_file_as_from_its_body(controller,
                                                            folder):
    Device(controller, folder, "gw-9", controller.enrol_token())
    kind = {"Content-Type": "application/yaml; charset=utf-8"}
    form = controller.ask("POST", "/v1/rollouts?dry_run=true", {
        "release": "tiny@1.0.0", "soak": "20m", "phases": [{"size": "5%"}]})
    assert form.status == 200, form.json
    text = form.json["file"]
    assert "release: tiny@1.0.0\n" in text, text

    def planned(words, to="/v1/rollouts?dry_run=true"):
        return controller.ask("POST", to, words.encode(), headers=kind)

    read = planned("# by hand\n" + text)
    assert read.status == 200 and read.json["spec"] == form.json["spec"]
    broken = planned("release: tiny@1.0.0\nphases: [")
    assert (broken.status, broken.json["code"]) == (400, "rest.schema")
    assert "body:" in broken.json["detail"], broken.json
    for words in ("", "- 1", "release: &a tiny@1.0.0", "soak: 5"):
        assert planned(words).status == 400, words
    other = planned("op: freeze", "/v1/orders")
    assert (other.status, other.json["code"]) == (400, "rest.schema")
