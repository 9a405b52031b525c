"""Evaluate generated CEL expressions on pods made to be expensive, in a process of its own: `cel_fuzz.py SEED COUNT`.

It ends with status 0 and one line of JSON when nothing aborted it.
"""

from __future__ import annotations

import json
import random
import resource
import sys
import time
from pathlib import Path
from typing import Any

from webhook.policy.cel import CelError, CelFailure, Context, compile_expression

LISTS = [
    "pod.spec.containers",
    "pod.spec.containers[0].env",
    "pod.spec.volumes",
    "pod.spec.tolerations",
    "dependencies",
    "serves",
    "[1, 2, 3]",
    "['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', 'b']",
    "pod.metadata.labels",
    "pod.metadata.annotations",
    "dyn(pod).spec.x",
    "[[1], [2, 3]]",
]
TEXTS = [
    "pod.metadata.name",
    "pod.metadata.annotations['a']",
    "owner.name",
    "namespace.name",
    "'a'",
    "'" + "a" * 300 + "'",
    "pod.metadata.labels.app",
    "pod.spec.containers[0].image",
    "string(pod.spec.priority)",
    "dyn(pod.metadata.name)",
]
NUMBERS = ["1", "0", "-1", "9223372036854775807", "pod.spec.priority", "size(pod.metadata.name)", "dyn(1.5)", "1u"]
PATTERNS = ["^a", "(a+)+$", "(.*){50}x", "[", r"\\pL{200}", "(a{30}){30}", "(?i)(a|b|aa)*c", ".*.*.*x", "(?P<x>a)", ""]
TIMES = [
    "timestamp('2026-01-01T00:00:00Z')",
    "timestamp(0)",
    "timestamp(pod.metadata.name)",
    "duration('99999999h')",
    "duration('1s')",
    "timestamp('9999-12-31T23:59:59Z')",
]


class Generator:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.bound = 0

    def expression(self):
        if self.random.random() < 0.1:
            return self.garbage()
        return self.condition(self.random.randint(1, 6), ())

    def garbage(self):
        pick = self.random.choice
        alphabet = [
            *"()[]{}.,?:!-+*/%<>=&|'\"\\ \n\0é",
            "pod",
            "x",
            "1",
            "all(",
            "in ",
            "has(",
            "'''",
            "0x",
            "1e999",
        ]
        if self.random.random() < 0.5:
            return pick(alphabet) * self.random.randint(1, 3000)
        return "".join(pick(alphabet) for _ in range(self.random.randint(1, 200)))

    def condition(self, depth, names):
        pick = self.random.choice
        if depth <= 0:
            return pick(["true", "'redis' in dependencies", "has(pod.spec.priority)", "owner.kind == 'Job'"])
        deeper = depth - 1
        match self.random.randint(0, 9):
            case 0 | 1:
                return f"{self.condition(deeper, names)} {pick(['&&', '||'])} {self.condition(deeper, names)}"
            case 2 | 3 | 4:
                name = self.name()
                macro = pick(["all", "exists", "exists_one"])
                return f"{self.list(deeper, names)}.{macro}({name}, {self.condition(deeper, (*names, name))})"
            case 5:
                return f"{self.text(deeper, names)} {pick(['==', '!=', '<'])} {self.text(deeper, names)}"
            case 6:
                function = pick(["contains", "startsWith", "endsWith"])
                return f"{self.text(deeper, names)}.{function}({self.text(deeper, names)})"
            case 7:
                return f"{self.text(deeper, names)}.matches('{pick(PATTERNS)}')"
            case 8:
                return f"{self.number(deeper, names)} {pick(['==', '<', '>='])} {self.number(deeper, names)}"
        return pick([f"{pick(TIMES)} < {pick(TIMES)} + duration('9h')", "pod == pod", f"pod in [pod, {pick(LISTS)}]"])

    def name(self):
        self.bound += 1
        return f"v{self.bound}"

    def list(self, depth, names):
        pick = self.random.choice
        if depth <= 0 or self.random.random() < 0.4:
            return pick(LISTS + [f"dyn({name})" for name in names] + [f"dyn({name}).env" for name in names])
        name = self.name()
        deeper = depth - 1
        inner = (*names, name)
        match self.random.randint(0, 3):
            case 0:
                return f"{self.list(deeper, names)}.map({name}, {self.text(deeper, inner)})"
            case 1:
                return f"{self.list(deeper, names)}.filter({name}, {self.condition(deeper, inner)})"
            case 2:
                return f"({self.list(deeper, names)} + {self.list(deeper, names)})"
        return f"{self.list(deeper, names)}.map({name}, {self.list(deeper, inner)})"

    def text(self, depth, names):
        pick = self.random.choice
        if depth <= 0 or self.random.random() < 0.5:
            return pick(TEXTS + [f"string({name})" for name in names] + [f"dyn({name}).name" for name in names])
        left = self.text(depth - 1, names)
        if self.random.random() < 0.2:
            name = self.name()
            return f"[{left}].map({name}, {name} + {name} + {name})[0]"
        return f"({left} + {self.text(depth - 1, names)})"

    def number(self, depth, names):
        pick = self.random.choice
        if depth <= 0 or self.random.random() < 0.4:
            return pick(NUMBERS)
        if self.random.random() < 0.4:
            return f"size({self.list(depth - 1, names)})"
        return f"({self.number(depth - 1, names)} {pick('+-*/%')} {self.number(depth - 1, names)})"


def pods():
    def pod(containers, env, text, **metadata):
        variables = [{"name": f"E{number}", "value": text} for number in range(env)]
        container = {"name": "c", "image": text, "env": variables}
        return {
            "metadata": {"name": text, "labels": {"app": text}, "annotations": {"a": text}, **metadata},
            "spec": {"containers": [container] * containers, "volumes": [{"name": text}] * env, "priority": 2**62},
        }

    deep = {}
    for _ in range(2000):
        deep = {"x": deep}
    return [
        pod(1, 3, "web"),
        pod(10, 10, "a" * 200),
        pod(1, 1000, "a"),
        pod(1, 5, "a" * 100_000),
        pod(30, 100, "a" * 20),
        pod(1, 100_000, "a"),
        pod(1, 1, "é" * 500_000),
        {"spec": {"x": deep}},
        {"spec": {"x": 1 << 70}},
        {"metadata": None, "spec": [None, {"x": [[]] * 5000}]},
        {},
    ]


def main(seed, count):
    # An allocation beyond this fails instead of taking the machine's memory.
    resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
    generator, candidates = Generator(seed), pods()
    found: dict[str, Any] = {
        "refused": 0,
        "evaluated": 0,
        "failed": 0,
        "slowest": 0.0,
        "expression": "",
        "loading": 0.0,
    }
    for _ in range(count):
        source = generator.expression()
        start = time.process_time()
        try:
            expression = compile_expression(source)
        except CelError:
            found["refused"] += 1
            continue
        finally:
            found["loading"] = max(found["loading"], time.process_time() - start)
        for pod in candidates:
            values = {
                "pod": pod,
                "namespace": {"name": "shop", "labels": {"a": "b"}},
                "owner": {"kind": "Job", "name": "a"},
                "dependencies": ["redis", "kafka"],
                "serves": [],
            }
            start = time.process_time()
            try:
                context = Context()
                context.add(expression.variables, values.__getitem__)
                expression.holds(context)
                found["evaluated"] += 1
            except CelFailure:
                found["failed"] += 1
            taken = time.process_time() - start
            if taken > found["slowest"]:
                found |= {"slowest": taken, "expression": source}
    # getrusage also counts what the process that forked this one had.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    found["mebibytes"] = int(peak.split()[1]) >> 10
    print(json.dumps(found))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
