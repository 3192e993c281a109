"""Asking a server that a tenant named: an admission webhook, a conversion webhook.

    WebhookClient.call(tenant, clientConfig, body) -> the answer's bytes, or WebhookFailed

Where it connects is decided here, and nothing that a tenant writes leads elsewhere: a Service is one of that tenant and
is reached at addresses that its endpoints may have; a URL's host is resolved once, its address checked (`guard`), and
that very address connected to, so that a name which changes its mind gains nothing. Loopback, link-local, node, pod and
service addresses are refused unless the operator allows them.

Every call has a deadline, a tenant a bounded number of calls at a time and in line, an answer a bounded size.
"""

from arktos.apiserver.webhooks.client import WebhookClient, WebhookFailed, WebhookOptions

__all__ = ["WebhookClient", "WebhookFailed", "WebhookOptions"]
