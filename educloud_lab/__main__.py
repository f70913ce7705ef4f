"""``python -m educloud_lab`` is ``educloud``."""

from __future__ import annotations

from educloud_lab.app.main import main

if __name__ == "__main__":
    main()
