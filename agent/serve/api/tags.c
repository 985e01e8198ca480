/* Tags: writes models and version in the form of Ollama's API.
 *
 * Only known facts are shown: a model behind another runtime has no format, and
 * a release no size. */
#include "agent/serve/api/tags.h"

#include <string.h>

#include "agent/serve/api/models.h"
#include "agent/serve/requests/names.h"
#include "base/host/json.h"

#define SHOW_BYTES_MAX 4096

static bool is_ours(const struct serve_engine *live)
{
    return live == NULL || live->runtime[0] == '\0';
}

static void add_details(const struct serve_engine *live, struct flo_buf *out)
{
    flo_buf_printf(out,
                   "\"details\":{\"parent_model\":\"\",\"format\":\"%s\","
                   "\"family\":\"\",\"families\":null,"
                   "\"parameter_size\":\"\",\"quantization_level\":\"\"}",
                   is_ours(live) ? "gguf" : "");
}

static void add_model(const struct serve_place *place, const struct models_shown *shown,
                      bool only_live, struct flo_buf *out)
{
    const struct serve_engine *live = flo_serve_engine_live(place);
    char digest[FLO_DIGEST_TEXT], created[25];

    flo_digest_text(shown->release, digest);
    flo_time_text(shown->created_s * 1000, created);
    flo_buf_printf(out,
                   "{\"name\":\"%s\",\"model\":\"%s\","
                   "\"modified_at\":\"%s\",\"digest\":\"%s\",",
                   shown->model, shown->model, created, strchr(digest, ':') + 1);
    if (only_live) {
        flo_buf_printf(out, "\"context_length\":%u,", shown->context);
    }
    add_details(live, out);
    flo_buf_text(out, "}");
}

void flo_tags_list(const struct flo_serve *serve, int token, bool only_live, struct flo_buf *out)
{
    const char *before = "";

    flo_buf_text(out, "{\"models\":[");
    for (size_t i = 0; i < FLO_SERVE_MODELS_MAX; i++) {
        const struct serve_place *place = &serve->places[i];
        struct models_shown shown;
        if (flo_models_show(place, &shown) && flo_names_may_use(place, token) &&
            (!only_live || flo_serve_engine_live(place) != NULL)) {
            flo_buf_text(out, before);
            add_model(place, &shown, only_live, out);
            before = ",";
        }
    }
    flo_buf_text(out, "]}");
}

/* ---- one model ---- */

static int read_name(const char *body, size_t bytes, char *name, size_t size, struct flo_err *err)
{
    static const char tail[] = ":latest";
    FLO_CLEANUP(flo_json_cleanup) json_t *tree = NULL;
    const char *said;

    FLO_TRY(flo_json_body(body, bytes, SHOW_BYTES_MAX, &tree, err));
    said = json_string_value(json_object_get(tree, "model"));
    said = said != NULL ? said : json_string_value(json_object_get(tree, "name"));
    if (said == NULL || said[0] == '\0' || strlen(said) >= size) {
        return flo_fail(err, FLO_E_INFER_PARAM, "model must be a name of 1 to %zu bytes", size - 1);
    }
    strcpy(name, said);
    size_t chars = strlen(name), cut = sizeof(tail) - 1;
    if (chars > cut && strcmp(name + chars - cut, tail) == 0) {
        name[chars - cut] = '\0';
    }
    return 0;
}

/* Writes what the model can do: "rerank" for a reranker and "completion" for
 * any other model, then the abilities that its live engine reports. */
static void add_capabilities(const struct serve_engine *live, struct flo_buf *out)
{
    static const struct {
        uint64_t ability;
        const char *word;
    } rows[] = {{FLO_ABILITY_TOOLS, "tools"},
                {FLO_ABILITY_THINKING, "thinking"},
                {FLO_ABILITY_IMAGES, "vision"},
                {FLO_ABILITY_VECTORS, "embedding"}};

    bool ranks = live != NULL && (live->abilities & FLO_ABILITY_RERANK) != 0;

    flo_buf_printf(out, "\"capabilities\":[\"%s\"", ranks ? "rerank" : "completion");
    for (size_t i = 0; live != NULL && i < FLO_COUNT(rows); i++) {
        bool has = (live->abilities & rows[i].ability) != 0;
        if (has) {
            flo_buf_printf(out, ",\"%s\"", rows[i].word);
        }
    }
    flo_buf_text(out, "]");
}

int flo_tags_show(struct flo_serve *serve, int token, const char *body, size_t bytes,
                  struct flo_buf *out, struct flo_err *err)
{
    char name[3 * FLO_NAME_MAX + 3], created[25];
    const char *adapter;
    struct models_shown shown;

    FLO_TRY(read_name(body, bytes, name, sizeof(name), err));
    const struct serve_place *place = flo_names_place(serve, name, token);
    if (place == NULL || !flo_models_show(place, &shown) ||
        !flo_names_match(place, name, &adapter)) {
        return flo_names_unknown(name, err);
    }
    const struct serve_engine *live = flo_serve_engine_live(place);
    flo_time_text(shown.created_s * 1000, created);
    flo_buf_printf(out,
                   "{\"modelfile\":\"\",\"parameters\":\"\","
                   "\"template\":\"\",\"modified_at\":\"%s\",",
                   created);
    add_details(live, out);
    /* Clients look for the context length under the architecture's name.  Only
     * the engine process knows that name, so "flotilla" stands in for it. */
    flo_buf_printf(out,
                   ",\"model_info\":{\"general.architecture\":\"flotilla\","
                   "\"general.name\":\"%s\"",
                   shown.model);
    if (shown.context > 0) {
        flo_buf_printf(out, ",\"flotilla.context_length\":%u", shown.context);
    }
    flo_buf_text(out, "},");
    add_capabilities(live, out);
    flo_buf_text(out, "}");
    return 0;
}

void flo_tags_version(struct flo_buf *out)
{
    flo_buf_text(out, "{\"version\":\"" FLO_VERSION "\"}");
}
