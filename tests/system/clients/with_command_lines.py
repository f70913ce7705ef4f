"""Has the ``aws`` command itself read command lines (its own driver, in this process); see test_command_lines.py.

Reads cases from standard input; prints for each what ``aws`` would send, and what the cloud answered if it looks.
"""

import contextlib
import io
import json
import os
import shlex
import sys

from awscli.clidriver import create_clidriver

CASES = json.load(sys.stdin)
OPTIONS = ["--endpoint-url", os.environ["ENDPOINT"], "--region", os.environ["REGION"], "--output", "json"]


sent, really = [], False


def seen(params, **_rest):
    body = params["body"]
    sent.append({key: str(value) for key, value in body.items() if key not in ("Action", "Version")})
    # Not really asked: an empty answer stands for the cloud's.
    return None if really else (type("Answer", (), {"status_code": 200})(), {})


driver = create_clidriver()  # one for all: it reads the model of EC2 once
driver.session.register("before-call.ec2", seen)


def run(line, looks):
    """Return the parameters that a command line comes to, and what it printed."""
    global really
    really = looks
    sent.clear()
    words = shlex.split(line)
    assert words[0] == "aws"
    printed, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(complained):
        try:
            status = driver.main([*OPTIONS, *words[1:]])
        except SystemExit as left:
            status = left.code
    return {"status": status, "sent": list(sent), "printed": printed.getvalue(), "complained": complained.getvalue()}


print(json.dumps([run(case["line"], case["looks"]) for case in CASES]))
