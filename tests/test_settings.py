"""Settings: read from the environment or files, refused with the name of the variable, documented to the letter."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings import Settings, SettingsError, load_settings, variable_of

DOCUMENT = Path(__file__).parents[1] / "docs" / "configuration.md"


def test_a_variable_sets_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_PROXY_PORT", "9001")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")

    settings = load_settings()

    assert (settings.port, settings.anthropic_base_url) == (9001, "http://127.0.0.1:1")


@pytest.mark.parametrize("variable", ["VISION_PROXY_ADMIN_KEY", "ANTHROPIC_API_KEY"])
def test_every_variable_has_a_twin_that_names_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    (tmp_path / "secret").write_text("a-key-in-a-file-of-its-own\n")
    monkeypatch.setenv(f"{variable}_FILE", str(tmp_path / "secret"))

    settings = load_settings()

    assert SecretStr("a-key-in-a-file-of-its-own") in {settings.admin_key, settings.anthropic_api_key}


def test_the_variable_wins_over_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "port").write_text("1")
    monkeypatch.setenv("VISION_PROXY_PORT_FILE", str(tmp_path / "port"))
    monkeypatch.setenv("VISION_PROXY_PORT", "2")

    assert load_settings().port == 2


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")

    assert load_settings().has_upstream is False


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("VISION_PROXY_PORT", "x", "VISION_PROXY_PORT: Input should be a valid integer"),
        ("VISION_PROXY_WORKERS", "0", "VISION_PROXY_WORKERS: Input should be greater than or equal to 1"),
        ("VISION_PROXY_ADMIN_KEY", "schlüssel-schlüssel", "VISION_PROXY_ADMIN_KEY: it must have at least 16 ASCII"),
        (
            "ANTHROPIC_API_KEY",
            "a-key-and\n",
            "ANTHROPIC_API_KEY: it must be ASCII characters without a space or a line",
        ),
        ("ANTHROPIC_AUTH_TOKEN", "schlüssel", "ANTHROPIC_AUTH_TOKEN: it must be ASCII characters without a space"),
        ("ANTHROPIC_BASE_URL", "notaurl", "ANTHROPIC_BASE_URL: it must begin with http:// or https://"),
        ("VISION_PROXY_CORS_ORIGINS", "https://a.example/", "VISION_PROXY_CORS_ORIGINS: an origin is https://HOST or"),
        ("VISION_PROXY_DATABASE_URL", "mysql://h/d", "VISION_PROXY_DATABASE_URL: it must begin with sqlite:///"),
        (
            "VISION_PROXY_DATABASE_URL",
            "sqlite:///",
            "VISION_PROXY_DATABASE_URL: it names no file: write sqlite:///PATH",
        ),
        ("VISION_PROXY_PROT", "1", "VISION_PROXY_PROT: there is no such setting; see docs/configuration.md"),
        (
            "VISION_PROXY_PORT_FILE",
            "/nowhere",
            "VISION_PROXY_PORT_FILE: cannot read /nowhere: No such file or directory",
        ),
    ],
)
def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as raised:
        load_settings()

    assert str(raised.value).startswith(message)


def test_an_empty_file_counts_as_unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(tmp_path / "empty"))

    assert load_settings().has_upstream is False


def test_a_file_that_is_no_text_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", str(tmp_path / "binary"))

    with pytest.raises(SettingsError) as raised:
        load_settings()

    assert str(raised.value).startswith("ANTHROPIC_API_KEY_FILE: ")


def test_two_credentials_are_one_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "b")

    with pytest.raises(SettingsError) as raised:
        load_settings()

    assert str(raised.value).startswith("set ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN, not both")


def test_a_bad_secret_is_not_repeated_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_PROXY_ADMIN_KEY", "short-key")

    with pytest.raises(SettingsError) as raised:
        load_settings()

    assert "short-key" not in str(raised.value)


def test_the_password_of_the_database_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_PROXY_DATABASE_URL", "postgresql://u:hidden@h/d")
    settings = load_settings()
    monkeypatch.setenv("VISION_PROXY_DATABASE_URL", "postgresql://u:hidden/1@h/d")

    with pytest.raises(SettingsError) as raised:
        load_settings()

    assert "hidden" not in repr(settings) + str(settings) + str(raised.value)


def test_the_documentation_lists_every_setting_as_the_code_has_it() -> None:
    documented = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| `")]

    assert documented == [_row(name) for name in Settings.model_fields]


def _row(name: str) -> str:
    field = Settings.model_fields[name]
    shown = str(field.default).lower() if isinstance(field.default, bool) else field.default
    default = "unset" if field.default is None else f"`{shown}`"
    return f"| `{variable_of(name)}` | {default} | {field.description} |"
