"""Assets: files of the release that serves, for the owner's programs."""
from .forms import (COUNT, TEXT, call, in_path, many, ref, said, shape, words)

TAG = "assets"
MEANING = "Documents, prompts and indexes of a release; off without assets_models"
SHA256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
MODEL = in_path("model", {**said(1), "examples": ["tiny"]})
# Up to four parts with slashes between them, which stay as they are.
NAME = in_path("name", {**said(1), "examples": ["faq.md"]})
SCHEMAS = {
    "asset": shape({"object": words("asset"), "name": TEXT,
                    "role": words("asset"), "bytes": COUNT, "sha256": SHA256}),
    "assets": shape({"object": words("list"), "model": TEXT, "version": TEXT,
                     "release": TEXT, "data": many(ref("asset"))})}
STATUSES = (400, 401, 403, 404, 503)
PATHS = {
    "/v1/assets/{model}": {"get": call(
        "listAssets", "Assets of the release that serves", "assets", STATUSES,
        parameters=[MODEL])},
    "/v1/assets/{model}/{name}": {"get": call(
        "downloadAsset", "An asset's bytes",
        {"application/octet-stream": {"schema": TEXT}}, STATUSES,
        parameters=[MODEL, NAME])}}
