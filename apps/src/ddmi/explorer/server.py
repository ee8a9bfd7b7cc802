"""The explorer over HTTP: a page, and what it asks of models.  It reads no file that a request names."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ddmi.explorer.desk import Desk, Event, Left
from ddmi.explorer.explored import Explored, HowToGoBetween, HowToSample
from ddmi.explorer.page import live_page
from ddmi.explorer.questions import question_of
from ddmi.explorer.samples import Sample, UnknownName
from ddmi_modalities.exploration import Content

LARGEST = 64 * 2**20
"""Bytes of a file to encode."""
KEPT = 256 * 2**20
"""Bytes of answers that are kept: going back to where one was costs nothing."""
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
COOKIE = "ddmi-token-"
"""And a part of a hash of the token: cookies know no ports, and two explorers may run on a machine."""

logger = logging.getLogger("ddmi")


class Guard:
    """Lets in who may: with a token those that know it, without one those that name this machine by itself.

    Pages of other origins, which a browser may have open beside this one, are kept out by what browsers say of a
    request: the name of the host (against DNS rebinding), `Sec-Fetch-Site` and `Origin`.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        given = request.query_params.get("token") or request.cookies.get(cookie_of(self.token or ""), "")
        host, origin = request.url.hostname or "", request.headers.get("origin")
        foreign = request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
        foreign |= origin is not None and urlsplit(origin).netloc != request.url.netloc
        refusal = ""
        if self.token is not None and not secrets.compare_digest(given.encode(), self.token.encode()):
            refusal = "this explorer wants its token: open the address that `ddmi explore` printed"
        elif self.token is None and host not in LOOPBACK:
            refusal = f"this explorer answers its own machine only, not {host!r}; start it with --host for others"
        elif foreign and scope["path"] != "/":
            refusal = "asked by a page of another origin"
        if refusal:
            await JSONResponse({"error": refusal}, status_code=403)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def cookie_of(token: str) -> str:
    """The name of the cookie that holds a token."""
    return COOKIE + hashlib.sha256(token.encode()).hexdigest()[:8]


class Answers:
    """Bounded by their bytes."""

    def __init__(self) -> None:
        self.known: OrderedDict[str, Content] = OrderedDict()
        self.bytes = 0

    def get(self, key: str) -> Content | None:
        if key in self.known:
            self.known.move_to_end(key)
        return self.known.get(key)

    def keep(self, key: str, content: Content) -> None:
        self.bytes += len(content.data) - len(self.known[key].data if key in self.known else b"")
        self.known[key] = content
        while self.bytes > KEPT:
            self.bytes -= len(self.known.popitem(last=False)[1].data)


def explorer(models: Mapping[str, Explored], token: str | None = None) -> Starlette:
    """The application.

    Args:
        models: by the names that stand in addresses.
        token: whoever does not know it is refused; None: everybody on this machine is let in.
    """
    desk, answers = Desk(), Answers()

    def model_of(request: Request) -> Explored:
        name = request.path_params["model"]
        if name not in models:
            raise UnknownName(f"there is no model {name!r}; known: {', '.join(models)}")
        return models[name]

    async def page(request: Request) -> Response:
        response = HTMLResponse(live_page(list(models.values())))
        response.headers["content-security-policy"] = (
            "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
            "img-src 'self' data: blob:; connect-src 'self' data: blob:; frame-ancestors 'none'; form-action 'none'"
        )
        if token is not None:
            response.set_cookie(cookie_of(token), token, httponly=True, samesite="strict")
        return response

    async def described(request: Request) -> Response:
        return JSONResponse([model.description() for model in models.values()])

    async def sample(request: Request) -> Response:
        model = model_of(request)
        how = question_of(HowToSample, _own(request))
        return _streamed(desk, lambda: _shown(model, model.sample(how)))

    async def between(request: Request) -> Response:
        model = model_of(request)
        how = question_of(HowToGoBetween, _own(request))
        return _streamed(desk, lambda: _shown(model, model.between(how)))

    async def encode(request: Request) -> Response:
        model, data = model_of(request), bytearray()
        async for part in request.stream():
            data += part
            if len(data) > LARGEST:
                raise ValueError(f"the file is larger than {LARGEST >> 20} MB")
        name = request.query_params.get("name", "")
        kept = await desk.answer(lambda: model.shown(model.encode(name, bytes(data))), request.is_disconnected)
        return JSONResponse(kept)

    async def nearest(request: Request) -> Response:
        model, name = model_of(request), request.path_params["function"]
        return _streamed(desk, lambda: model.nearest(name))

    async def latent(request: Request) -> Response:
        model = model_of(request)
        return Response(model.latent_file(request.path_params["function"]), media_type="application/octet-stream")

    async def answer(request: Request) -> Response:
        model, key = model_of(request), f"{request.url.path}?{request.url.query}"
        name, question = request.path_params["function"], request.path_params["question"]
        found = answers.get(key)
        if found is None:
            params = _own(request)
            found = await desk.answer(lambda: model.answer(name, question, params), request.is_disconnected)
            answers.keep(key, found)
        headers = {"cache-control": "private, max-age=3600"}
        return Response(found.data, media_type=found.media, headers=headers)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        desk.close()

    function = "/models/{model}/functions/{function}"
    return Starlette(
        routes=[
            Route("/", page),
            Route("/models", described),
            Route("/models/{model}/sample", sample),
            Route("/models/{model}/between", between),
            Route("/models/{model}/encode", encode, methods=["POST"]),
            Route(f"{function}/nearest", nearest),
            Route(f"{function}/latent.safetensors", latent),
            Route(f"{function}/{{question}}", answer),
        ],
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={
            UnknownName: _says(404),
            ValueError: _says(400),
            Left: _says(499),
            Exception: _fails,
            404: _says(404),
            405: _says(405),
        },
        lifespan=lifespan,
    )


def _own(request: Request) -> dict[str, str]:
    """The parameters of a request, but for the token."""
    return {name: value for name, value in request.query_params.items() if name != "token"}


def _shown(model: Explored, samples: Iterator[Sample]) -> Iterator[Event]:
    for sample in samples:
        yield {"function": model.shown(sample)}


def _streamed(desk: Desk, work: Callable[[], Iterator[Event]]) -> Response:
    """Events line by line, as JSON; an error is the last of them."""

    async def lines() -> AsyncIterator[str]:
        try:
            async for event in desk.stream(work):
                yield json.dumps(event) + "\n"
        except (UnknownName, ValueError) as error:
            yield json.dumps({"error": str(error)}) + "\n"
        except Left:
            return
        except Exception as error:  # whatever a model does, the page says it
            logger.exception("the explorer could not answer")
            yield json.dumps({"error": _fault(error)}) + "\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")


def _says(status: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=status)

    return handler


async def _fails(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": _fault(error)}, status_code=500)


def _fault(error: Exception) -> str:
    said = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {said}; the window in which `ddmi explore` runs says more"


def serve(models: Mapping[str, Explored], host: str, port: int, opened: Callable[[str], Any]) -> None:
    """Serves until interrupted.

    Args:
        host: where to listen; anywhere but on this machine's own address a token is wanted.
        port: 0 takes a free one.
        opened: told the page's address.
    """
    import socket

    import uvicorn

    token = None if host in LOOPBACK else secrets.token_urlsafe(16)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        if os.name != "nt":  # where it would let two listen
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except (OSError, OverflowError) as error:
            raise ValueError(f"--host {host} --port {port}: {error}; name another, or --port 0") from None
        listening.listen(128)  # whoever is told the address may come at once
        number = listening.getsockname()[1]
        name = socket.gethostname() if host in ("0.0.0.0", "::") else host  # all of the machine's own
        shown = f"[{name}]" if ":" in name else name
        opened(f"http://{shown}:{number}/" + ("" if token is None else f"?token={token}"))
        config = uvicorn.Config(explorer(models, token), log_level="warning", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listening])
