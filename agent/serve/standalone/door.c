/* Door: opens the local API of `flotilla-agent serve`, with its engine program,
 * tokens and addresses. */
#include "agent/serve/standalone/door.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/serve/rules/rules.h"
#include "agent/serve/standalone/files.h"

#define HOLD_MS 30000
#define BATCH_KEEP_MS 604800000 /* 7 days */
#define BATCH_FETCHED_MS 3600000

int flo_door_open(const struct flo_door *door, struct event_base *base,
                  const struct flo_serve_handlers *handlers, struct flo_serve **out,
                  struct flo_err *err)
{
    char engine[512];
    FLO_CLEANUP(flo_free_cleanup) char *token = NULL;
    FLO_CLEANUP(flo_api_rules_deinit) struct flo_api_rules rules = {0};

    FLO_TRY(flo_serve_engine_find(door->backend, engine, sizeof(engine), err));
    FLO_TRY(door->token_file == NULL ? 0 : flo_serve_token_read(door->token_file, &token, err));
    if (door->rules_file != NULL) {
        FLO_TRY(flo_api_rules_load(door->rules_file, &rules, err));
    }
    const struct flo_serve_options options = {
        .engine_path = engine,
        .accepts_inexact = door->accepts_inexact,
        .backend = door->backend,
        .listen = door->listen,
        .token = token,
        .allows_no_token = token == NULL,
        .tokens = rules.tokens,
        .n_tokens = rules.n_tokens,
        .guards = rules.guards,
        .n_guards = rules.n_guards,
        .endpoints = rules.endpoints,
        .n_endpoints = rules.n_endpoints,
        .fallbacks = rules.fallbacks,
        .n_fallbacks = rules.n_fallbacks,
        .shared_prefixes = rules.shared_prefixes,
        .unbound_have_all = true,
        .origins = door->origins,
        .has_no_page = door->has_no_page,
        .has_no_ollama = door->has_no_ollama,
        .has_no_anthropic = door->has_no_anthropic,
        .batch_folder = door->batch_folder,
        .batch_bytes_max = (door->batch_mib > 0 ? door->batch_mib : 1024) << 20,
        .batch_keep_ms = BATCH_KEEP_MS,
        .hold_ms_max = HOLD_MS,
        .batch_delivered_ms = BATCH_FETCHED_MS,
        .sandbox = door->sandbox,
    };
    return flo_serve_open(base, &options, handlers, out, err);
}

void flo_door_tell(const struct flo_door *door, const struct flo_serve *serve)
{
    for (const char *const *a = door->listen; *a != NULL; a++) {
        printf("listening on %s", *a);
        if (a == door->listen && strncmp(*a, "unix:", 5) != 0) {
            printf(" (port %u)", flo_serve_port(serve));
        }
        printf("\n");
    }
    fflush(stdout);
}
