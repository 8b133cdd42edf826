#!/usr/bin/python3
"""tools/check-includes finds what it has to find: seeded faults in a small tree of all floors."""

import os
import subprocess
import sys

import tap

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/check-includes")

GOOD = {
    "lib/base/include/base/list.h": "#include <stddef.h>\n",
    "lib/runnel/include/runnel/task.h": "#include <stdint.h>\n",
    "lib/runnel/chan.c": '#include "internal.h"\n#include <runnel/task.h>\n#include <base/list.h>\n',
    "lib/runnel/internal.h": "#include <runnel/task.h>\n",
    "lib/rnet/include/rnet/http.h": "#include <runnel/task.h>\n",
    "src/proto/opamp.proto": "",
    "src/proto/frame.c": "#include <proto/opamp.pb-c.h>\n",
    "src/model/include/model/sample.h": "#include <stdint.h>\n",
    "src/model/sample.c": "#include <model/sample.h>\n",
    "src/model/sample_test.c": "#include <model/sample.h>\n#include <harness/test.h>\n",
    "src/server/main.c": '#include "api/routes.h"\n#include "store/store.h"\n',
    "src/server/api/routes.h": '#include "agents/registry.h"\n',
    "src/server/agents/registry.h": '#include "metrics/intake.h"\n#include "changes.h"\n',
    "src/server/changes.h": "#include <model/sample.h>\n",
    "src/server/metrics/intake.h": "#include <model/sample.h>\n",
    "src/server/store/store.h": "#include <stdint.h>\n",
    "src/agent/main.c": "#include <rnet/http.h>\n",
    "src/cli/main.c": "#include <stdio.h>\n",
    "src/load/main.c": "#include <stdio.h>\n",
    "examples/shipper/main.c": "#include <stdio.h>\n",
    "test/harness/include/harness/test.h": "#include <stdint.h>\n",
    "test/harness/task_test.c": "#include <harness/test.h>\n#include <runnel/task.h>\n",
}


class Includes(tap.Tests):
    def check(self, **changes):
        """Write the good tree with changes (path with __ for /) and run the tool. (exit code, output)"""
        tree = {**GOOD, **changes.pop("tree", {})}
        for path, text in tree.items():
            full = os.path.join(self.dir, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            if text is not None:
                with open(full, "w", encoding="utf-8") as f:
                    f.write(text)
        done = subprocess.run([sys.executable, TOOL, self.dir], stdout=subprocess.PIPE, text=True, check=False)
        return done.returncode, done.stdout

    def refuses(self, path, text, why):
        code, out = self.check(tree={path: text})
        assert code == 1, out
        assert why in out, out

    def test_a_good_tree_passes_and_says_what_was_checked(self):
        code, out = self.check()
        assert code == 0, out
        assert "ok 3 - lib/runnel: 5 includes in 3 files" in out, out

    def test_an_upward_include_is_found(self):
        self.refuses("lib/base/list.c", "\n#include <stdio.h>\n  #  include <runnel/task.h>\n",
                     "lib/base/list.c:3: base may not use runnel")
        self.refuses("src/proto/x.c", "#include <model/sample.h>\n", "proto may not use model")

    def test_a_sideways_include_is_found(self):
        self.refuses("src/agent/x.c", '#include "../server/store/store.h"\n', "is private to server")

    def test_a_private_header_of_another_floor_is_found(self):
        self.refuses("lib/rnet/conn.c", '#include "../runnel/internal.h"\n', "is private to runnel")
        self.refuses("lib/rnet/conn.c", "#include <runnel/internal.h>\n", "runnel has no public header")

    def test_a_public_header_must_not_quote(self):
        self.refuses("lib/runnel/include/runnel/chan.h", '#include "task.h"\n', "a public header has to include by")

    def test_the_rooms_of_the_server_keep_their_order(self):
        for path, include, why in (
            ("agents/session.c", "api/routes.h", "agents may not use api"),
            ("metrics/fanout.c", "agents/registry.h", "metrics may not use agents"),
            ("metrics/fanout.c", "api/routes.h", "metrics may not use api"),
            ("exporter/file.c", "agents/registry.h", "exporter may not use agents"),
            ("store/sqlite.c", "metrics/intake.h", "store may not use metrics"),
            ("changes.h", "store/store.h", "shared may not use store"),
            ("attic/x.c", "store/store.h", "no room that the table knows"),
        ):
            self.refuses("src/server/" + path, f'#include "{include}"\n', why)
            os.unlink(os.path.join(self.dir, "src/server", path))

    def test_the_harness_stays_out_of_the_product(self):
        self.refuses("src/model/sample.c", "#include <harness/test.h>\n", "the harness is for tests only")

    def test_what_tests_share_stays_out_of_the_product(self):
        shared = {"src/model/testing.h": "#include <harness/test.h>\n", "src/model/x_test.c": '#include "testing.h"\n'}
        code, out = self.check(tree=shared)
        assert code == 0, out
        self.refuses("src/model/sample.c", '#include "testing.h"\n', '"testing.h" is for tests only')

    def test_a_generated_header_needs_its_source(self):
        self.refuses("src/proto/x.c", "#include <proto/other.pb-c.h>\n", "proto has no public header")

    def test_an_include_that_cannot_be_read_fails(self):
        self.refuses("src/cli/x.c", "#include HEADER\n", "cannot read #include HEADER")

    def test_comments_do_not_count(self):
        code, out = self.check(tree={"lib/base/x.h": "/* so:\n#include <runnel/task.h>\n*/\n// #include <rnet/http.h>\n"})
        assert code == 0, out

    def test_checking_nothing_fails(self):
        done = subprocess.run([sys.executable, TOOL, self.dir], stdout=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 1 and "lib/base: nothing was checked" in done.stdout, done.stdout


tap.main(Includes)
