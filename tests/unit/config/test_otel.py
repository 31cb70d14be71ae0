"""OpenTelemetry's variables: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otlp import certify
from qmp_exporter.config import otlp
from qmp_exporter.config.effective import effective
from qmp_exporter.config.load import settings
from qmp_exporter.config.otel import Limits, Otel, read_otel, shown
from qmp_exporter.errors import ConfigError


if TYPE_CHECKING:
    from pathlib import Path

ON = {"OTEL_TRACES_EXPORTER": "otlp"}


def found(**variables: str) -> Otel:
    """What variables say that are named without ``OTEL_``, in lower case."""
    made = read_otel({f"OTEL_{name.upper()}": text for name, text in variables.items()})
    assert made is not None
    return made


def on(**variables: str) -> Otel:
    """The same with traces to a collector."""
    return found(**{"traces_exporter": "otlp"} | variables)


def refused(**variables: str) -> str:
    """What is said of variables that are wrong."""
    with pytest.raises(ConfigError) as caught:
        on(**variables)
    return str(caught.value)


def signals(otel: Otel | None) -> dict[str, tuple[str, ...]]:
    """The exporters of each signal that has any."""
    pairs = ((name, getattr(otel, name, None)) for name in ("traces", "logs", "metrics"))
    return {name: signal.exporters for name, signal in pairs if signal}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {}),
        ({"OTEL_SERVICE_NAME": "x", "OTEL_BSP_MAX_QUEUE_SIZE": "nonsense"}, {}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {}),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://a:1"}, {}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1"}, {"traces": ("otlp",), "logs": ("otlp",)}),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://a:1"}, {"logs": ("otlp",)}),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_LOGS_EXPORTER": "none"},
            {"traces": ("otlp",)},
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:1", "OTEL_LOGS_EXPORTER": " "},
            {"traces": ("otlp",), "logs": ("otlp",)},
        ),
        ({"OTEL_TRACES_EXPORTER": "Console, otlp,console"}, {"traces": ("console", "otlp")}),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, {"metrics": ("otlp",)}),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, {}),
        ({"OTEL_METRICS_EXPORTER": "prometheus,console"}, {"metrics": ("console",)}),
        ({"OTEL_SDK_DISABLED": "TRUE", **ON}, {}),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_TRACES_EXPORTER": "nonsense"}, {}),
        ({"OTEL_SDK_DISABLED": "1", **ON}, {"traces": ("otlp",)}),
        ({"OTEL_SDK_DISABLED": "false", **ON}, {"traces": ("otlp",)}),
    ],
)
def test_what_is_exported(environment: dict[str, str], expected: dict[str, tuple[str]]) -> None:
    """Nothing unless an exporter or an endpoint is set, and metrics only by their exporter."""
    assert signals(read_otel(environment)) == expected


def test_without_more_all_is_as_the_specification_has_it() -> None:
    """Addresses, limits and times."""
    otel = found(
        exporter_otlp_endpoint="http://localhost:4318", metrics_exporter="otlp", service_name=""
    )
    assert otel.traces is not None
    assert otel.logs is not None
    assert otel.metrics is not None
    queue = (otel.traces.queue, otel.traces.batch, otel.traces.delay, otel.traces.timeout)
    assert queue == (2048, 512, 5.0, 30.0)
    assert (otel.logs.queue, otel.logs.batch, otel.logs.delay) == (2048, 512, 1.0)
    assert (otel.metrics.interval, otel.metrics.timeout) == (60.0, 30.0)
    assert otel.metrics.temporality == "cumulative"
    for signal, one in (("traces", otel.traces), ("logs", otel.logs), ("metrics", otel.metrics)):
        assert one.otlp == otlp.Otlp("http/protobuf", f"http://localhost:4318/v1/{signal}")
    assert otel.limits == Limits()
    assert (otel.sampler, otel.ratio, otel.remarks) == ("parentbased_always_on", 1.0, ())
    assert on().traces == found(exporter_otlp_endpoint="http://localhost:4318").traces


@pytest.mark.parametrize(
    ("variables", "endpoint", "secure"),
    [
        ({}, "http://localhost:4318/v1/traces", False),
        ({"endpoint": "https://c"}, "https://c/v1/traces", True),
        ({"endpoint": "https://c:1/a/"}, "https://c:1/a/v1/traces", True),
        ({"endpoint": "http://[::1]:1"}, "http://[::1]:1/v1/traces", False),
        ({"endpoint": "http://c/a?k=v"}, "http://c/a/v1/traces?k=v", False),
        ({"traces_endpoint": "http://c:1/x"}, "http://c:1/x", False),
        ({"traces_endpoint": "http://c:1"}, "http://c:1/", False),
        ({"traces_endpoint": "http://c:1", "endpoint": "https://d"}, "http://c:1/", False),
        ({"protocol": "grpc"}, "localhost:4317", False),
        ({"protocol": "grpc", "endpoint": "http://c:1/"}, "c:1", False),
        ({"protocol": "grpc", "endpoint": "https://c:1"}, "c:1", True),
        ({"protocol": "grpc", "endpoint": "https://c:1", "insecure": "true"}, "c:1", True),
        ({"protocol": "grpc", "endpoint": "c:1"}, "c:1", True),
        ({"protocol": "grpc", "endpoint": "c:1", "insecure": "True"}, "c:1", False),
        ({"protocol": "GRPC", "traces_protocol": "http/protobuf", "endpoint": "http://c"},
         "http://c/v1/traces", False),
        ({"traces_protocol": "grpc", "endpoint": "http://c:1"}, "c:1", False),
    ],
)  # fmt: skip
def test_where_traces_go(variables: dict[str, str], endpoint: str, secure: bool) -> None:  # noqa: FBT001
    """The path is added to the general address and not to that of a signal; gRPC has none."""
    otel = on(**{f"exporter_otlp_{name}": text for name, text in variables.items()})
    assert otel.traces is not None
    assert otel.traces.otlp is not None
    assert (otel.traces.otlp.endpoint, otel.traces.otlp.secure) == (endpoint, secure)


def test_a_variable_of_a_signal_comes_before_the_general_one() -> None:
    """An empty one is as good as none."""
    otel = found(
        exporter_otlp_endpoint="http://a:1",
        exporter_otlp_headers="a=1,b=2",
        exporter_otlp_traces_headers="X-C=3%204",
        exporter_otlp_timeout="1500",
        exporter_otlp_logs_timeout="0",
        exporter_otlp_compression="gzip",
        exporter_otlp_traces_compression="",
        exporter_otlp_logs_compression="NONE",
    )
    assert otel.traces is not None
    assert otel.logs is not None
    traces, logs = otel.traces.otlp, otel.logs.otlp
    assert traces is not None
    assert logs is not None
    assert (traces.headers, logs.headers) == ((("x-c", "3 4"),), (("a", "1"), ("b", "2")))
    assert (traces.timeout, logs.timeout) == (1.5, 86_400.0)
    assert (traces.compression, logs.compression) == ("gzip", "none")


def test_queues_and_times_are_as_set() -> None:
    """In milliseconds; 0 is no limit of a timeout, and a short queue makes for short batches."""
    otel = found(
        exporter_otlp_endpoint="http://a:1",
        metrics_exporter="console",
        bsp_max_queue_size="100",
        bsp_schedule_delay="0",
        bsp_export_timeout="0",
        blrp_max_export_batch_size="2048",
        blrp_schedule_delay="250",
        blrp_export_timeout="1",
        metric_export_interval="500",
        metric_export_timeout="700",
        exporter_otlp_metrics_temporality_preference="Delta",
    )
    assert otel.traces is not None
    assert otel.logs is not None
    assert otel.metrics is not None
    traces, logs, metrics = otel.traces, otel.logs, otel.metrics
    assert (traces.queue, traces.batch, traces.delay, traces.timeout) == (100, 100, 0, 86_400)
    assert (logs.queue, logs.batch, logs.delay, logs.timeout) == (2048, 2048, 0.25, 0.001)
    assert (metrics.interval, metrics.timeout, metrics.temporality) == (0.5, 0.7, "delta")
    assert metrics.otlp is None


def test_the_name_of_the_service_and_other_attributes() -> None:
    """OTEL_SERVICE_NAME comes first; what is escaped is meant as it was before."""
    otel = on(resource_attributes="service.name=a, k=v%20w%2C ,,deployment.environment=lab")
    assert otel.service == "a"
    assert otel.attributes == (("k", "v w,"), ("deployment.environment", "lab"))
    assert on(resource_attributes="service.name=a", service_name="b").service == "b"


def test_samplers_and_their_argument() -> None:
    """The argument is that of those that take one, and is not looked at with others."""
    otel = on(traces_sampler="ParentBased_TraceIDRatio", traces_sampler_arg=".25")
    assert (otel.sampler, otel.ratio) == ("parentbased_traceidratio", 0.25)
    assert on(traces_sampler="traceidratio").ratio == 1.0
    assert on(traces_sampler="always_off", traces_sampler_arg="nonsense").ratio == 1.0


def test_limits_are_their_own_else_the_general_ones() -> None:
    """Of counts and lengths; those of events and links of a span have no other name."""
    otel = on(
        attribute_count_limit="10",
        attribute_value_length_limit="20",
        span_attribute_count_limit="30",
        span_attribute_value_length_limit="40",
        span_event_count_limit="50",
        span_link_count_limit="60",
        event_attribute_count_limit="70",
        logrecord_attribute_value_length_limit="0",
    )
    assert otel.limits == Limits(30, 40, 50, 60, 70, 10, 20, 10, 0)


WRONG = [
    ("traces_exporter", "zipkin", "found 'zipkin'; expected otlp or console or none"),
    ("logs_exporter", "otlp,", "found ''; expected otlp or console or none"),
    ("logs_exporter", "otlp,none", "found 'otlp,none'; expected none alone, or without it"),
    ("metrics_exporter", "x", "found 'x'; expected otlp or console or prometheus or none"),
    ("exporter_otlp_protocol", "http/json", "found 'http/json'; expected http/protobuf or grpc"),
    ("exporter_otlp_traces_protocol", "tcp", "found 'tcp'; expected http/protobuf or grpc"),
    ("exporter_otlp_endpoint", "localhost:4318",
     "found 'localhost:4318'; expected a URL such as http://localhost:4318"),
    ("exporter_otlp_endpoint", "unix:///x", "found 'unix:///x'; expected a URL"),
    ("exporter_otlp_endpoint", "http://", "found 'http://'; expected a URL"),
    ("exporter_otlp_endpoint", "http://c:99999", "found 'http://c:99999'; expected a URL"),
    ("exporter_otlp_endpoint", "http://[c", "found 'http://[c'; expected a URL"),
    ("exporter_otlp_endpoint", "http://c/a b", "found 'http://c/a b'; expected a URL of printable"),
    ("exporter_otlp_traces_endpoint", "ftp://me:secret@c", "found 'ftp://c'; expected a URL"),
    ("exporter_otlp_headers", "a=1,secret", "found a header (number 2) that is not of the form"),
    ("exporter_otlp_headers", "a=secret%", "found a header (number 1) with a % that is not the"),
    ("exporter_otlp_headers", "a=secret%ff", "found a header (number 1) that is not UTF-8; expec"),
    ("exporter_otlp_headers", "a=secret%0A", "found a character in header 1 that none can have"),
    ("exporter_otlp_headers", "a b=secret", "found a character in header 1 that none can have"),
    ("exporter_otlp_timeout", "10s", "found '10s'; expected a whole number of milliseconds, 0 to"),
    ("exporter_otlp_traces_timeout", "-1", "found '-1'; expected a whole number of milliseconds"),
    ("exporter_otlp_compression", "zstd", "found 'zstd'; expected none or gzip or deflate"),
    ("bsp_max_queue_size", "0", "found '0'; expected a whole number, 1 to 2147483647"),
    ("bsp_max_queue_size", "2147483648", "found '2147483648'; expected a whole number, 1 to"),
    ("bsp_max_export_batch_size", "4096", "found 4096; expected at most 2048, which is OTEL_BSP_M"),
    ("bsp_schedule_delay", "1.5", "found '1.5'; expected a whole number of milliseconds"),
    ("bsp_export_timeout", "never", "found 'never'; expected a whole number of milliseconds"),
    ("resource_attributes", "a", "found 'a' that is not of the form; expected NAME=VALUE,..."),
    ("resource_attributes", "=a", "found '=a' that is not of the form"),
    ("resource_attributes", "a=%ff", "found 'a=%ff' that is not UTF-8; expected it"),
    ("resource_attributes", "a=\udcff", "found 'a=\\udcff' that is not UTF-8; expected it"),
    ("service_name", "a\udcff", "found 'a\\udcff'; expected UTF-8"),
    ("traces_sampler", "xray", "found 'xray'; expected always_on or always_off or traceidratio or"),
    ("span_event_count_limit", "-1", "found '-1'; expected a whole number, 0 to 2147483647"),
    ("attribute_count_limit", "x", "found 'x'; expected a whole number, 0 to 2147483647"),
    ("logrecord_attribute_count_limit", "x", "found 'x'; expected a whole number, 0 to"),
    ("attribute_value_length_limit", "²", "found '²'; expected a whole number, 0 to"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "says"), WRONG)
def test_what_is_wrong_is_told(name: str, text: str, says: str) -> None:
    """By the variable, with what was found and expected; headers and passwords are secrets."""
    said = refused(**{name: text})
    assert said.startswith(f"OTEL_{name.upper()}: {says}")
    assert "secret" not in said


def test_a_wrong_argument_of_a_sampler_is_told() -> None:
    """It is a ratio."""
    for text in ("2", "-0.5", "nan", "", "1e1"):
        if text:
            said = refused(traces_sampler="traceidratio", traces_sampler_arg=text)
            assert said == (
                f"OTEL_TRACES_SAMPLER_ARG: found {text!r}; expected a number from 0 to 1"
            )


@pytest.mark.parametrize("endpoint", ["http://c:1/path", "unix:///x", "http://u:secret@c:1", ":1"])
def test_a_wrong_address_of_grpc_is_told(endpoint: str) -> None:
    """A path, a user or another scheme would not do what was meant."""
    said = refused(exporter_otlp_protocol="grpc", exporter_otlp_endpoint=endpoint)
    assert "expected http:// or https:// with a host and a port, or host:port" in said
    assert "secret" not in said


def test_what_is_no_boolean_counts_as_false_and_is_remarked() -> None:
    """As the specification has it."""
    otel = on(exporter_otlp_protocol="grpc", exporter_otlp_insecure="yes", sdk_disabled="1")
    assert otel.remarks == (
        "OTEL_SDK_DISABLED: found '1', which counts as false; true is `true`",
        "OTEL_EXPORTER_OTLP_INSECURE: found 'yes', which counts as false; true is `true`",
    )


def test_grpc_without_its_extra_is_told() -> None:
    """By the variable that asks for it, with what to install."""
    with mock.patch("importlib.metadata.distribution", side_effect=PackageNotFoundError):
        said = refused(exporter_otlp_traces_protocol="grpc")
        assert said == (
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: found 'grpc', and"
            " opentelemetry-exporter-otlp-proto-grpc is not installed; expected http/protobuf, or"
            " the extra grpc: pip install 'qmp-exporter[grpc]'"
        )
        on(exporter_otlp_protocol="http/protobuf")


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_certificates_are_looked_at(protocol: str, tmp_path: Path) -> None:
    """Where TLS is spoken: a file that is missing, none of PEM, or of another key is told."""
    certify(tmp_path)
    (tmp_path / "junk").write_text("junk")

    def read(**files: str) -> Otel:
        given = {f"exporter_otlp_{name}": str(tmp_path / text) for name, text in files.items()}
        common = {"exporter_otlp_protocol": protocol, "exporter_otlp_endpoint": "https://c:1"}
        return on(**common | given)

    def says(**files: str) -> str:
        with pytest.raises(ConfigError) as caught:
            read(**files)
        return str(caught.value)

    pair = {"client_certificate": "client.pem", "client_key": "client.key"}
    otel = read(certificate="ca.pem", **pair)
    assert otel.traces is not None
    assert otel.traces.otlp is not None
    assert otel.traces.otlp.certificate == str(tmp_path / "ca.pem")
    assert otel.traces.otlp.client_key == str(tmp_path / "client.key")
    start = f"OTEL_EXPORTER_OTLP_CERTIFICATE: found {tmp_path}"
    assert says(certificate="x") == (
        f"{start}/x: No such file or directory; expected a PEM file of certificates"
    )
    assert says(certificate="junk").startswith(f"{start}/junk: ")
    start = f"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: found {tmp_path}/client.pem"
    assert says(**pair | {"client_key": "server.key"}).startswith(
        f"{start} and {tmp_path}/server.key: KEY_VALUES_MISMATCH; expected a PEM file of"
    )
    assert says(client_key="client.key") == (
        "OTEL_EXPORTER_OTLP_CLIENT_KEY: found a key without"
        " OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE; expected both"
    )
    if protocol == "grpc":
        assert "found a certificate without" in says(client_certificate="client.pem")
    else:
        assert says(client_certificate="client.pem").startswith(start)
    on(exporter_otlp_certificate="/nowhere")  # no TLS


def test_what_is_shown_has_no_secret() -> None:
    """Neither as lines, nor as Python shows it, nor with --config.check."""
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://me:secret@c:1/?token=secret",
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=secret,x-scope=secret",
        "OTEL_LOGS_EXPORTER": "console",
    }
    otel = read_otel(variables)
    assert otel is not None
    assert shown(otel) == [
        "traces: http/protobuf to https://c:1/v1/traces with the headers authorization, x-scope",
        "logs: console",
    ]
    assert "secret" not in repr(otel)
    text = effective(settings({}, variables))
    assert "secret" not in text
    assert text.endswith("# logs: console\n")


NAMES = st.sampled_from([f"OTEL_{name.upper()}" for name, *_ in WRONG])


@given(st.dictionaries(NAMES, st.text(max_size=20), max_size=6))
def test_whatever_is_set_is_taken_or_told(environment: dict[str, str]) -> None:
    """No other error, and the message is of one variable."""
    said = ""
    try:
        read_otel(environment | ON)
    except ConfigError as err:
        said = str(err)
    assert said == "" or said.startswith("OTEL_")
    assert len(said.splitlines()) <= 1
