"""Every real picture of the corpus through the front door: answered, or refused with a sentence; never a fault."""

from pathlib import Path

import httpx2
import pytest

FOLDERS = ["documents", "heif", "hostile", "jpeg", "mixed", "orientation", "photos", "png", "screenshots"]
REFUSALS = {"image_undecodable", "unsupported_format", "image_too_many_pixels", "empty_image"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_picture_is_answered_or_refused_by_name(service: httpx2.Client, corpus: Path, folder: str) -> None:
    faults: list[str] = []
    answered = 0
    for path in sorted((corpus / folder).iterdir()):
        response = service.post("/v1/analyze", files={"image": (path.name, path.read_bytes())})
        if response.status_code == 200:
            answered += 1
            [image] = response.json()["images"]
            if image["tokens"] > 4784 or image["cost_usd"] <= 0:
                faults.append(f"{path.name}: {image['tokens']} tokens")
        elif response.json()["error"]["details"]["error_code"] not in REFUSALS:
            faults.append(f"{path.name}: {response.status_code} {response.text[:200]}")

    assert faults == []
    assert (answered > 0) == (folder != "hostile")
