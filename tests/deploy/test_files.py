"""The files that containers are made and run with, held to the code as far as that goes without a container engine."""

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, cast

import crossplane
import httpx2
import pytest
import yaml

from app.settings import Settings, variable_of

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(set((DEPLOY / "kubernetes").glob("*.yaml")) - {DEPLOY / "kubernetes" / "kustomization.yaml"})
DEFAULTS = Settings.model_validate({})


def checked(*command: object) -> None:
    """Run a checker of the environment's; its words are the failure."""
    done = subprocess.run(  # noqa: S603 - the arguments are this file's own
        [Path(sys.executable).parent / str(command[0]), *map(str, command[1:])],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def manifest(name: str) -> Any:
    return yaml.safe_load((DEPLOY / "kubernetes" / f"{name}.yaml").read_text("utf-8"))


def composed() -> Any:
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))


def instructions(name: str) -> list[str]:
    """The arguments of each instruction of that name in the Dockerfile, in order."""
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    return [line.partition(" ")[2].strip() for line in text.splitlines() if line.startswith(f"{name} ")]


def image_variables() -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(instructions("ENV")[0]))


def test_the_dockerfile_has_no_lint() -> None:
    checked("hadolint", "Dockerfile")


def test_the_compose_file_fits_its_schema() -> None:
    checked("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml")


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_fits_its_schema(path: Path) -> None:
    checked("kubernetes-validate", "--strict", path)


def test_kustomize_takes_every_manifest() -> None:
    assert sorted(manifest("kustomization")["resources"]) == [path.name for path in MANIFESTS]


def test_every_setting_that_is_named_exists() -> None:
    known = {variable_of(name) for name in Settings.model_fields}
    paths = [ROOT / "Dockerfile", ROOT / "docker-compose.yml", *DEPLOY.rglob("*.y*ml"), *DEPLOY.rglob("*.conf")]
    named = {name for path in paths for name in re.findall(r"(?:VISION_PROXY|ANTHROPIC)_[A-Z_]+", path.read_text())}
    assert {name.removesuffix("_FILE") for name in named - {"VISION_PROXY_"}} <= known
    assert "VISION_PROXY_DATABASE_URL" in named


def test_the_image_is_built_from_what_is_let_into_it() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line[1:] for line in ignored if line.startswith("!")}
    copied = [source for line in instructions("COPY") if "--from" not in line for source in shlex.split(line)[:-1]]
    assert set(copied) == let_in
    assert all((ROOT / name).exists() for name in copied)
    assert not any(fnmatch("app", line) for line in ignored[1:] if not line.startswith("!"))


def test_whoever_stops_the_service_waits_for_it() -> None:
    pod = manifest("deployment")["spec"]["template"]["spec"]
    told = {variable["name"]: variable["value"] for variable in pod["containers"][0]["env"]}
    noticed_s = pod["containers"][0]["readinessProbe"]["periodSeconds"] * 2
    assert noticed_s < float(told["VISION_PROXY_DRAIN_DELAY_S"]) < DEFAULTS.drain_timeout_s
    assert pod["terminationGracePeriodSeconds"] > DEFAULTS.drain_timeout_s
    for name in ("vision-proxy", "replica"):
        assert int(composed()["services"][name]["stop_grace_period"].removesuffix("s")) > DEFAULTS.drain_timeout_s


def test_containers_run_as_nobody_on_a_file_system_they_cannot_write() -> None:
    pod = manifest("deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert instructions("USER") == [str(pod["securityContext"]["runAsUser"])]
    for name in ("vision-proxy", "replica"):
        service = composed()["services"][name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])


def test_all_parts_agree_on_the_port() -> None:
    container = manifest("deployment")["spec"]["template"]["spec"]["containers"][0]
    assert {port["containerPort"] for port in container["ports"]} == {8000}
    assert (instructions("EXPOSE"), image_variables()["VISION_PROXY_PORT"]) == (["8000"], "8000")
    assert manifest("network-policy")["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8000}]


def directives(block: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Every directive of nginx's file, blocks opened."""
    found: dict[str, list[str]] = {}
    for directive in block:
        found.setdefault(directive["directive"], []).append(" ".join(directive["args"]))
        for name, values in directives(directive.get("block", [])).items():
            found.setdefault(name, []).extend(values)
    return found


def test_nginx_lets_uploads_and_streams_through() -> None:
    parsed = cast("Any", crossplane).parse(str(DEPLOY / "nginx" / "nginx.conf"))
    assert parsed["errors"] == []
    found = directives(parsed["config"][0]["parsed"])
    assert found["client_max_body_size"] == ["0"]
    assert (found["proxy_request_buffering"], found["proxy_buffering"]) == (["off"], ["off"])
    assert int(found["proxy_read_timeout"][0].removesuffix("s")) > DEFAULTS.upstream_timeout_s


def test_what_the_image_copies_serves_and_its_health_check_finds_it_well(tmp_path: Path) -> None:
    """The image's own files, start command, variables and health check, in place of an image."""
    built = installed_from(copied_into(tmp_path / "build"), tmp_path / "installed")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    variables = image_variables() | {
        "PATH": f"{built / 'bin'}:{Path(sys.executable).parent}",
        "PYTHONPATH": str(built),
        "VISION_PROXY_PORT": port,
        "VISION_PROXY_DATABASE_URL": f"sqlite:///{tmp_path}/vision-proxy.db",
    }
    log = (tmp_path / "log").open("wb")
    serving = subprocess.Popen(json.loads(instructions("CMD")[-1]), cwd=tmp_path, env=variables, stderr=log, stdout=log)  # noqa: S603
    try:
        probe = json.loads(instructions("HEALTHCHECK")[0].partition("CMD ")[2])
        healthy = any(passes(probe, variables) for _ in range(100) if serving.poll() is None)
        page = httpx2.get(f"http://127.0.0.1:{port}/docs")
    finally:
        serving.terminate()
        serving.wait(30)
        log.close()
    assert (healthy, page.status_code) == (True, 200)


def copied_into(sources: Path) -> Path:
    """The files that the Dockerfile copies to build from, and no others."""
    sources.mkdir()
    for line in instructions("COPY"):
        for name in shlex.split(line)[:-1] if "--from" not in line else []:
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, sources / name)
    return sources


def installed_from(sources: Path, target: Path) -> Path:
    """The package as the image installs it, in a folder of its own."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--disable-pip-version-check", "--target", target, sources], check=True)  # noqa: S603
    return target


def passes(probe: list[str], variables: dict[str, str]) -> bool:
    """Whether one health check passes."""
    return subprocess.run(probe, env=variables, capture_output=True, check=False).returncode == 0  # noqa: S603
