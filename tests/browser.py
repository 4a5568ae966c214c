"""A real browser for tests: the system's Chromium, without a window; left out where it is not installed, except in CI."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.binaries import in_ci


@contextmanager
def browser(folder: Path) -> Iterator[Any]:
    """Yield a browser that keeps what it writes in `folder` and reaches no network."""
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    missing = [name for name, path in programs.items() if path is None]
    if missing:
        why = f"no {' and no '.join(missing)}: the tests in a real browser are left out"
        (pytest.fail if in_ci(os.environ) else pytest.skip)(why)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = programs["chromium"]
    # A container offers the browser no sandbox of its own and little of /dev/shm.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1200,1000", "--disable-gpu"):
        options.add_argument(argument)
    options.add_argument(f"--user-data-dir={folder / 'profile'}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=programs["chromedriver"], log_output=str(folder / "driver.log"))
    driver = webdriver.Chrome(options, service)
    try:
        yield driver
    finally:
        driver.quit()
