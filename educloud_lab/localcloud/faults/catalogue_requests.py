"""The kinds of faults that strike requests and answers, whatever they are about."""

from __future__ import annotations

from educloud_lab.localcloud.faults.kinds import Kind, Parameter, Scope

_ALL = (Scope.ACCOUNT, Scope.OPERATION, Scope.RESOURCE)
_CHANCE = (
    Parameter("chance_percent", "percent", 100, "How many of the requests that it concerns it strikes.", 1, 100),
    Parameter("seed", "count", 0, "Which ones: the same seed strikes the same ones.", 0, 2**31),
)
_DESCRIBES = Parameter("describes", "boolean", False, "Whether Describe requests are struck too.")

REQUEST_KINDS = (
    Kind(
        name="throttling",
        title="Requests are throttled",
        component="network (a load balancer before the user-facing services)",
        cause="Many clients that ask without waiting, or one in a loop. Eucalyptus itself throttles nobody.",
        shown="HTTP 503 with the code ServiceUnavailable (profile aws: RequestLimitExceeded).",
        source="Eucalyptus facts, section 2, Errors (no throttling code found): our own addition for what stands"
        " before it; in profile aws as AWS answers",
        seen="Everything takes longer, or is refused with `Request limit exceeded.`",
        ends="Cleared: at once. A client that backs off gets through when calls_per_minute is not 0.",
        scopes=_ALL,
        parameters=(
            Parameter("calls_per_minute", "count", 0, "Requests that are let through in any minute.", 0, 100_000),
            *_CHANCE,
        ),
    ),
    Kind(
        name="delayed-visibility",
        title="What was done shows late",
        component="CLC (answers from a state that lags)",
        cause="The cloud answers from a copy that is behind. AWS documents it as eventual consistency.",
        shown="Describe answers are those of delay_s ago, as a whole: new things are missing (asked for by id: not"
        " found), changed states and tags are old, deleted things are still there. Changes act on what is so.",
        source="Our own addition: section 2 knows it of nothing but states that are polled; SAFETY's I5 rests on it",
        seen="A machine that was just started is not in the list; a stopped one still runs in it.",
        ends="Cleared: at once. What was before the fault was set is the oldest that is shown.",
        scopes=(Scope.ACCOUNT, Scope.OPERATION),
        parameters=(Parameter("delay_s", "seconds", 60, "How far Describe answers are behind.", 0.1, 3600),),
        counted=False,
    ),
    Kind(
        name="lost-reply",
        title="The reply is lost after the effect",
        component="network",
        cause="The connection is cut, or the front end restarted, after the cloud had done what was asked.",
        shown="The connection ends without an answer; what was asked for is done.",
        source="SAFETY section 3 (crash or timeout after RunInstances): what ClientToken is for; section 0.2"
        " (CreateVolume has none)",
        seen="An error about the connection; the instance or volume is there all the same.",
        ends="Cleared (or used up): at once.",
        scopes=_ALL,
        parameters=(_DESCRIBES, *_CHANCE),
    ),
    Kind(
        name="lost-request",
        title="The request is lost before the effect",
        component="network",
        cause="The connection is cut on the way to the cloud.",
        shown="The connection ends without an answer; nothing was done.",
        source="SAFETY section 3: to the caller the same as lost-reply",
        seen="An error about the connection; nothing was made.",
        ends="Cleared (or used up): at once.",
        scopes=_ALL,
        parameters=(_DESCRIBES, *_CHANCE),
    ),
    Kind(
        name="truncated-xml",
        title="An answer is cut off",
        component="network (a proxy) or CLC (out of memory while writing)",
        cause="A proxy's buffer or a dying front end cuts a long answer; the status is 200 all the same.",
        shown="Status 200 and XML that ends in the middle. What was asked for is done.",
        source="SAFETY section 4, row 15: our own addition",
        seen="An error about an answer that cannot be read.",
        ends="Cleared (or used up): at once.",
        scopes=_ALL,
        parameters=(
            Parameter("keep_percent", "percent", 60, "How much of the answer arrives.", 0, 99),
            *_CHANCE,
        ),
    ),
    Kind(
        name="clock-skew",
        title="The cloud's clock is off",
        component="CLC (its host's clock)",
        cause="No time service on the front end's host. The same is seen when one's own clock is off.",
        shown="HTTP 403 for every signed request: `Message has expired (times in UTC)...` or `Message was generated in"
        " the future...`. 20 seconds into the future and 900+20 seconds into the past are allowed.",
        source="Eucalyptus facts, section 0.6",
        seen="The cloud refuses valid keys; the message names both times.",
        ends="Cleared: at once. The times in answers are not changed.",
        scopes=(),
        parameters=(
            Parameter(
                "offset_s",
                "seconds",
                -3600,
                "How far the clock is ahead (positive) or behind (negative).",
                -365 * 86400,
                365 * 86400,
            ),
        ),
        counted=False,
    ),
    Kind(
        name="slow-answers",
        title="The cloud is slow",
        component="CLC",
        cause="The database behind it is busy, or a class asks all at once.",
        shown="Right answers, late.",
        source="SAFETY section 4, row 14 (latency): our own addition",
        seen="Everything takes longer; impatient clients ask again.",
        ends="Cleared: at once; requests that wait go on waiting.",
        scopes=_ALL,
        parameters=(Parameter("delay_s", "seconds", 5, "How late.", 0.01, 600), *_CHANCE),
    ),
    Kind(
        name="internal-error",
        title="The cloud fails inside",
        component="CLC (any generic exception of its backend)",
        cause="A bug, or a backend that is down; Eucalyptus sends many plain refusals so as well.",
        shown="HTTP 500 with the code InternalFailure (profile aws: InternalError); nothing was done.",
        source="Eucalyptus facts, section 2, Errors (generic EucalyptusCloudException)",
        seen="`An internal error occurred`; botocore tries again by itself.",
        ends="Cleared (or used up): at once.",
        scopes=_ALL,
        parameters=_CHANCE,
    ),
)
