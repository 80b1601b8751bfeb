"""What both APIs of the cloud have in common: JSON in an envelope, and how sure a refusal is.

{"code": 0, "data": {…}}                  ->  the data
{"code": "2100", "message": "…"}          ->  a new login, and once more (it was refused: nothing was done)
{"code": "2101", "message": "…"}          ->  RequestInfoException, certain: it was not done
HTTP 502, no JSON, no answer              ->  RequestInfoException, not certain: it may have been done
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

from ...core.errors import Unreachable
from .http import Answer, Http, Lost, NotSent


class RETCODE:
    """Response codes of the cloud, as DPDispatcher lists them (dpcloudserver.retcode)."""

    OK = "0000"
    DBERR = "2000"
    THIRDERR = "2001"
    DATAERR = "2002"
    IOERR = "2003"
    TOKENINVALID = "2100"
    PARAMERR = "2101"
    USERERR = "2102"
    ROLEERR = "2103"
    PWDERR = "2104"
    VERIFYERR = "2105"
    REQERR = "2200"
    NODATA = "2300"
    UNDERDEBUG = "2301"
    UNKOWNERR = "2400"


#: Something broke behind the API: whether the job was taken before that, it does not say.
OPEN = frozenset({RETCODE.DBERR, RETCODE.THIRDERR, RETCODE.IOERR, RETCODE.UNKOWNERR})
#: Not as it is, however often it is asked for.
REJECTED = frozenset({RETCODE.DATAERR, RETCODE.PARAMERR, RETCODE.USERERR, RETCODE.ROLEERR, RETCODE.NODATA})
_GOOD = ("0000", "0")
#: A first page with fewer rows than this is a whole listing; after so many pages without a new row there are no more.
_USUAL, _STALE = 30, 3
#: Rows of one listing.
_MOST_ROWS = 1_000_000


class RequestInfoException(Unreachable):
    """A call that gave no data: `status` of HTTP (0: no answer), `url` without its query, `message`, `code` ("": none).

    `certain`: what was asked for was not done. `final`: and it will not be, however often it is asked for.
    """

    def __init__(self, status: int, url: str, message: str, code: str = "", certain: bool = False) -> None:
        self.status, self.url, self.message, self.code = status, url, message, code
        self.certain, self.final = certain, certain and (code in REJECTED or status in (400, 404, 413, 422))
        said = f"code {code}: {message}" if code else message
        super().__init__(f"{urlsplit(url).path} gave no data (HTTP {status or 'no answer'}): {said}"[:500])


class Api:
    """One base address and one way to sign in. `headers()` are those of now, `renew()` makes new ones possible."""

    def __init__(
        self,
        http: Http,
        base_url: str,
        headers: Callable[[], Mapping[str, str]],
        renew: Callable[[], bool] = lambda: False,
    ) -> None:
        self.http, self.base_url = http, base_url.rstrip("/") + "/"
        self._headers, self._renew = headers, renew

    def call(self, method: str, path: str, again: bool, tries: int = 5, **more: Any) -> Any:
        """The data of the answer; `again`: the question may be repeated. Raises RequestInfoException."""
        url = urljoin(self.base_url, path.lstrip("/"))
        try:
            return self._signed(method, url, again, tries, more)
        except RequestInfoException as error:
            if not (error.code == RETCODE.TOKENINVALID or error.status == 401) or not self._renew():
                raise
        return self._signed(method, url, again, tries, more)

    def _signed(self, method: str, url: str, again: bool, tries: int, more: Mapping[str, Any]) -> Any:
        headers = {**self._headers(), **(more.get("headers") or {})}
        try:
            answer = self.http.send(method, url, again, tries, **{**more, "headers": headers})
        except (Lost, NotSent) as error:
            raise RequestInfoException(0, url, str(error), certain=isinstance(error, NotSent)) from None
        return opened(answer, url)


def opened(answer: Answer, url: str) -> Any:
    """What is in the envelope; RequestInfoException says how sure it is that nothing was done."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or "code" not in body:
        # a gateway's page: only a 4xx of it says that the question never got through
        raise RequestInfoException(answer.status, url, "no JSON of the API", certain=_refused(answer.status))
    code = str(body["code"])
    if answer.status < 300 and code in _GOOD:
        return body.get("data")
    message = str(body.get("message") or body.get("msg") or body.get("error") or "")
    certain = code not in OPEN and answer.status < 500 and (code not in _GOOD or _refused(answer.status))
    raise RequestInfoException(answer.status, url, message, code, certain)


def _refused(status: int) -> bool:
    return 400 <= status < 500 and status != 408


def listed(page_of: Callable[[int], Any], first: int, size: int) -> Sequence[Mapping[str, Any]]:
    """All rows of a listing, each id once, page after page until there are no more.

    A `total` in the answer saves the empty page at the end. Where none is told, a page that is empty, or shorter than
    the first (of which a server may give fewer rows than it was asked for), is the last. Lost when it does not end.
    """
    rows: dict[str, Mapping[str, Any]] = {}
    page, full, stale = first, 0, 0
    while stale < _STALE:
        data = page_of(page)
        items = data.get("items") if isinstance(data, Mapping) else None
        if not isinstance(items, list):
            raise Lost("the listing cannot be read: it has no items")
        before = len(rows)
        rows.update((str(item["id"]), item) for item in items if isinstance(item, Mapping) and "id" in item)
        total = data.get("total")
        if not items or (len(rows) >= total if isinstance(total, int) else len(items) < (full or min(size, _USUAL))):
            return list(rows.values())
        if len(rows) > _MOST_ROWS:
            raise Lost(f"the listing has more than {_MOST_ROWS} rows, the limit; look who answers")
        full, page, stale = full or len(items), page + 1, 0 if len(rows) > before else stale + 1
    raise Lost("the listing does not end")
