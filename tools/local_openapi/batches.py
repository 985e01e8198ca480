"""Files of requests, and batches that answer them."""
from constants import constant

from .forms import (
    COUNT, FLAG, METADATA, NULL, READ, TEXT, WHOLE, call, in_path, many,
    optional, or_null, query, ref, shape, whole, words)

TAG = "batches"
MEANING = "OpenAI's files and batches; off without batch_folder"
LIFETIME = whole(constant("LIFETIME_S_MIN"), constant("LIFETIME_S_MAX"))


def page(most):
    return [query("limit", whole(1, constant(most))),
            query("order", words("asc", "desc")), query("after", TEXT)]


FILE = in_path("id", {"type": "string", "pattern": "^file-[0-9a-f]{24}$"})
BATCH = in_path("id", {"type": "string", "pattern": "^batch-[0-9a-f]{24}$"})
ENDPOINT = words("/v1/chat/completions", "/v1/completions", "/v1/embeddings",
                 "/v1/responses")
TIME = or_null(WHOLE)
IDS = {"first_id": or_null(TEXT), "last_id": or_null(TEXT),
       "has_more": FLAG}
STATUSES = ("validating", "failed", "in_progress", "finalizing", "completed",
            "expired", "cancelling", "cancelled")
SCHEMAS = {
    "upload": shape({
        "purpose": words("batch"),
        "file": {"type": "string", "format": "binary"},
        "expires_after[anchor]?": words("created_at"),
        "expires_after[seconds]?": LIFETIME}),
    "file": shape({
        "id": TEXT, "object": words("file"), "filename": TEXT,
        "purpose": words("batch", "batch_output"),
        "status": words("processed"), "bytes": COUNT, "created_at": WHOLE,
        "expires_at": TIME}),
    "files": shape({"object": words("list"), "data": many(ref("file")), **IDS}),
    "deleted_file": shape({"id": TEXT, "object": words("file"),
                           "deleted": words(True)}),
    "batch_ask": shape({
        "input_file_id": TEXT, "endpoint": ENDPOINT,
        "completion_window": words("24h"), **optional({
            "metadata": METADATA, "output_expires_after": shape({
                "anchor": words("created_at"), "seconds": LIFETIME})})}),
    "batch": shape({
        "id": TEXT, "object": words("batch"), "endpoint": ENDPOINT,
        "input_file_id": TEXT, "completion_window": words("24h"),
        "status": words(*STATUSES), "created_at": WHOLE,
        **{status + "_at": TIME for status in STATUSES[1:]},
        "expires_at": TIME, "output_file_id": or_null(TEXT),
        "error_file_id": or_null(TEXT), "waits_for": or_null(TEXT),
        "metadata": or_null(METADATA),
        "request_counts": shape({"total": COUNT, "completed": COUNT,
                                 "failed": COUNT}),
        "errors": or_null(shape({
            "object": words("list"), "data": many(shape({
                "code": TEXT, "message": TEXT, "line": or_null(WHOLE),
                "param": NULL}))}))}),
    "batches": shape({"object": words("list"), "data": many(ref("batch")),
                      **IDS})}
ROOM = (400, 401, 404, 413, 422, 429)
PATHS = {
    "/v1/files": {
        "get": call("listFiles", "Files of this client", "files", READ,
                    parameters=[*page("FILES_LISTED"), query("purpose", TEXT)]),
        "post": call("createFile", "A file of requests is kept", "file", ROOM,
                     "upload", kind="multipart/form-data",
                     leads=("getFile", "downloadFile", "deleteFile"))},
    "/v1/files/{id}": {
        "get": call("getFile", "A file, but for its bytes", "file", READ,
                    parameters=[FILE]),
        "delete": call("deleteFile", "A file is removed", "deleted_file",
                       (*READ, 409), parameters=[FILE])},
    "/v1/files/{id}/content": {"get": call(
        "downloadFile", "A file's bytes",
        {"application/octet-stream": {"schema": TEXT}}, READ,
        parameters=[FILE])},
    "/v1/batches": {
        "get": call("listBatches", "Batches of this client", "batches", READ,
                    parameters=page("BATCHES_LISTED_MAX")),
        "post": call("createBatch", "Work on a file begins", "batch", ROOM,
                     "batch_ask", leads=("getBatch", "cancelBatch"))},
    "/v1/batches/{id}": {"get": call(
        "getBatch", "How far a batch is", "batch", READ,
        parameters=[BATCH])},
    "/v1/batches/{id}/cancel": {"post": call(
        "cancelBatch", "A batch ends early", "batch", (*READ, 409, 413),
        parameters=[BATCH])}}
