"""The policies there are: one line each, and the order of the lines is the order of the walk."""

from __future__ import annotations

from meshproxy.policies.cache import CacheSpec
from meshproxy.policies.circuit_breaker import CircuitBreakerSpec
from meshproxy.policies.concurrency import ConcurrencySpec
from meshproxy.policies.contract import Spec
from meshproxy.policies.deadlines import DeadlinesSpec
from meshproxy.policies.fallback import FallbackSpec
from meshproxy.policies.faults import FaultsSpec
from meshproxy.policies.health_check import HealthCheckSpec
from meshproxy.policies.hedge import HedgeSpec
from meshproxy.policies.load_balancer import LoadBalancerSpec
from meshproxy.policies.overload import OverloadSpec
from meshproxy.policies.priority import PrioritySpec
from meshproxy.policies.rate_limit import RateLimitSpec
from meshproxy.policies.retries import RetrySpec
from meshproxy.policies.sticky import StickySpec
from meshproxy.policies.tracing import TracingSpec

REGISTRY: tuple[type[Spec], ...] = (
    TracingSpec,
    DeadlinesSpec,
    PrioritySpec,
    OverloadSpec,
    RateLimitSpec,
    FaultsSpec,
    CacheSpec,
    ConcurrencySpec,
    HealthCheckSpec,
    LoadBalancerSpec,
    StickySpec,
    CircuitBreakerSpec,
    HedgeSpec,
    RetrySpec,
    FallbackSpec,
)
