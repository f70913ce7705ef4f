"""The language of checks: every form's examples, what a person writes, and what is said of what is not understood."""

import pytest

from educloud_lab.domain.check_forms import FORMS, KINDS, Place, slots_of
from educloud_lab.domain.checks import Assertion, Unclear, parse


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_each_example_is_one_of_its_own_form(form):
    for example in (form.example, *form.more):
        said = parse(example)
        assert isinstance(said, Assertion), said
        assert said.form is form
        assert said.denied is any(word in example.split() for word in ("not", "no", "fails", "smaller"))


def test_what_can_be_denied_has_an_example_of_it():
    for form in FORMS:
        denied = [parse(example).denied for example in (form.example, *form.more)]
        assert any(denied) is bool(form.denies), form.name


def test_names_are_given_once_and_slots_have_kinds():
    assert len({form.name for form in FORMS}) == len(FORMS)
    for form in FORMS:
        assert form.about
        for template in (*form.says, *form.denies):
            assert set(slots_of(template).values()) <= set(KINDS)


def test_a_denial_has_the_slots_of_what_it_denies():
    for form in FORMS:
        slots = [slots_of(template) for template in (*form.says, *form.denies)]
        names = [set(one) for one in slots]
        assert all(one == names[0] for one in names), form.name


@pytest.mark.parametrize(
    ("line", "form", "values"),
    [
        ("Port 80 answers.", "port-answers", {"port": "80"}),
        ("- the port 8080 answers", "port-answers", {"port": "8080"}),
        ("2) port 80 answers with \u201cHi, you\u201d", "port-answers-with", {"port": "80", "text": "Hi, you"}),
        ("the group allows only ports 22, 80, and 443", "group-allows-only", {"ports": "22, 80, and 443"}),
        ("Your   machine is ready", "machine-ready", {}),
        ("the group only allows 22", "group-allows-only", {"ports": "22"}),
        ('an instance tagged Name="my web" runs', "instance-runs", {"tag": "Name=my web"}),
        ('command \'echo "a b"\' prints "a b"', "command-prints", {"text": 'echo "a b"', "wanted": "a b"}),
        ('file "/data/two words.txt" exists', "file-exists", {"path": "/data/two words.txt"}),
        ("file ~/notes.txt exists", "file-exists", {"path": "~/notes.txt"}),
        ("the key pair mine exists", "key-pair-exists", {"name": "mine"}),
        ("YOUR VOLUME IS AT LEAST 2 gib", "volume-size", {"size": "2 gib"}),
        ("command 'x=1; echo $x' succeeds", "command-succeeds", {"text": "x=1; echo $x"}),
    ],
)
def test_what_people_write(line, form, values):
    said = parse(line)
    assert isinstance(said, Assertion), said
    assert (said.form.name, said.values, said.text) == (form, values, line)


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("port eighty answers", "port 80 answers"),
        ("port 80 does answer", "port 80 does not answer"),
        ("data is mounted from your volume", "/data is mounted from your volume"),
        ("the group lets in only 22", "the group allows only 22"),
        ("file hello.txt exists", "file /data/hello.txt exists"),
        ("the snapshot before lab 3 exists", 'a snapshot "before lab 3" exists'),
        ("nginx is active", "service nginx is active"),
        ("the package curl is there", "package curl is installed"),
    ],
)
def test_what_is_not_understood_gets_the_nearest_form(line, nearest):
    said = parse(line)
    assert isinstance(said, Unclear)
    assert said.nearest == nearest
    assert said.why


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("port 70000 answers", "70000 is not possible here"),
        ("port 0 answers", "0 is not possible here"),
        ("the group allows only 22 and 99999", "99999 is not possible here"),
        ('file /x contains "abc', "quotation mark is not closed"),
        ("", "empty"),
        ("port 80 answers \x1b[31m", "cannot be printed"),
        (f"process {'x' * 65} runs", "too long"),
        ("bananas", "none is like it"),
    ],
)
def test_it_is_said_what_is_wrong(line, why):
    said = parse(line)
    assert isinstance(said, Unclear)
    assert why in said.why


@pytest.mark.parametrize("word", ["-rf", "a b", "a;b", "$(x)", "a\tb", "../x"])
def test_names_that_could_be_options_or_more_are_not_understood(word):
    for line in (f"process {word} runs", f"user {word} exists", f"package {word} is installed"):
        assert isinstance(parse(line), Unclear), line


def test_a_line_of_the_longest_kind_is_read_quickly():
    for line in ("a " * 250, "port " + "1" * 495, "the group allows " + "22, " * 120, '"' * 500, "[" * 500):
        assert isinstance(parse(line[:500]), Unclear)


def test_every_place_is_used():
    assert {form.place for form in FORMS} == set(Place)
