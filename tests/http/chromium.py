"""A headless Chromium, driven over its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/).

Only what the console's tests need: open a page, look into it, click, take a picture.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE_S = 60.0


class Page:
    """One tab. Use it with `with`; Chromium ends with it."""

    def __init__(
        self, width: int = 1280, height: int = 900, *, dark: bool = False, phone: bool = False
    ) -> None:
        assert PROGRAM is not None
        self._profile = tempfile.mkdtemp(prefix="ironkv-chromium-")
        self._process = subprocess.Popen(
            [
                PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0",
                "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
                "--disable-extensions", "--hide-scrollbars", f"--user-data-dir={self._profile}",
                "about:blank",
            ],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._numbers = itertools.count(1)
        self._loop = asyncio.new_event_loop()
        self.problems: list[str] = []
        """What the page complained of: errors, and what the security policy refused."""
        try:
            self._loop.run_until_complete(self._attach())
            self._prepare(width, height, dark, phone)
        except BaseException:
            self.close()
            raise

    def _address(self) -> str:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(r"DevTools listening on (ws://\S+)", line):
                return found[1]
        raise AssertionError("Chromium did not start")

    async def _attach(self) -> None:
        address = self._address()
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(address, max_msg_size=0)
        self._target = ""
        target = await self._send("Target.createTarget", url="about:blank")
        attached = await self._send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._target = attached["sessionId"]

    def _prepare(self, width: int, height: int, dark: bool, phone: bool) -> None:
        self.do("Page.enable")
        self.do("Runtime.enable")
        self.do("Log.enable")
        self.resize(width, height, phone=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.do("Emulation.setEmulatedMedia", features=[scheme])

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        self.do(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    async def _send(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._target:
            message["sessionId"] = self._target
        await self._socket.send_json(message)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                answer = await self._socket.receive_json()
                if answer.get("id") == number:
                    assert "error" not in answer, (method, answer)
                    return answer["result"]
                self._hear(answer)

    def _hear(self, event: dict[str, Any]) -> None:
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.problems.append(str(params["exceptionDetails"].get("exception", {}).get("description")))
        if event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def do(self, method: str, **params: Any) -> Any:
        """One command of the protocol."""
        return self._loop.run_until_complete(self._send(method, **params))

    def open(self, url: str) -> None:
        self.do("Page.navigate", url=url)

    def look(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        result = self.do("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Wait until it is true, and return it."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := self.look(expression)):
            assert time.monotonic() < deadline, f"never: {expression}\n{self.look('document.body.innerText')}"
            time.sleep(0.05)
        return value

    def picture(self, path: Path) -> None:
        """What is in the window."""
        shot = self.do("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if hasattr(self, "_session"):
            self._loop.run_until_complete(self._session.close())
        self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self._loop.close()
        shutil.rmtree(self._profile, ignore_errors=True)
