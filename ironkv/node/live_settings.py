"""What changes at once when a setting does; the others are looked up when they are needed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from ironkv.server.output_limit import OutputLimit
from ironkv.server.rate_limits import Rates

if TYPE_CHECKING:
    from ironkv.node.view import View
    from ironkv.server.dispatch import Dispatch

LIMITS: Final = (
    "limits.maxclients",
    "limits.proto_max_bulk_len",
    "limits.client_query_buffer_limit",
    "limits.max_proposal_bytes",
    "server.tcp_keepalive",
)
RATES: Final = (
    "limits.rate_limit_address_commands",
    "limits.rate_limit_address_bytes",
    "limits.rate_limit_user_commands",
    "limits.rate_limit_user_bytes",
    "limits.rate_limit_burst",
)
PROTECTION: Final = ("server.protected_mode", "limits.acllog_max_len", "server.requirepass")
OUTPUT: Final = ("limits.pubsub_output_hard", "limits.pubsub_output_soft", "limits.pubsub_output_soft_s")


def follow(view: View, dispatch: Dispatch) -> None:
    """Bring the settings to where they count, now and whenever one is changed."""
    settings = view.settings
    limits = settings.limits

    def set_limits() -> None:
        dispatch.set_limits(
            bulk_max=limits.proto_max_bulk_len,
            request_max=limits.client_query_buffer_limit,
            clients_max=limits.maxclients,
            proposals_max=limits.max_proposal_bytes,
            keepalive_s=settings.server.tcp_keepalive,
        )

    def set_output_limit() -> None:
        dispatch.output_limit = OutputLimit(
            limits.pubsub_output_hard, limits.pubsub_output_soft, limits.pubsub_output_soft_s
        )

    def set_notifications() -> None:
        dispatch.notifications.choose(settings.server.notify_keyspace_events)

    def set_rates() -> None:
        rates = Rates(*(settings.value(name) for name in RATES))
        dispatch.rates.choose(rates)
        for connection in dispatch.connections.values():
            connection.advanced_commands = connection.advanced_bytes = 0
        dispatch.rate_limits = dispatch.rates if rates.any else None

    def set_protection() -> None:
        dispatch.protected = settings.server.protected_mode
        view.accounts.log.most = limits.acllog_max_len
        dispatch.guarding.users_changed()

    def set_log_level() -> None:
        logging.getLogger().setLevel(settings.log.level.upper())

    def set_watched() -> None:
        slowlog = settings.slowlog
        dispatch.timesheet.watch(
            slowlog.log_slower_than, slowlog.max_len, settings.latency.monitor_threshold_ms
        )

    for name in ("slowlog.log_slower_than", "slowlog.max_len", "latency.monitor_threshold_ms"):
        view.on_setting(name, set_watched)
    set_watched()
    for name in LIMITS:
        view.on_setting(name, set_limits)
    for name in RATES:
        view.on_setting(name, set_rates)
    for name in PROTECTION:
        view.on_setting(name, set_protection)
    for name in OUTPUT:
        view.on_setting(name, set_output_limit)
    view.on_setting("server.notify_keyspace_events", set_notifications)
    view.on_setting("log.level", set_log_level)
    set_limits()
    set_protection()
    set_rates()
    set_output_limit()
    set_notifications()
