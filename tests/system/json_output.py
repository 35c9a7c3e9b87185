"""Every object that is printed with --json holds to docs/json.schema.json, and docs/json.md tells every field of that."""
import json
import os
import re
import unittest

import cli

DOCS = os.path.join(os.environ["LOCKSTEP_SOURCE"], "docs")
with open(os.path.join(DOCS, "json.schema.json"), encoding="utf-8") as schema_file:
    SCHEMA = json.load(schema_file)

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


def has_type(value, name):
    if name in ("integer", "number"):
        return not isinstance(value, bool) and isinstance(value, int if name == "integer" else (int, float))
    return isinstance(value, TYPES[name])


def faults(value, schema, where="$"):
    """What is wrong with the value, by as much of JSON Schema as the file uses; any other word of it is a fault, too."""
    unknown = set(schema) - {"$ref", "oneOf", "type", "const", "enum", "pattern", "minimum", "items", "properties", "required",
                             "additionalProperties", "$schema", "title", "$defs"}
    found = [f"{where}: {word} is not understood" for word in unknown]
    if "$ref" in schema:
        return found + faults(value, SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[1]], where)
    if "oneOf" in schema:
        fits = [one for one in schema["oneOf"] if not faults(value, one, where)]
        return found if len(fits) == 1 else found + [f"{where}: fits {len(fits)} of {len(schema['oneOf'])}"]
    if "type" in schema:
        types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        if not any(has_type(value, name) for name in types):
            return found + [f"{where}: {value!r} is no {schema['type']}"]
    if "const" in schema and value != schema["const"] or "enum" in schema and value not in schema["enum"]:
        found.append(f"{where}: {value!r} is not {schema.get('const', schema.get('enum'))}")
    if "pattern" in schema and isinstance(value, str) and not re.search(schema["pattern"], value):
        found.append(f"{where}: {value!r} does not match {schema['pattern']}")
    if "minimum" in schema and has_type(value, "number") and value < schema["minimum"]:
        found.append(f"{where}: {value} is less than {schema['minimum']}")
    if isinstance(value, list):
        found += [fault for i, one in enumerate(value) for fault in faults(one, schema.get("items", {}), f"{where}[{i}]")]
    if isinstance(value, dict) and "properties" in schema:
        found += [f"{where}: lacks {name}" for name in schema["required"] if name not in value]
        for name, one in value.items():
            if name in schema["properties"]:
                found += faults(one, schema["properties"][name], f"{where}.{name}")
            elif schema["additionalProperties"] is False:
                found.append(f"{where}: {name} is not known")
    return found


class Output(cli.Case):
    def setUp(self):
        super().setUp()
        self.origin, self.local, self.other = self.path("origin.db"), self.path("local.db"), self.path("other.db")
        cli.make_counter(self.origin, 7, rows=50)
        self.lock = "file://" + self.path("lock")

    def check(self, kind, *words, status=0):
        """The one object on stdout, which is of that kind and holds to the schema."""
        result = self.assert_status(self.lockstep(*words, "--json") if "--" not in words else
                                    self.lockstep(words[0], "--json", *words[1:]), status)
        self.assertEqual(len(result.stdout.splitlines()), 1, result)
        told = json.loads(result.stdout)
        self.assertEqual((told["v"], told["kind"]), (1, kind), result)
        self.assertEqual(faults(told, SCHEMA["$defs"]["sync" if kind in ("pull", "push") else kind]), [], result)
        self.assertEqual(faults(told, SCHEMA), [], result)
        return told

    def test_syncs(self):
        self.check("pull", "pull", "--dry-run", self.origin, self.local)
        self.check("pull", "pull", self.origin, self.local)
        self.check("pull", "pull", self.origin, self.local)
        cli.add(self.local)
        self.check("push", "push", "-n", self.local, self.origin)
        self.check("push", "push", self.local, self.origin)
        self.check("pull", self.origin, self.other)
        self.check("status", "status", self.origin, self.path("none.db"))
        self.check("status", "status", self.origin, self.local)
        self.check("verify", "verify", self.origin, self.local)
        cli.add(self.local)
        self.check("error", "verify", self.origin, self.local, status="VERIFY_FAILED")
        self.assertEqual(len(self.check("diff", "diff", self.origin, self.local)["rows"]), 1)

    def test_conflicts(self):
        self.check("history", "history", self.origin)
        self.check("pull", "pull", self.origin, self.local)
        self.check("pull", "pull", self.origin, self.other)
        for kept in ("take-origin", "keep-local"):
            cli.add(self.other, 10)
            self.check("push", "push", "--instance", "ams/app/1", self.other, self.origin)
            cli.add(self.local, 100)
            self.check("error", "push", self.local, self.origin, status="STALE_BASE")
            self.check("resolve", "resolve", "--" + kept, self.origin, self.local)
        self.assertEqual(len(self.check("history", "history", self.origin)["versions"]), 4)

    def test_runs(self):
        self.check("run", "run", "--lock", self.lock, self.origin, self.local, "--", "true")
        told = self.check("run", "run", "--lock", self.lock, self.origin, self.local, "--", "sh", "-c", "exit 3", status=3)
        self.assertEqual((told["job"], told["pushed"]), ({"status": 3, "signal": 0}, None))
        told = self.check("run", "run", "--lock", self.lock, self.origin, self.local, "--", "sh", "-c", "kill -9 $$", status=137)
        self.assertEqual(told["job"], {"status": 0, "signal": 9})
        told = self.check("run", "run", "--lock", self.lock, self.path("none.db"), self.local, "--", "true", status="NO_DATABASE")
        self.assertEqual((told["error"]["error"], told["exit_status"], told["pulled"]), ("NO_DATABASE", 66, None))
        self.check("error", "run", self.origin, self.local, status="USAGE")

    def test_locks(self):
        self.check("lock-show", "lock", "show", self.lock)
        lease = self.check("lock-acquire", "lock", "acquire", self.lock)
        self.check("lock-show", "lock", "show", self.lock)
        self.check("error", "lock", "acquire", "--lock-wait", "0", self.lock, status="LOCK_HELD")
        self.check("lock-release", "lock", "release", "--token", str(lease["token"]), "--lease", lease["lease"], self.lock)
        self.check("lock-acquire", "lock", "acquire", self.lock)
        self.check("lock-break", "lock", "break", self.lock)
        self.check("lock-doctor", "lock", "doctor", self.lock)
        with open(self.path("script.lock"), "w", encoding="utf-8") as file:
            file.write('{"instance_id": "a-script", "timestamp": "2026-01-01T00:00:00Z", "timeout": 60}')
        self.assertTrue(self.check("lock-show", "lock", "show", "file://" + self.path("script.lock"))["foreign"])

    def test_others(self):
        self.check("config", "config", "pull")
        self.check("error", "pull", self.path("none.db"), self.local, status="NO_DATABASE")
        self.check("error", "pull", "only-one", status="USAGE")
        result = self.lockstep("run", "-q", "--progress=json", "--lock", self.lock, self.origin, self.local, "--", "true")
        lines = [json.loads(line) for line in self.assert_status(result, 0).stderr.splitlines()]
        self.assertGreater(len(lines), 1)
        for line in lines:
            self.assertEqual(faults(line, SCHEMA["$defs"]["progress"]), [], line)

    def test_every_command_is_among_these(self):
        """A new command comes with a kind of its own, or a place in this file."""
        commands = set(re.findall(r"^  lockstep ([a-z]+) ", self.lockstep("--help").stdout, re.M))
        self.assertEqual(commands - {"completion"}, {"run", "pull", "push", "status", "verify", "diff", "resolve", "history", "lock", "config"})


class Document(unittest.TestCase):
    def sections(self):
        with open(os.path.join(DOCS, "json.md"), encoding="utf-8") as file:
            parts = re.split(r"^## (.*)$", file.read(), flags=re.M)
        return dict(zip(parts[1::2], parts[2::2]))

    def names(self, schema):
        """The properties of a schema and of what stands in it, references apart; and what its enums and kinds may be."""
        found = set()
        if not schema:
            return found
        for name, one in schema.get("properties", {}).items():
            if name not in ("v", "kind") or "const" not in one:
                found |= {name} | self.names(one)
        for one in [*schema.get("oneOf", []), schema.get("items", {})]:
            found |= self.names(one)
        return found | set(schema.get("enum", []))

    def test_every_field_is_told(self):
        sections = self.sections()
        kinds = {"pull, push": "sync"}
        for title, text in sections.items():
            schema = SCHEMA["$defs"][kinds.get(title, title)]
            told = set(re.findall(r"`([^`]+)`", text))
            lacking = {name for name in self.names(schema) if name not in told and name not in ("pull", "push", "kind")}
            self.assertEqual(lacking, set(), title)
            # And no field that there is not.
            for row in re.findall(r"^\| (`.*?) \|", text, re.M):
                self.assertLessEqual(set(re.findall(r"`([^`]+)`", row)), set(schema["properties"]), title)
        self.assertEqual(set(SCHEMA["$defs"]) - {"holder", "sync"}, set(sections) - {"pull, push"})

    def test_the_walker_finds_faults(self):
        good = {"v": 1, "kind": "lock-release", "token": 3}
        self.assertEqual(faults(good, SCHEMA), [])
        for bad in ({**good, "token": -1}, {**good, "token": 1.5}, {**good, "token": True}, {**good, "more": 1}, {"v": 1, "kind": "lock-release"},
                    {**good, "v": 2}, {**good, "kind": "lock"}, [good], {"v": 1, "kind": "lock-acquire", "token": 3, "lease": "xyz"}):
            self.assertNotEqual(faults(bad, SCHEMA), [], bad)


if __name__ == "__main__":
    unittest.main()
