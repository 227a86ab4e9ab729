"""POST /v1/normalize: the pictures themselves, as Claude would get them; no model is called."""

import json
from io import BytesIO
from zipfile import ZIP_STORED, ZipFile

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from app.pipeline import SentImage, normalize
from app.web.answers import NormalizeBody, image_bodies, warning_bodies
from app.web.deps import CallerOf, ServicesOf, SettingsOf
from app.web.disconnect import until_disconnect
from app.web.documentation import NORMALIZED_FILES, body_of, responses_with
from app.web.fields import AnalyzeFields
from app.web.names import archive_stem
from app.web.reading import read_request

REPORT_HEADER = "x-vision-proxy-image"

_EXTENSIONS = {"image/jpeg": "jpg", "image/png": "png", "image/gif": "gif", "image/webp": "webp"}

router = APIRouter(tags=["native"])


@router.post(
    "/v1/normalize",
    summary="The images as Claude would get them",
    openapi_extra=body_of(AnalyzeFields),
    responses=responses_with(None, NORMALIZED_FILES),
)
async def normalize_images(request: Request, caller: CallerOf, services: ServicesOf, settings: SettingsOf) -> Response:
    """One picture: its bytes, its report in the header `x-vision-proxy-image`. Several: a ZIP with `report.json`."""
    received = await read_request(request, AnalyzeFields, settings, caller, services)
    question = await received.vision_request()
    images = await until_disconnect(request.receive, lambda: normalize(question, services))
    if len(images) > 1:
        report = NormalizeBody(
            images=image_bodies(tuple(image.report for image in images), None),
            sandbox=services.sandbox,
            warnings=warning_bodies(question.notices),
            request_id=request.state.request_id,
        )
        archive = await to_thread.run_sync(_zip, images, report.model_dump_json(indent=2))
        return Response(archive, media_type="application/zip", headers=_attachment("images.zip"))
    [image] = images
    [body] = image_bodies((image.report,), None)
    header = json.dumps(body.model_dump(mode="json"))  # ASCII: headers hold nothing else
    return Response(image.data, media_type=image.media_type, headers={REPORT_HEADER: header})


def _zip(images: list[SentImage], report: str) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for image in images:
            archive.writestr(_file_name(image), image.data)
        archive.writestr("report.json", report)
    return buffer.getvalue()


def _file_name(image: SentImage) -> str:
    """`003-receipt.jpg`: its place in the request, its own name, the ending of what it became."""
    stem = archive_stem(image.report.name or "image")
    return f"{image.report.index:03}-{stem}.{_EXTENSIONS[image.media_type]}"


def _attachment(name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'}
