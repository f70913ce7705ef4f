"""A shell of IPython with our magics and one machine behind them."""

from types import SimpleNamespace

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from tests.unit.notebook.fake_machines import FakeClient, FakeMachine


class Notebook:
    """Runs cells and returns what they showed."""

    def __init__(self, shell, client):
        self.shell = shell
        self.client = client
        self.machine = client.machines[None, "main"]

    def run(self, cell):
        with capture_output() as shown:
            result = self.shell.run_cell(cell)
        return SimpleNamespace(
            error=result.error_before_exec or result.error_in_exec,
            value=result.result,
            stdout=shown.stdout,
            stderr=shown.stderr,
            displays=shown.outputs,
        )


@pytest.fixture
def notebook(monkeypatch, tmp_path):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.chdir(tmp_path)
    client = FakeClient({(None, "main"): FakeMachine()})
    monkeypatch.setattr("educloud_lab.client.connect", lambda: client, raising=False)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.colors = "nocolor"
    shell.run_line_magic("load_ext", "educloud_lab")
    yield Notebook(shell, client)
    shell.run_line_magic("unload_ext", "educloud_lab")
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()
