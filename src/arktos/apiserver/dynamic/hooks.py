"""Webhooks, called: who is asked, with what, and what comes of the answer or of none."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence

from arktos.apiserver.dynamic.asked import Asked
from arktos.apiserver.dynamic.configurations import Hook
from arktos.apiserver.dynamic.running import Runner
from arktos.apiserver.encoding import dumps
from arktos.apiserver.webhooks import WebhookClient, WebhookFailed
from arktos.model import cel
from arktos.model.admission import policies, reviewing
from arktos.model.admission.matching import Target, matched
from arktos.model.kinds import Obj
from arktos.model.status import BadRequest, InternalError, forbidden
from arktos.wire import logs

log = logs.get_logger(__name__)


class Hooks:
    """Asks webhooks about a request."""

    def __init__(self, client: WebhookClient, runner: Runner) -> None:
        self._client = client
        self._runner = runner

    async def validate(self, asked: Asked, hooks: Sequence[Hook]) -> None:
        """Asks all at a time. Raises the first refusal, in the order of the configurations."""
        calls = (self._answer(asked, hook, mutating=False) for hook in hooks)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        for hook, answer in zip(hooks, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            if answer is not None:
                self._heed(asked, hook, answer[0])

    async def mutate(self, asked: Asked, hook: Hook) -> None:
        """Asks one, and puts its patch into the object."""
        answered = await self._answer(asked, hook, mutating=True)
        if answered is None:
            return
        answer, target = answered
        self._heed(asked, hook, answer)
        current = asked.form(asked.obj, target)
        if not answer.patch or current is None:
            return
        try:
            asked.put(asked.back(reviewing.patched(current, answer.patch), target))
        except reviewing.BadAnswer as error:
            if not hook.ignores:
                raise InternalError(f"Internal error occurred: {error}") from None
            log.info("webhook_ignored", tenant=hook.tenant, webhook=hook.name, why=str(error))

    def _heed(self, asked: Asked, hook: Hook, answer: reviewing.Answer) -> None:
        for text in answer.warnings:
            asked.warn(text)
        for key, value in answer.annotations:
            asked.annotate(f"{hook.name}/{key}", value)
        if not answer.allowed:
            raise reviewing.rejection(hook.name, answer.status)

    async def _answer(self, asked: Asked, hook: Hook, *, mutating: bool) -> tuple[reviewing.Answer, Target] | None:
        """The webhook's answer; None where it does not mean this request, or failed and may. ApiError."""
        target = matched(hook.spec, asked.question)
        if target is None or not await self._meets(asked, hook, target):
            return None
        if asked.dry_run and hook.spec.get("sideEffects") not in ("None", "NoneOnDryRun"):
            raise BadRequest(f'admission webhook "{hook.name}" does not support dry run')
        uid = str(uuid.uuid4())
        request = asked.request(target)
        request["object"], request["oldObject"] = asked.form(asked.obj, target), asked.form(asked.old, target)
        body = dumps(reviewing.review(uid, request))
        seconds = float(hook.spec.get("timeoutSeconds") or 10)
        try:
            config = hook.spec.get("clientConfig") or {}
            told = await self._client.call(
                hook.tenant, config, body, seconds=seconds, about=asked.tenant, hasty=asked.is_for_all
            )
            return reviewing.read(told, uid, mutating=mutating), target
        except WebhookFailed as error:
            why = f"failed to call webhook: {error}"
        except reviewing.BadAnswer as error:
            why = str(error)
        _do_without(hook, why, asked, "mutating" if mutating else "validating")
        return None

    async def _meets(self, asked: Asked, hook: Hook, target: Target) -> bool:
        if hook.broken:
            return _unmet(asked, hook, hook.broken)
        if not hook.conditions:
            return True
        values = asked.values(target)
        try:
            return await self._runner.run(asked.tenant, lambda run: policies.meets(hook.conditions, values, run))
        except cel.EvaluationError as error:
            return _unmet(asked, hook, str(error))


def _unmet(asked: Asked, hook: Hook, why: str) -> bool:
    if hook.ignores:
        return False
    raise forbidden(asked.kind.resource, asked.name, why)


def _do_without(hook: Hook, why: str, asked: Asked, sort: str) -> None:
    """No answer: failurePolicy says what that means."""
    log.info("webhook_failed", tenant=hook.tenant, webhook=hook.name, why=why)
    if not hook.ignores:
        raise InternalError(f'Internal error occurred: failed calling webhook "{hook.name}": {why}')
    asked.annotate(f"failed-open.{sort}.webhook.admission.k8s.io/{hook.configuration}", hook.name)


def snapshot(obj: Obj | None) -> bytes:
    """What an object is, to see whether somebody changed it."""
    return b"" if obj is None else dumps(obj)
