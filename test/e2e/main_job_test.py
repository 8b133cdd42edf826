"""The main job with real programs: a request becomes a file, the process takes it up, APPLIED comes back, its metrics arrive."""

import json
import os
import re
import stat
import uuid

from fleet import SAMPLE_FIELDS, TEXT, Fleet, balance, content_hash, problem, tap
from opamp import APPLIED, config_status
from programs import contains, equal, run, until

ONE, TWO = b"level = one\n" * 100, b"level = two\n"


class TheRiver(tap.Tests):
    def test_a_put_becomes_a_file_the_process_takes_it_up_and_the_agent_reads_applied(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent(labels={"env": "test"}).online()
            shown = a.show()
            equal((shown["transport"], shown["group"], shown["labels"]["env"]), ("tcp", "default", "test"))
            equal(shown["config"]["name"], None)
            pushed = s.push(ONE)
            equal(set(pushed), {"configuration", "version", "hash"})
            equal(pushed["hash"], content_hash({"app.conf": (TEXT, ONE)}))
            c = a.applied(pushed["hash"])
            equal((c["name"], c["version"]), (pushed["configuration"], pushed["version"]))
            equal((c["applied_hash"], c["error"]), (pushed["hash"], ""))
            equal(a.body(), ONE)
            until("the effective hash is the desired one", lambda: a.config()["effective_hash"] == pushed["hash"])
            effective = s.get(f"/api/v1/agents/{a.uid}/effective-config")["objects"]
            equal(effective["app.conf"], {"content_type": TEXT, "body": ONE.decode()})
            until("the worker loaded it", lambda: len(a.loads()) == 2)
            equal(s.pushes(), 1)

    def test_samples_of_the_process_arrive_in_metrics_db_and_the_books_balance(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            newest = until("a sample with a rate", lambda: [x for x in s.get(f"/api/v1/agents/{a.uid}/metrics")["items"]
                                                            if x["cpu_usage_rate"] is not None])[0]
            equal(set(newest), set(SAMPLE_FIELDS))
            equal(newest["agent_id"], a.uid)
            equal(newest["process_name"], "worker")
            equal([newest["pid"]], a.workers())
            assert newest["mem_usage"] > 1 << 20 and "worker.py" in newest["cmd"] and newest["ip"] == "127.0.0.1", newest
            rows = until("two rows with more lines in the second", lambda: (lambda r: len(r) >= 2 and r[-1][1] > r[0][1] and r)(
                s.rows("seq, send_lines, boot_id, agent_id, cpu_usage_rate")))
            equal([r[0] for r in rows], list(range(1, len(rows) + 1)), "sequence numbers")
            equal({r[2] for r in rows}, {newest["boot_id"]})
            equal({r[3] for r in rows}, {a.uid})
            equal(rows[0][4], None, "the rate in the first sample")
            uuid.UUID(rows[0][2])
            equal([x["type"] for x in s.exporters().values()], ["sqlite"])
            s.healthy_books()

    def test_the_old_content_again_is_the_existing_version_and_a_second_put_of_it_pushes_nothing(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            first = s.push(ONE)
            a.applied(first["hash"])
            pushes = s.pushes()
            equal(s.push(ONE)["version"], first["version"])
            second = s.push(TWO)
            equal(second["version"], first["version"] + 1)
            a.applied(second["hash"])
            equal(s.pushes(), pushes + 1)
            equal(a.body(), TWO)
            equal(s.push(ONE)["version"], first["version"])
            a.applied(first["hash"])
            equal(a.body(), ONE)

    def test_a_configuration_that_kills_the_process_reads_failed_with_its_words_and_the_old_file_is_back(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            good = s.push(ONE)
            a.applied(good["hash"])
            bad = s.push(b"broken\n")
            c = a.failed("this configuration is broken")
            equal((c["desired_hash"], c["applied_hash"]), (bad["hash"], good["hash"]))
            equal(a.body(), ONE)
            until("the worker runs again", a.workers)
            s.push(ONE)
            a.applied(good["hash"])

    def test_an_object_that_the_agent_does_not_map_reads_failed_and_is_named(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            s.push(b"x\n", "not-mapped.conf")
            a.failed("not-mapped.conf")
            equal(a.body(), None)

    def test_an_agent_that_reports_the_desired_hash_as_applied_is_sent_nothing(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            pushed = s.push(ONE)
            with s.peer() as p:
                reply = p.introduce(status=config_status(bytes.fromhex(pushed["hash"]), APPLIED), objects={"app.conf": (TEXT, ONE)})
                equal(reply.config, None)
                for _ in range(3):
                    equal(p.ask().config, None)
                equal(s.agent(p.name)["config"]["status"], "APPLIED")
            equal(s.pushes(), 0)


class GroupsAndTemplates(tap.Tests):
    def test_the_group_of_the_highest_priority_that_matches_wins_and_its_end_gives_the_agent_back(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            low = f.start_agent("low", labels={"env": "prod"}).online()
            other = f.start_agent("other", labels={"env": "dev"}).online()
            s.put_group("prod", "env=prod", 10, 201)
            s.put_group("better", "env in (prod,stage),name!=other", 20, 201)
            for_default, for_better = s.push(ONE), s.push(TWO, group="better")
            low.applied(for_better["hash"])
            other.applied(for_default["hash"])
            equal((low.show()["group"], other.show()["group"]), ("better", "default"))
            equal((low.body(), other.body()), (TWO, ONE))
            equal([x["labels"]["name"] for x in s.agents(group="better")], ["low"])
            equal(s.http("DELETE", "/api/v1/agent-groups/better").status, 204)
            until("the agent is in the next group", lambda: low.show()["group"] == "prod")
            equal(s.http("DELETE", "/api/v1/agent-groups/prod").status, 204)
            low.applied(for_default["hash"])
            equal(low.body(), ONE)
            problem(s.http("DELETE", "/api/v1/agent-groups/prod"), 404)
            problem(s.http("DELETE", "/api/v1/agent-groups/default"), 409)

    def test_templates_are_rendered_from_the_groups_variables_and_the_agents_labels_and_attributes(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent(labels={"site": "ulm"}).online()
            body = 'v={{ var.level }} l={{ label.site }} os={{ attr.os.type }} id={{ agent.instance_uid }} {{ "{{" }}\n'
            s.post("/api/v1/configurations", {"name": "shaped"})
            s.post("/api/v1/configurations/shaped/versions",
                   {"objects": {"app.conf": {"content_type": TEXT, "body": body, "template": True}}})
            s.put_group("default", configuration={"name": "shaped", "version": 1}, variables={"level": "7"})
            a.applied()
            wanted = f"v=7 l=ulm os=linux id={a.uid} {{{{\n".encode()
            equal(a.body(), wanted)
            equal(a.config()["desired_hash"], content_hash({"app.conf": (TEXT, wanted)}))
            s.put_group("default", configuration={"name": "shaped", "version": 1}, variables={"level": "8"})
            until("the new value is there", lambda: a.body() == wanted.replace(b"v=7", b"v=8"))
            a.applied()

    def test_a_missing_variable_reads_failed_with_object_and_line_and_nothing_is_sent(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            s.post("/api/v1/configurations", {"name": "strict"})
            s.post("/api/v1/configurations/strict/versions",
                   {"objects": {"app.conf": {"content_type": TEXT, "body": "one\ntwo {{ var.nowhere }}\n", "template": True}}})
            s.put_group("default", configuration={"name": "strict", "version": 1})
            c = a.failed("app.conf:2:", "nowhere")
            equal((c["name"], c["version"], c["desired_hash"]), ("strict", 1, None))
            beats = a.show()["sequence_num"]
            until("two more heartbeats", lambda: a.show()["sequence_num"] >= beats + 2)
            equal((s.pushes(), a.body()), (0, None))
            s.put_group("default", configuration={"name": "strict", "version": 1}, variables={"nowhere": "here"})
            a.applied()
            equal(a.body(), b"one\ntwo here\n")

    def test_a_template_with_a_wrong_syntax_is_a_422_with_pointer_and_line(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            s.post("/api/v1/configurations", {"name": "c"})
            a = s.http("POST", "/api/v1/configurations/c/versions",
                       {"objects": {"a/b": {"content_type": TEXT, "body": "x"}}})
            problem(a, 400)
            a = s.http("POST", "/api/v1/configurations/c/versions",
                       {"objects": {"x.conf": {"content_type": TEXT, "body": "fine\n{{ nonsense( }}\n", "template": True}}})
            p = problem(a, 422)
            contains(p["errors"][0]["pointer"], "/objects/x.conf")
            contains(json.dumps(p), "2")

    def test_bytes_that_are_no_utf_8_come_through_as_they_are(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            body = bytes(range(256)) * 16
            pushed = s.push(body, kind="application/octet-stream")
            a.applied(pushed["hash"])
            equal(a.body(), body)
            shown = s.get(f"/api/v1/configurations/{pushed['configuration']}/versions/{pushed['version']}")
            assert "body_base64" in shown["objects"]["app.conf"], shown


class TheCommandLine(tap.Tests):
    def test_get_agents_prints_a_table_or_json_and_takes_a_selector(self):
        with Fleet(self.dir) as f:
            f.start_server()
            a = f.start_agent("one", labels={"env": "x"}).online()
            f.start_agent("two", labels={"env": "y"}).online()
            r = f.cli("get", "agents")
            equal((r.returncode, len(r.stdout.splitlines())), (0, 3), r.stdout + r.stderr)
            contains(r.stdout, a.uid, "online", "default")
            assert "\x1b" not in r.stdout
            r = f.cli("get", "agents", "-o", "json", "-l", "env=x")
            equal([x["instance_uid"] for x in json.loads(r.stdout)], [a.uid])
            r = f.cli("get", "agents", "-l", "env in (")
            equal(r.returncode, 1)
            contains(r.stderr, "fettle: ")

    def test_get_exporters_shows_the_books(self):
        with Fleet(self.dir) as f:
            s = f.start_server(exporters="[{name: local, type: sqlite}]")
            f.start_agent().online()
            until("something was delivered", lambda: s.exporters()["local"]["ledger"]["delivered"] > 0)
            r = f.cli("get", "exporters")
            equal(r.returncode, 0, r.stderr)
            contains(r.stdout, "local", "sqlite", "ok")
            r = f.cli("get", "exporters", "-o", "json")
            equal(json.loads(r.stdout)[0]["name"], "local")

    def test_push_with_wait_ends_with_0_when_applied_and_with_1_when_failed(self):
        with Fleet(self.dir) as f:
            f.start_server()
            a = f.start_agent().online()
            path = os.path.join(self.dir, "app.conf")
            with open(path, "wb") as out:
                out.write(ONE)
            r = f.cli("push", path, "--wait")
            equal(r.returncode, 0, r.stdout + r.stderr)
            contains(r.stdout, "APPLIED", a.uid)
            equal(a.body(), ONE)
            with open(path, "wb") as out:
                out.write(b"broken\n")
            r = f.cli("push", path, "--group", "default", "--wait")
            equal(r.returncode, 1, r.stdout + r.stderr)
            contains(r.stdout, "FAILED", "this configuration is broken")
            r = f.cli("push", path, "--object", "elsewhere.conf")
            equal(r.returncode, 0, r.stdout + r.stderr)
            a.failed("elsewhere.conf")

    def test_describe_shows_everything_about_one_agent(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            a = f.start_agent().online()
            a.applied(s.push(ONE)["hash"])
            until("a sample is there", lambda: s.get(f"/api/v1/agents/{a.uid}/metrics")["items"])
            r = f.cli("describe", "agent", a.uid)
            equal(r.returncode, 0, r.stderr)
            contains(r.stdout, a.uid, "online", "Group:           default", f"name={a.name}", "AcceptsRemoteConfig", "default v1, APPLIED",
                     a.config()["applied_hash"], "app.conf (text/plain)", "worker.py")
            r = f.cli("describe", "agent", a.uid, "-o", "json")
            equal(sorted(json.loads(r.stdout)), ["agent", "effective_config", "metrics"])
            r = f.cli("describe", "agent", "00000000-0000-0000-0000-000000000000")
            equal(r.returncode, 1)
            contains(r.stderr, "no agent")
            equal(f.cli("describe", a.uid).returncode, 2)

    def test_push_with_wait_gives_up_at_its_timeout(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            with s.peer() as p:
                p.introduce()
                path = os.path.join(self.dir, "x.json")
                with open(path, "w") as out:
                    out.write("{}")
                r = f.cli("push", path, "--wait", "--timeout", "300ms")
                equal(r.returncode, 1)
                contains(r.stderr, p.name)
            version = s.get("/api/v1/configurations/default/versions/1")
            equal(version["objects"]["x.json"]["content_type"], "application/json")

    def test_wrong_usage_ends_with_2_and_a_wrong_token_with_1(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            for args in (["nonsense"], ["get", "nothing"], ["push"], ["get", "agents", "--nope"], ["push", "a", "b"]):
                equal(f.cli(*args).returncode, 2, str(args))
            equal(f.cli("push", self.dir + "/absent").returncode, 1)
            r = run([f"{f.build}/fettle", "get", "agents"], {"FETTLE_SERVER": "http://" + s.api_at, "FETTLE_TOKEN": "wrong"})
            equal(r.returncode, 1)
            contains(r.stderr, "fettle: ")
            with open(os.path.join(self.dir, "tok"), "w") as out:
                out.write(s.token + "\n")
            r = run([f"{f.build}/fettle", "get", "agents"],
                    {"FETTLE_SERVER": "http://" + s.api_at, "FETTLE_TOKEN_FILE": os.path.join(self.dir, "tok")})
            equal(r.returncode, 0, r.stderr)


class Exporters(tap.Tests):
    def test_without_any_exporter_samples_are_a_counted_discard(self):
        with Fleet(self.dir) as f:
            s = f.start_server(exporters="[]")
            f.start_agent().online()
            ledger = until("two samples were discarded", lambda: (lambda l: l["dropped"].get("no_exporter", 0) >= 2 and l)(
                s.exporters()["none"]["ledger"]))
            equal(balance(ledger), 0)
            equal(list(s.exporters()), ["none"])
            assert not os.path.exists(os.path.join(s.data, "metrics.db"))
            until("the agent shows its newest sample all the same", lambda: s.get(f"/api/v1/agents/{f.agents[0].online().uid}/metrics")["items"])

    def test_the_file_exporter_writes_json_lines_to_a_file_and_to_standard_output(self):
        with Fleet(self.dir) as f:
            s = f.start_server(exporters="[{name: out, type: file, path: samples.jsonl}, {name: console, type: file, path: '-'}]")
            a = f.start_agent().online()
            path = os.path.join(s.data, "samples.jsonl")

            def samples(text):
                return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
            written = until("three samples in the file", lambda: (lambda x: len(x) >= 3 and x)(samples(open(path).read())))
            equal(set(written[0]), set(SAMPLE_FIELDS))
            equal([x["seq"] for x in written], list(range(1, len(written) + 1)))
            equal({x["agent_id"] for x in written}, {a.uid})
            printed = until("three samples on standard output", lambda: (lambda x: len(x) >= 3 and x)(samples(s.out)))
            equal(set(printed[0]), set(SAMPLE_FIELDS))
            equal(set(s.exporters()), {"out", "console"})


class TheApi(tap.Tests):
    def test_health_needs_no_token_and_the_rest_does(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            equal(s.http("GET", "/healthz", token=False).status, 200)
            equal(s.http("GET", "/readyz", token=False).status, 200)
            equal(stat.S_IMODE(os.stat(os.path.join(s.data, "admin-token")).st_mode), 0o600)
            for token in (False, "wrong", s.token + "x", s.token[:-1], ""):
                a = s.http("GET", "/api/v1/agents", token=token)
                problem(a, 401)
                contains(a.headers.get("WWW-Authenticate", ""), "Bearer")
            problem(s.http("GET", "/api/v1/nothing", token=False), 401)

    def test_what_is_not_there_is_404_and_a_wrong_method_405_with_allow(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            for path in ("/api/v1/nothing", "/nothing", "/api/v1/agents/not-a-uid", f"/api/v1/agents/{uuid.uuid4()}",
                         "/api/v1/configurations/absent", "/api/v1/configurations/absent/versions/1", "/api/v1/agent-groups/absent",
                         "/api/v1/exporters/absent", "/api/v1/rollouts"):
                problem(s.http("GET", path), 404)
            problem(s.push_call(ONE, group="absent"), 404)
            problem(s.http("POST", f"/api/v1/agents/{uuid.uuid4()}/commands", {"type": "restart"}), 404)
            for method, path, allowed in (("POST", "/api/v1/agents", "GET"), ("DELETE", "/api/v1/configurations", "POST"),
                                          ("PATCH", "/api/v1/agent-groups/default", "DELETE"), ("PUT", "/healthz", "GET")):
                a = s.http(method, path, b"")
                problem(a, 405)
                contains(a.headers["Allow"], allowed)
            equal(s.http("HEAD", "/api/v1/agents").body, b"")

    def test_conflicts_are_409_and_wrong_fields_400_with_a_pointer(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            s.post("/api/v1/configurations", {"name": "c", "comment": "a word"})
            problem(s.http("POST", "/api/v1/configurations", {"name": "c"}), 409)
            problem(s.http("POST", "/api/v1/configurations", b"{", "application/json"), 400)
            for body, pointer in (({"name": 7}, "/name"), ({"name": "d", "colour": 1}, "/colour"), ({"name": "d", "comment": []}, "/comment")):
                p = problem(s.http("POST", "/api/v1/configurations", body), 400)
                equal([e["pointer"] for e in p["errors"]], [pointer], str(body))
            p = problem(s.http("PUT", "/api/v1/agent-groups/g", {"selector": "a in (", "priority": 1}), 422)
            equal(p["errors"][0]["pointer"], "/selector")
            p = problem(s.http("PUT", "/api/v1/agent-groups/g", {"selector": "a=b", "priority": "1"}), 400)
            equal(p["errors"][0]["pointer"], "/priority")
            problem(s.http("PUT", "/api/v1/agent-groups/default", {"selector": "a=b", "priority": 1}), 422)
            for name in ("..%2Fx", ".", "..", "a%00b", "x" * 256):
                problem(s.http("PUT", f"/api/v1/agent-groups/default/configuration?object={name}", b"x", TEXT), 400)
            problem(s.http("GET", "/api/v1/agents?selector=a%20in"), 400)
            problem(s.http("GET", "/api/v1/agents?status=asleep"), 400)

    def test_too_large_is_413_and_what_fits_no_message_422(self):
        with Fleet(self.dir) as f:
            s = f.start_server("agents: {heartbeat: 1s, message_max: 64KiB}\napi: {body_max: 256KiB}")
            problem(s.push_call(b"y" * (100 << 10)), 422)
            a = until("an answer to a body that is too large", lambda: s.push_call(b"y" * ((256 << 10) + 1)), 20)
            problem(a, 413)
            s.push(b"y" * (32 << 10))

    def test_a_stale_etag_is_412_and_nothing_changes(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            first = s.put_group("g", "a=b", 1, 201).headers["ETag"]
            equal(s.http("GET", "/api/v1/agent-groups/g").headers["ETag"], first)
            body = {"selector": "a=c", "priority": 1}
            a = s.http("PUT", "/api/v1/agent-groups/g", body, headers={"If-Match": first})
            equal(a.status, 200, repr(a))
            second = a.headers["ETag"]
            assert second != first
            problem(s.http("PUT", "/api/v1/agent-groups/g", {"selector": "a=d", "priority": 1}, headers={"If-Match": first}), 412)
            problem(s.http("DELETE", "/api/v1/agent-groups/g", headers={"If-Match": first}), 412)
            equal(s.get("/api/v1/agent-groups/g")["selector"], "a=c")
            equal(s.http("DELETE", "/api/v1/agent-groups/g", headers={"If-Match": second}).status, 204)

    def test_cursors_go_through_a_list_once(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            names = [f"c{i:02}" for i in range(7)]
            for n in names:
                s.post("/api/v1/configurations", {"name": n})
            peers = [s.peer() for _ in range(7)]
            for p in peers:
                p.introduce(labels={"k": "v"})

            def walk(path, key):
                found, cursor, pages = [], None, 0
                while True:
                    page = s.get(f"{path}?limit=3" + (f"&cursor={cursor}" if cursor else ""))
                    found += [x[key] for x in page["items"]]
                    pages, cursor = pages + 1, page["next"]
                    if cursor is None:
                        return found, pages
            equal(walk("/api/v1/configurations", "name"), (names, 3))
            uids, pages = walk("/api/v1/agents", "instance_uid")
            equal((sorted(uids), len(uids), pages), (sorted(p.name for p in peers), 7, 3))
            problem(s.http("GET", "/api/v1/agents?limit=0"), 400)
            problem(s.http("GET", "/api/v1/agents?cursor=%00nonsense"), 400)
            for p in peers:
                p.close()

    def test_versions_are_immutable_and_the_same_content_is_the_same_version(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            s.post("/api/v1/configurations", {"name": "c"})
            objects = {"a": {"content_type": TEXT, "body": "1"}, "b": {"content_type": TEXT, "body": "2"}}
            v = s.post("/api/v1/configurations/c/versions", {"objects": objects, "comment": "first"})
            equal((v["version"], v["hash"]), (1, content_hash({"a": (TEXT, b"1"), "b": (TEXT, b"2")})))
            equal(s.post("/api/v1/configurations/c/versions", {"objects": objects}, 200)["version"], 1)
            objects["a"]["template"] = True
            w = s.post("/api/v1/configurations/c/versions", {"objects": objects})
            equal((w["version"], w["hash"]), (2, v["hash"]), "the template flag counts for the version, not for the hash")
            equal([x["version"] for x in s.get("/api/v1/configurations/c/versions")["items"]], [1, 2])
            problem(s.http("GET", "/api/v1/configurations/c/versions/3"), 404)
            problem(s.http("PUT", "/api/v1/configurations/c/versions/1", {"objects": objects}), 405)
            p = s.push(b"new", "a")
            equal(s.get(f"/api/v1/configurations/{p['configuration']}/versions/{p['version']}")["objects"].keys(), {"a"})


class Addresses(tap.Tests):
    def test_every_listener_takes_several_addresses_and_unix_sockets(self):
        with Fleet(self.dir) as f:
            agents, api, debug = (f"unix:{self.dir}/{n}.sock" for n in ("agents", "api", "debug"))
            s = f.start_server(options=("--agents", "127.0.0.1:0", "--agents", agents, "--agents", "[::1]:0",
                                        "--api", "127.0.0.1:0", "--api", api, "--debug", debug))
            equal(s.agents_at.split(",")[1], agents)
            equal((s.api_at.split(",")[1], s.debug_at), (api, debug))
            over_unix = f.start_agent("one", server=agents).online()
            over_tcp = f.start_agent("two", server="tcp://" + s.agents_at.split(",")[0]).online()
            over_v6 = f.start_agent("three", server="tcp://" + s.agents_at.split(",")[2]).online()
            equal(len({over_unix.uid, over_tcp.uid, over_v6.uid}), 3)
            equal(len(s.http("GET", "/api/v1/agents", address=api).json["items"]), 3)
            pushed = s.push(ONE)
            for a in f.agents:
                a.applied(pushed["hash"])
            equal({v for n, _, v in s.metrics().rows if n == "rnet_listener_up"}, {1.0})
            assert re.match(r"\[::1\]:\d+$", s.agents_at.split(",")[2]), s.agents_at
            for path in (agents, api, debug):
                assert stat.S_ISSOCK(os.stat(path[5:]).st_mode)

    def test_all_promised_series_exist_from_the_start(self):
        with Fleet(self.dir) as f:
            s = f.start_server()
            names = {n for n, _, _ in s.metrics().rows}
            for n in ("fettle_agents", "fettle_agent_messages_total", "fettle_config_pushes_total", "fettle_config_status",
                      "fettle_config_apply_seconds_count", "fettle_samples_total", "fettle_samples_imbalance", "fettle_lane_queued",
                      "fettle_exporter_up", "fettle_store_seconds_count", "fettle_event_followers", "fettle_events_total",
                      "runnel_tasks", "runnel_tasks_leaked",
                      "runnel_endpoints_unowned", "runnel_channels", "runnel_timers", "runnel_worker_stalls_total", "runnel_parks_total",
                      "rnet_connections", "rnet_accept_pauses_total", "rnet_listener_up", "rnet_stale_events_total",
                      "rnet_syscalls_total", "process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds",
                      "process_start_time_seconds"):
                assert n in names, n
            equal(s.metrics().sum("fettle_agents"), 0)
            equal(s.malformed(), 0)


if __name__ == "__main__":
    tap.main(TheRiver, GroupsAndTemplates, TheCommandLine, Exporters, TheApi, Addresses)
