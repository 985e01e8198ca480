"""The OpenAPI document of the local API: what a body may be, and what the
answers are.  `tools/docs.py` writes it to proto/openapi/local.json;
test_local_document.py holds the agent to it.  A file for each API."""
import json

from . import anthropic, assets, batches, device, ollama, openai, responses

PARTS = (openai, responses, batches, assets, anthropic, ollama, device)


def document(version):
    paths, schemas = {}, {}
    for part in PARTS:
        for path, calls in part.PATHS.items():
            paths[path] = {method: {"tags": [part.TAG], **call}
                           for method, call in calls.items()}
        assert not schemas.keys() & part.SCHEMAS.keys(), part.TAG
        schemas.update(part.SCHEMAS)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Flotilla's local API", "version": version,
                 "description": "Made by `make docs` from "
                 "tools/local_openapi/. Other members of a body are passed "
                 "over. Words: docs/reference/local-api.md.",
                 "license": {"name": "Apache-2.0",
                             "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}], "security": [{"bearer": []}],
        "tags": [{"name": part.TAG, "description": part.MEANING}
                 for part in PARTS],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer"}}}}


def text(version):
    return json.dumps(document(version), indent=1, ensure_ascii=False) + "\n"
